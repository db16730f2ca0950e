package cluster_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"saltern/cluster"
)

// Two ranks, which are usually two processes, meet in a folder; one greets the other.
func Example() {
	dir, err := os.MkdirTemp("", "saltern-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	quiet := func(string, ...any) {}
	var ranks sync.WaitGroup
	for rank := range 2 {
		ranks.Go(func() {
			id := cluster.Identity{Job: "example", Rank: rank, Size: 2, Nodes: 1, LocalRank: rank, LocalSize: 2, Dir: dir}
			c, err := cluster.Join(context.Background(), id, cluster.Config{}, quiet)
			if err != nil {
				fmt.Println(err)
				return
			}
			defer c.Close()
			if rank == 1 {
				answer, err := c.Conn().Request(c.Subject("greet"), []byte("hello from rank 1"), 10*time.Second)
				for ; err != nil; answer, err = c.Conn().Request(c.Subject("greet"), []byte("hello from rank 1"), 10*time.Second) {
					time.Sleep(time.Millisecond) // rank 0 does not listen yet
				}
				fmt.Println(string(answer.Data))
				return
			}
			sub, err := c.Conn().SubscribeSync(c.Subject("greet"))
			if err != nil {
				fmt.Println(err)
				return
			}
			m, err := sub.NextMsgWithContext(c.Context())
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(string(m.Data))
			_ = m.Respond([]byte("welcome"))
		})
	}
	ranks.Wait()
	// Output:
	// hello from rank 1
	// welcome
}
