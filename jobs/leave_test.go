package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"saltern/cluster"
	"saltern/cluster/link"
)

// inCluster does something as each of so many ranks of one node in this process, that speak by way of a server, and gives their errors. Each
// leaves with its error, as a command does.
func inCluster(t *testing.T, size int, do func(r *ranks) error) []error {
	t.Helper()
	dir, errs := t.TempDir(), make([]error, size)
	var all sync.WaitGroup
	for rank := range size {
		id := cluster.Identity{Job: "test", Rank: rank, Size: size, Nodes: 1, LocalRank: rank, LocalSize: size, Dir: dir}
		all.Go(func() {
			c, err := cluster.Join(t.Context(), id, cluster.Config{Heartbeat: 4}, func(string, ...any) {})
			if err != nil {
				errs[rank] = err
				return
			}
			r, err := among(c, false)
			if err != nil {
				errs[rank] = errors.Join(err, c.Leave(err))
				return
			}
			errs[rank] = do(r)
			if err := r.close(errs[rank]); err != nil {
				t.Errorf("rank %d: %v", rank, err)
			}
		})
	}
	all.Wait()
	return errs
}

// TestRankThatLeaves: a rank that leaves at some point, and says nothing, is not waited for: all others end soon, with an error that
// names a rank, and one of them says who has left.
func TestRankThatLeaves(t *testing.T) {
	const size, within = 4, 20 * time.Second
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for leaver := range size {
		at, amid := random.IntN(20), random.IntN(2) == 1
		name := fmt.Sprintf("rank %d at %d, amid %v, seed %d", leaver, at, amid, seed)
		var mu sync.Mutex
		var left time.Time
		errs := inCluster(t, size, func(r *ranks) error {
			x := make([]float32, 300_000)
			r.training(nil)
			for i := 0; ; i++ {
				ctx := r.all
				if r.rank() == leaver && i == at {
					mu.Lock()
					left = time.Now()
					mu.Unlock()
					if !amid {
						return nil
					}
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(1000))*time.Microsecond)
					defer cancel()
				}
				var err error
				switch i % 4 {
				case 0:
					err = r.AllReduce(ctx, x)
				case 1:
					err = r.first(ctx, func() error { return nil })
				case 2:
					_, err = everybody(ctx, r, i)
				case 3:
					err = r.AllReduce64(ctx, []float64{1})
				}
				if r.rank() == leaver && i == at {
					return nil
				}
				if err != nil {
					return r.waited(ctx, err)
				}
			}
		})
		if took := time.Since(left); took > within {
			t.Errorf("%s: the others ended after %v", name, took)
		}
		said := false
		for rank, err := range errs {
			if rank != leaver && (err == nil || !strings.Contains(err.Error(), "rank ")) {
				t.Errorf("%s: rank %d: %v", name, rank, err)
			}
			lost := (*cluster.RankLost)(nil)
			said = said || errors.Is(err, link.ErrLeft) || errors.As(err, &lost) && lost.Rank == leaver
		}
		if t.Log(name, errs); !said {
			t.Errorf("%s: nobody says who has left", name)
		}
	}
}

// TestAgreedErrors: what all ranks know needs not be told, and what one of them has found afterwards must be.
func TestAgreedErrors(t *testing.T) {
	var told []error
	r := &ranks{leave: func(cause error) error { told = append(told, cause); return nil }}
	full := fail(DiskFull, "no room")
	for _, err := range []error{nil, full, fmt.Errorf("SLM: %w", agreed{full}), errors.Join(agreed{full}, errors.New("and a file")), fail(Diverged, "no loss")} {
		if err := r.close(err); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []error{nil, full, nil, nil, nil} {
		if told[i] != want {
			t.Errorf("case %d: told %v, want %v", i, told[i], want)
		}
	}
	if k := KindOf(fmt.Errorf("SLM: %w", agreed{full})); k != DiskFull {
		t.Errorf("an error that is agreed on is of kind %v", k)
	}
}
