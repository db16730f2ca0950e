package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPulse looks four times within the limit at who was heard, on two nodes of two ranks.
func TestPulse(t *testing.T) {
	start := time.Unix(0, 0)
	for _, test := range []struct {
		why    string
		self   int
		embed  bool
		silent []int
		left   []int
		want   int // rank that is lost, -1 for none
		says   string
	}{
		{"all beat", 1, true, nil, nil, -1, ""},
		{"one is silent", 1, true, []int{3}, nil, 3, "rank 3 (node1) is lost: it was silent for 4.5s"},
		{"who has left may be silent", 1, true, []int{3}, []int{3}, -1, ""},
		{"a node is silent: its first rank ran the server", 1, true, []int{3, 2}, nil, 2, "rank 2 (node1) is lost: it was silent for 4.5s, and so was rank 3"},
		{"without servers of our own, the first", 1, false, []int{3, 1}, nil, 1, "the NATS server has passed nothing on for 4.5s"},
		{"not even oneself is heard: this node's server", 3, true, []int{0, 1, 2, 3}, nil, 2, "rank 2 (node1) is lost: the NATS server has passed nothing on for 4.5s"},
	} {
		var members []Member
		for rank := range 4 {
			members = append(members, greeting(rank).Member)
		}
		p := newPulse(members, test.self, test.embed, 4*time.Second, start)
		for _, rank := range test.left {
			p.left[rank] = true
		}
		var lost *RankLost
		for now := start; lost == nil && now.Sub(start) < 10*time.Second; now = now.Add(500 * time.Millisecond) {
			lost = p.look(now)
			for rank := range members {
				if !slices.Contains(test.silent, rank) {
					p.beat(rank, now)
				}
			}
		}
		switch {
		case lost == nil && test.want >= 0, lost != nil && lost.Rank != test.want:
			t.Errorf("%s: %v", test.why, lost)
		case lost != nil && !strings.Contains(lost.Error(), test.says):
			t.Errorf("%s: %q, want %q", test.why, lost, test.says)
		}
	}
}

// TestPulseStopped: who was stopped and goes on has not heard the others, but they may well be there.
func TestPulseStopped(t *testing.T) {
	start := time.Unix(0, 0)
	p := newPulse([]Member{greeting(0).Member, greeting(1).Member}, 0, true, 4*time.Second, start)
	if lost := p.look(start.Add(time.Hour)); lost != nil {
		t.Errorf("right after an hour's stop: %v", lost)
	}
	var lost *RankLost
	for s := range 10 {
		p.beat(0, start.Add(time.Hour+time.Duration(s)*time.Second))
		if lost = p.look(start.Add(time.Hour + time.Duration(s)*time.Second)); lost != nil {
			break
		}
	}
	if lost == nil || lost.Rank != 1 {
		t.Errorf("a rank that stays silent afterwards: %v", lost)
	}
}

// TestLeave: who leaves with a reason ends the others' contexts in its words; who closes does not.
func TestLeave(t *testing.T) {
	for _, ranks := range [][]int{{3}, {2, 1}} {
		for _, leaver := range []int{0, 2} {
			all := together(t, layout(t, ranks...), quick())
			if err := all[leaver].Leave(errors.New("out of memory")); err != nil {
				t.Error(err)
			}
			for rank, c := range all {
				if rank == leaver {
					continue
				}
				select {
				case <-c.Context().Done():
				case <-time.After(15 * time.Second):
					t.Fatalf("rank %d does not learn that rank %d has left", rank, leaver)
				}
				var lost *RankLost
				if !errors.As(context.Cause(c.Context()), &lost) || lost.Rank != leaver || lost.Reason != "out of memory" {
					t.Errorf("rank %d: %v", rank, context.Cause(c.Context()))
				}
			}
			closeAll(t, all)
		}
	}
}
