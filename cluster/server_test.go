package cluster

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster/link"
)

// gate is a network whose reader can be held.
type gate struct {
	net.Conn
	hold sync.RWMutex
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	var err error
	g.Conn, err = net.Dial(network, address)
	return g, err
}

func (g *gate) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.hold.RLock()
	defer g.hold.RUnlock()
	return n, err
}

// TestWindows: the servers hold a whole window of every rank for a process that reads nothing meanwhile, and lose none of it. With
// the limits that a server has by itself this fails: it takes five windows for a slow consumer.
func TestWindows(t *testing.T) {
	all := together(t, layout(t, 2, 1, 2), quick())
	const chunks = link.UnderWay / link.Chunk
	options, err := all[0].credentials.options()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	stalled, err := nats.Connect(all[0].credentials.url(all[0].credentials.Server), append(options, nats.SetCustomDialer(g), nats.NoReconnect())...)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	slow, err := stalled.SubscribeSync(all[0].Subject("bulk"))
	if err == nil {
		err = slow.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = stalled.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	for known := 0; known < len(all); { // by when all servers know of the subscription
		known = 0
		for _, c := range all {
			if err := c.Conn().Publish(c.Subject("bulk"), nil); err != nil {
				t.Fatal(err)
			}
		}
		for range all {
			if _, err := slow.NextMsg(time.Second); err == nil {
				known++
			}
		}
	}
	g.hold.Lock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			data := make([]byte, link.Chunk)
			for range chunks {
				if err := c.Conn().Publish(c.Subject("bulk"), data); err != nil {
					t.Error(err)
				}
			}
			if err := c.Conn().FlushTimeout(20 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	g.hold.Unlock()
	for n := range chunks * len(all) {
		if _, err := slow.NextMsg(20 * time.Second); err != nil {
			t.Fatalf("after %d of %d messages: %v", n, chunks*len(all), err)
		}
	}
}
