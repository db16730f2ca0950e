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

// regroup has the ranks of that number regroup, once the context of each has ended.
func regroup(t *testing.T, all []*Cluster, ranks ...int) (views []View, errs []error) {
	t.Helper()
	views, errs = make([]View, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	for _, rank := range ranks {
		wg := all[rank]
		wait.Go(func() {
			select {
			case <-wg.Context().Done():
			case <-time.After(time.Minute):
				t.Errorf("rank %d does not notice a loss", rank)
				return
			}
			views[rank], errs[rank] = wg.Regroup(context.Background())
		})
	}
	wait.Wait()
	return views, errs
}

// TestRegroup: two ranks are lost one after the other, and the rest go on each time.
func TestRegroup(t *testing.T) {
	all := together(t, layout(t, 4), quick())
	for round, test := range []struct {
		leaver int
		want   View
	}{
		{2, View{Number: 1, Ranks: []int{0, 1, 3}}},
		{1, View{Number: 2, Ranks: []int{0, 3}}},
	} {
		_ = all[test.leaver].Leave(errors.New("no memory"))
		views, errs := regroup(t, all, test.want.Ranks...)
		for _, rank := range test.want.Ranks {
			if errs[rank] != nil || !reflect.DeepEqual(views[rank], test.want) {
				t.Fatalf("round %d: rank %d: %v, %v, want %v", round, rank, views[rank], errs[rank], test.want)
			}
			if err := context.Cause(all[rank].Context()); err != nil {
				t.Errorf("round %d: rank %d: the new context has ended: %v", round, rank, err)
			}
		}
	}
	closeAll(t, []*Cluster{all[0], all[3]})
}

// TestRegroupLateNews: a loss that one rank alone has noticed is everybody's, and who comes back after it was struck off hears that.
func TestRegroupLateNews(t *testing.T) {
	all := together(t, layout(t, 4), quick())
	all[3].watch.mu.Lock()
	all[3].watch.gone(1)
	all[3].watch.mu.Unlock()
	all[3].end(&RankLost{Rank: 1, Host: "there", Reason: "rank 3 does not hear it"})
	views, errs := regroup(t, all, 0, 1, 2, 3)
	for _, rank := range []int{0, 2, 3} {
		if want := (View{Number: 1, Ranks: []int{0, 2, 3}}); errs[rank] != nil || !reflect.DeepEqual(views[rank], want) {
			t.Errorf("rank %d: %v, %v, want %v", rank, views[rank], errs[rank], want)
		}
	}
	lost := (*RankLost)(nil)
	if !errors.As(errs[1], &lost) || lost.Rank != 1 || !strings.Contains(lost.Reason, "the others have gone on without it") {
		t.Errorf("rank 1: %v", errs[1])
	}
	closeAll(t, []*Cluster{all[0], all[2], all[3], all[1]})
}

// TestRegroupWithoutRankZero: there is nobody to decide, and no server.
func TestRegroupWithoutRankZero(t *testing.T) {
	all := together(t, layout(t, 3), quick())
	_ = all[0].Leave(errors.New("no memory"))
	_, errs := regroup(t, all, 1, 2)
	for _, rank := range []int{1, 2} {
		if lost := (*RankLost)(nil); !errors.As(errs[rank], &lost) || lost.Rank != 0 {
			t.Errorf("rank %d: %v", rank, errs[rank])
		}
		_ = all[rank].Close()
	}
}
