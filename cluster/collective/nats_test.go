package collective

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"saltern/cluster/link"
	"saltern/cluster/wire"
)

// network is a server with a Group for each of size ranks, and their connections.
func network(t *testing.T, size int, o link.Options) (*server.Server, []*Group, []*nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	groups, conns := make([]*Group, size), make([]*nats.Conn, size)
	for rank := range size {
		conns[rank], err = nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		links, err := link.Open(conns[rank], "t", rank, size, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { links.Close(); conns[rank].Close() })
		groups[rank] = New(links, rank, size)
	}
	return s, groups, conns
}

// together calls do on every rank at once.
func together(groups []*Group, do func(g *Group) error) []error {
	errs := make([]error, len(groups))
	var wait sync.WaitGroup
	for rank, g := range groups {
		wait.Go(func() { errs[rank] = do(g) })
	}
	wait.Wait()
	return errs
}

// TestOverNATS wants over a network the bits that memory gives, in every format, while connections break.
func TestOverNATS(t *testing.T) {
	const n = 300_001
	for _, size := range []int{2, 4} {
		s, groups, conns := network(t, size, link.Options{Chunk: 64 << 10, Deadline: 4 * time.Second})
		for i, f := range wire.Formats() {
			in := inputs(size, n)
			want, got := clone(in), clone(in)
			must(t, onRanks(t, size, func(ctx context.Context, g *Group) error { return g.With(f).AllReduce(ctx, want[g.Rank()]) }))
			cut := time.AfterFunc(5*time.Millisecond, func() {
				if id, err := conns[i%size].GetClientID(); err == nil {
					_ = s.DisconnectClientByID(id)
				}
			})
			must(t, together(groups, func(g *Group) error {
				statistics := []float64{1}
				return errors.Join(g.With(f).AllReduce(t.Context(), got[g.Rank()]), g.AllReduce64(t.Context(), statistics), g.Barrier(t.Context()))
			}))
			cut.Stop()
			for rank := range got {
				if !sameBits(got[rank], want[0]) {
					t.Errorf("size %d, %s: rank %d has other bits than over memory", size, f, rank)
				}
			}
		}
	}
}

// TestGroupsOverNATS has groups of some ranks, in one order and then another, and streams at once, sum and gather over the same links, and wants
// the bits that memory gives.
func TestGroupsOverNATS(t *testing.T) {
	const size, n = 4, 20_001
	_, groups, _ := network(t, size, link.Options{Chunk: 16 << 10})
	do := func(g *Group) (all [][]float32, err error) {
		for round, order := range [][]int{{0, 1, 2, 3}, {3, 1, 0, 2}, {1, 2, 3, 0}, {3, 1, 0, 2}} {
			o := g.Ordered(order)
			for _, some := range []*Group{o, o.First(3), o.First(2)} {
				if some.Rank() >= some.Size() {
					continue
				}
				var wait sync.WaitGroup
				errs := make([]error, 2*len(wire.Formats()))
				for i := range errs {
					x := inputs(size, n+round)[some.Rank()]
					all = append(all, x)
					each := some.Stream(fmt.Sprint("s", i)).With(wire.Formats()[i/2])
					reduce := each.AllReduce
					if i%2 == 1 {
						reduce = each.AllGather
					}
					wait.Go(func() { errs[i] = reduce(t.Context(), x) })
				}
				wait.Wait()
				if err := errors.Join(errs...); err != nil {
					return nil, err
				}
			}
			if err := g.Barrier(t.Context()); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	want, got := make([][][]float32, size), make([][][]float32, size)
	must(t, onRanks(t, size, func(_ context.Context, g *Group) (err error) { want[g.Rank()], err = do(g); return err }))
	must(t, together(groups, func(g *Group) (err error) { got[g.Rank()], err = do(g); return err }))
	for rank := range want {
		for i, x := range want[rank] {
			if !sameBits(x, got[rank][i]) {
				t.Errorf("rank %d, vector %d has other bits than over memory", rank, i)
			}
		}
	}
}

// TestDeadRank wants every rank that is left to name the one that is gone. On a machine so busy that the word does not get round
// in time, a longer deadline must do.
func TestDeadRank(t *testing.T) {
	var wrong []error
	for deadline := time.Second; deadline <= 16*time.Second; deadline *= 4 {
		if wrong = deadRank(t, deadline); len(wrong) == 0 {
			return
		}
	}
	t.Error(wrong)
}

func deadRank(t *testing.T, deadline time.Duration) (wrong []error) {
	_, groups, conns := network(t, 4, link.Options{Deadline: deadline})
	must(t, together(groups, func(g *Group) error { return g.Barrier(t.Context()) }))
	conns[2].Close()
	for what, do := range map[string]func(g *Group, x []float32) error{
		"all-reduce: adding, step ": func(g *Group, x []float32) error { return g.AllReduce(t.Context(), x) },
		"all-gather: gathering: ":   func(g *Group, x []float32) error { return g.Stream("gather").AllGather(t.Context(), x) },
	} {
		errs := together(groups, func(g *Group) error {
			if g.Rank() == 2 {
				return nil
			}
			return do(g, make([]float32, 1<<20))
		})
		for rank, err := range errs {
			var timeout *link.Timeout
			if rank != 2 && (!errors.As(err, &timeout) || timeout.Missing != 2 || !strings.Contains(err.Error(), fmt.Sprintf("rank %d of 4: %s", rank, what))) {
				wrong = append(wrong, fmt.Errorf("after %s, rank %d: %w", deadline, rank, err))
			}
		}
	}
	return wrong
}
