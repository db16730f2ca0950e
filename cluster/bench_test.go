package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster/link"
)

// BenchmarkStream sends chunks from one rank to another, a window at a time, within a node and between two.
func BenchmarkStream(b *testing.B) {
	for _, ranks := range [][]int{{2}, {1, 1}} {
		b.Run(fmt.Sprint(ranks), func(b *testing.B) {
			all := together(b, layout(b, ranks...), quick())
			const window = link.UnderWay / link.Chunk
			arrived := make(chan struct{}, 1)
			n := 0
			sub, err := all[0].Conn().Subscribe(all[0].Subject("bulk"), func(*nats.Msg) {
				if n++; n%window == 0 {
					arrived <- struct{}{}
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				b.Fatal(err)
			}
			everyone(b, all, 1) // by when the sender's server knows of the subscription too
			data := make([]byte, link.Chunk)
			b.SetBytes(link.UnderWay)
			for b.Loop() {
				for range window {
					if err := all[1].Conn().Publish(all[0].Subject("bulk"), data); err != nil {
						b.Fatal(err)
					}
				}
				select {
				case <-arrived:
				case <-time.After(20 * time.Second):
					b.Fatal("a window does not arrive")
				}
			}
		})
	}
}
