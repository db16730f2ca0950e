package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster/link"
)

// quick are settings for tests: few seconds until an error, and heartbeats that a busy machine does not miss.
func quick() Config { return Config{JoinTimeout: 20, Heartbeat: 5} }

// layout is the identities of a job with so many ranks on each node. Nodes are 127.0.0.1, 127.0.0.2 and so on.
func layout(t testing.TB, ranks ...int) []Identity {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rendezvous")
	var all []Identity
	for node, n := range ranks {
		for local := range n {
			id := Identity{Job: "test", Rank: len(all), Node: node, Nodes: len(ranks), LocalRank: local, LocalSize: n, Dir: dir}
			if len(ranks) > 1 {
				if runtime.GOOS != "linux" {
					t.Skip("only Linux has a whole network of loopback addresses without being asked")
				}
				id.Host = fmt.Sprintf("127.0.0.%d", node+1)
			}
			all = append(all, id)
		}
	}
	for i := range all {
		all[i].Size = len(all)
	}
	return all
}

// joined is what became of a rank's Join.
type joined struct {
	*Cluster
	err error
}

// joinAll joins all at once.
func joinAll(t testing.TB, ids []Identity, c Config) []joined {
	t.Helper()
	all := make([]joined, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			all[i].Cluster, all[i].err = Join(t.Context(), id, c, func(format string, args ...any) {
				t.Logf("rank %d: "+format, append([]any{id.Rank}, args...)...)
			})
		})
	}
	wg.Wait()
	return all
}

// together joins all, which must succeed, and closes them at the end.
func together(t testing.TB, ids []Identity, c Config) []*Cluster {
	t.Helper()
	var all []*Cluster
	for i, j := range joinAll(t, ids, c) {
		if j.err != nil {
			t.Errorf("rank %d: %v", i, j.err)
			continue
		}
		all = append(all, j.Cluster)
	}
	t.Cleanup(func() { closeAll(t, all) })
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// closeAll closes all at once, as the end of a job does.
func closeAll(t testing.TB, all []*Cluster) {
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if err := c.Close(); err != nil {
				t.Errorf("rank %d: %v", c.Identity().Rank, err)
			}
		})
	}
	wg.Wait()
}

// everyone has each of some ranks send to each, itself included, and wants all to arrive.
func everyone(t testing.TB, all []*Cluster, bytes int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range all {
		to := c.Identity().Rank
		sub, err := c.Conn().Subscribe(c.Subject(fmt.Sprintf("to.%d.*", to)), func(m *nats.Msg) { _ = m.Respond(m.Data) })
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
	}
	var wg sync.WaitGroup
	for _, c := range all {
		from := c.Identity().Rank
		wg.Go(func() {
			data := make([]byte, bytes)
			for i := range data {
				data[i] = byte(from + i)
			}
			for _, other := range all {
				to := other.Identity().Rank
				for tries := 0; ; tries++ { // a server learns of a new subscription elsewhere a moment later
					m, err := c.Conn().RequestWithContext(ctx, c.Subject(fmt.Sprintf("to.%d.%d", to, from)), data)
					if err == nats.ErrNoResponders && sleep(ctx, pause(tries)) {
						continue
					}
					if err != nil || string(m.Data) != string(data) {
						t.Errorf("from rank %d to rank %d: %v", from, to, err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
}

func TestOneNode(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ids := layout(t, n)
			all := together(t, ids, quick())
			everyone(t, all, link.Chunk)
			for i, c := range all {
				if len(c.Members()) != n || c.Members()[i].Rank != i {
					t.Errorf("rank %d knows of %v", i, c.Members())
				}
			}
			closeAll(t, all)
			left, err := os.ReadDir(ids[0].Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%v is left of the rendezvous (%v)", left, err)
			}
		})
	}
}

func TestMesh(t *testing.T) {
	for _, ranks := range [][]int{{1, 1}, {2, 1, 3}, {1, 1, 1, 1, 1}} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			everyone(t, together(t, layout(t, ranks...), quick()), 300_000)
		})
	}
}

// TestNothingIsLeft: neither of a job that has ended nor of one that could not begin.
func TestNothingIsLeft(t *testing.T) {
	mixed := layout(t, 2, 1)
	mixed[2].Digest = "another job file"
	closeAll(t, together(t, layout(t, 1), quick())) // what the libraries keep for good is there from now on
	before := runtime.NumGoroutine()
	closeAll(t, together(t, layout(t, 2, 1), quick()))
	for _, j := range joinAll(t, mixed, quick()) {
		if j.err == nil {
			t.Error("joined with different job files")
		}
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, and there were %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
