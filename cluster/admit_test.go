package cluster

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// newcomer joins as that rank, in the background.
func newcomer(t *testing.T, ctx context.Context, id Identity, c Config) chan joined {
	done := make(chan joined, 1)
	go func() {
		c, err := Join(ctx, id, c, t.Logf)
		done <- joined{c, err}
	}()
	return done
}

// applied waits until rank 0 knows of a newcomer.
func applied(t *testing.T, rank0 *Cluster) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !rank0.Applied(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("nobody asks to be let in")
		}
	}
}

// admit has ranks let in who waits.
func admit(t *testing.T, all []*Cluster, ranks ...int) (views []View) {
	t.Helper()
	views = make([]View, len(all))
	var wait sync.WaitGroup
	for _, rank := range ranks {
		wait.Go(func() {
			var err error
			if views[rank], err = all[rank].Admit(context.Background()); err != nil {
				t.Errorf("rank %d: %v", rank, err)
			}
		})
	}
	wait.Wait()
	return views
}

// elastic is quick for ranks that may be replaced.
func elastic() Config {
	c := quick()
	c.Elastic = true
	return c
}

// TestAdmit: lost ranks are replaced, on a node with others, and by the first of a node of its own that brings a server. All know all then,
// and reach each other.
func TestAdmit(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes []int
		lost  int
	}{{"one node", []int{3}, 2}, {"a node of its own", []int{2, 1}, 2}, {"alone until then", []int{2}, 1}} {
		t.Run(test.name, func(t *testing.T) {
			ids := layout(t, test.nodes...)
			all := together(t, ids, elastic())
			for round := range 2 {
				_ = all[test.lost].Leave(errors.New("no memory"))
				var left, every []int
				for rank := range all {
					every = append(every, rank)
					if rank != test.lost {
						left = append(left, rank)
					}
				}
				late := newcomer(t, t.Context(), ids[test.lost], elastic()) // perhaps before it is missed
				if views, errs := regroup(t, all, left...); errors.Join(errs...) != nil || !reflect.DeepEqual(views[0].Ranks, left) {
					t.Fatalf("%v, %v", views, errs)
				}
				applied(t, all[0])
				views := admit(t, all, left...)
				j := <-late
				if j.err != nil {
					t.Fatal(j.err)
				}
				all[test.lost], views[test.lost] = j.Cluster, j.View()
				want := View{Number: 2 * (round + 1), Ranks: every, Joined: []Member{j.Members()[test.lost]}}
				for rank, c := range all {
					if !reflect.DeepEqual(views[rank], want) || !reflect.DeepEqual(c.Members(), all[0].Members()) || c.Context().Err() != nil {
						t.Errorf("rank %d: %+v, %v, want %+v", rank, views[rank], context.Cause(c.Context()), want)
					}
				}
				everyone(t, all, 1)
				if all[0].Applied() {
					t.Error("who is in still waits to be let in")
				}
			}
			closeAll(t, all)
		})
	}
}

// TestAdmitWithoutWaiting: nobody is let in who is not there any more, whose place is taken, or whose job is another.
func TestAdmitWithoutWaiting(t *testing.T) {
	ids := layout(t, 3)
	all := together(t, ids, elastic())
	impatient := elastic()
	impatient.JoinTimeout = 8 // in which a busy machine too gets an answer
	if j := <-newcomer(t, t.Context(), ids[1], impatient); j.err == nil || !strings.Contains(j.err.Error(), "is there, or nobody misses it yet") {
		t.Errorf("a second rank 1: %v", j.err)
	}
	_ = all[1].Leave(errors.New("no memory"))
	regroup(t, all, 0, 2)
	other := ids[1]
	other.Digest = "beef"
	if j := <-newcomer(t, t.Context(), other, elastic()); j.err == nil || !strings.Contains(j.err.Error(), "has a job file with checksum beef, rank 0 (") {
		t.Errorf("another job file: %v", j.err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	late := newcomer(t, ctx, ids[1], elastic())
	applied(t, all[0])
	cancel(errors.New("enough"))
	if j := <-late; j.err == nil || !strings.Contains(j.err.Error(), "enough") {
		t.Errorf("a newcomer that is stopped: %v", j.err)
	}
	for limit := time.Now().Add(time.Minute); all[0].Applied(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("a newcomer that was stopped is waited for")
		}
	}
	if v := admit(t, all, 0, 2)[2]; v.Number != 2 || v.Joined != nil {
		t.Errorf("%+v", v)
	}
	late = newcomer(t, t.Context(), ids[1], elastic())
	applied(t, all[0])
	closeAll(t, []*Cluster{all[0], all[2]})
	if j := <-late; j.err == nil || !strings.Contains(j.err.Error(), "is lost: the job is over") {
		t.Errorf("a newcomer whose job has ended: %v", j.err)
	}
}

// TestAdmitThoughOneIsLost: who is lost while others let somebody in is not in the view, and who comes back after its place was taken ends
// nobody.
func TestAdmitThoughOneIsLost(t *testing.T) {
	ids := layout(t, 4)
	all := together(t, ids, elastic())
	old := all[1]
	all[0].watch.mu.Lock()
	all[0].watch.gone(1)
	all[0].watch.lose(all[0].watch.lost(1, "rank 0 does not hear it"))
	all[0].watch.mu.Unlock()
	regroup(t, all, 0, 2, 3)
	late := newcomer(t, t.Context(), ids[1], elastic())
	applied(t, all[0])
	var wait sync.WaitGroup
	wait.Go(func() {
		time.Sleep(100 * time.Millisecond) // the others are waiting
		_ = all[3].Leave(errors.New("no memory"))
	})
	views := admit(t, all, 0, 2)
	wait.Wait()
	j := <-late
	if j.err != nil || !reflect.DeepEqual(views[2].Ranks, []int{0, 1, 2}) || !reflect.DeepEqual(j.View().Ranks, []int{0, 1, 2}) {
		t.Fatalf("%v, %+v", j.err, views)
	}
	old.watch.pulse.members[1].PID++ // a process of its own, as it is elsewhere
	_ = old.Leave(errors.New("it was silent, and is back"))
	everyone(t, []*Cluster{all[0], j.Cluster, all[2]}, 1)
	if err := all[0].Context().Err(); err != nil {
		t.Errorf("its farewell has ended the others: %v", context.Cause(all[0].Context()))
	}
	closeAll(t, []*Cluster{all[0], j.Cluster, all[2]})
}
