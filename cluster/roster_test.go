package cluster

import (
	"fmt"
	"strings"
	"testing"
)

// greeting is the hello of a rank of a world of four on two nodes.
func greeting(rank int) hello {
	return hello{
		Member:   Member{Rank: rank, Node: rank / 2, LocalRank: rank % 2, Host: fmt.Sprintf("node%d", rank/2), PID: 100 + rank},
		Instance: fmt.Sprint(rank), Size: 4, Nodes: 2, LocalSize: 2, Version: "v1", Digest: "abc",
	}
}

// TestMissingNodesAreNamed has those who wait hear from which nodes nobody has come, where nodes have names.
func TestMissingNodesAreNamed(t *testing.T) {
	r := newRoster("first", true, greeting(0))
	r.names = []string{"gpu1", "gpu2"}
	if a := r.hear(greeting(1)); a.Waiting != "rank 2 and 3 (nobody has come from gpu2)" {
		t.Errorf("after rank 1: %q", a.Waiting)
	}
	if a := r.hear(greeting(2)); a.Waiting != "rank 3" {
		t.Errorf("after rank 2: %q", a.Waiting)
	}
}

// TestRoster lets four ranks come, run servers and connect, in any order.
func TestRoster(t *testing.T) {
	rank0 := greeting(0)
	rank0.Server = "a:1"
	r := newRoster("first", true, rank0)
	if a := r.hear(greeting(2)); a.Waiting != "rank 1 and 3" || a.Attempt != "first" || a.Members != nil {
		t.Errorf("after rank 2: %+v", a)
	}
	r.hear(greeting(1))
	if a := r.hear(greeting(3)); len(a.Members) != 4 || a.Servers != nil || !strings.HasPrefix(a.Waiting, "rank 1 (node0, process 101) to connect") ||
		!strings.Contains(a.Waiting, "rank 2 (node1, process 102) to start its node's server") {
		t.Errorf("after all: %+v", a)
	}
	with := func(rank int, server string, connected bool) answer {
		h := greeting(rank)
		h.Server, h.Connected = server, connected
		return r.hear(h)
	}
	if a := with(2, "b:2", false); fmt.Sprint(a.Servers) != "[a:1 b:2]" || a.Done {
		t.Errorf("after the server: %+v", a)
	}
	with(2, "b:2", true)
	with(3, "", true)
	if a := with(1, "", true); !a.Done || a.Waiting != "" {
		t.Errorf("after all have connected: %+v", a)
	}
	late := greeting(1)
	late.Instance = "another"
	if a := r.hear(late); a.Later == "" || a.Failed != "" || !with(1, "", true).Done {
		t.Errorf("who comes too late is told %+v and must not harm the others", a)
	}
	late.Rank = -1
	if a := r.hear(late); a.Later == "" {
		t.Errorf("a rank that cannot be is told %+v", a)
	}
}

// TestRosterRefuses has a rank that does not fit: it and all others learn why.
func TestRosterRefuses(t *testing.T) {
	for _, test := range []struct {
		why    string
		change func(*hello)
		want   string
	}{
		{"a world of another size", func(h *hello) { h.Size = 3 }, "rank 2 (node1, process 102) has a world size of 3, rank 0 (node0, process 100) has 4; start all ranks with the same"},
		{"other nodes", func(h *hello) { h.Nodes = 1 }, "has a number of nodes of 1, rank 0 (node0, process 100) has 2"},
		{"another program", func(h *hello) { h.Version = "v2" }, "has version v2, rank 0 (node0, process 100) has v1; start the same program on every node"},
		{"another job file", func(h *hello) { h.Digest = "abd" }, "has a job file with checksum abd, rank 0 (node0, process 100) has abc; start all ranks with the same job file"},
		{"the same rank", func(h *hello) { h.Rank, h.PID = 1, 7 }, "rank 1 is there twice: as process 7 on node1 and as process 101 on node0; give every process a rank"},
		{"rank 0 again", func(h *hello) { h.Rank, h.PID = 0, 7 }, "rank 0 is there twice: as process 100 on node0 and as process 7 on node1"},
		{"no such rank", func(h *hello) { h.Rank = 4 }, "rank 4 (node1, process 102) is not one of 4"},
		{"no such node", func(h *hello) { h.Node = 2 }, "rank 2 (node1, process 102) is on node 2, which is not one of 2"},
		{"the same place", func(h *hello) { h.LocalRank = 1 }, "rank 2 (node1, process 102) and rank 3 (node1, process 103) are both local rank 1 of node 1"},
		{"a node too small", func(h *hello) { h.LocalSize = 1 }, "rank 2 (node1, process 102) says that its node 1 has 1 ranks, but there are 2"},
		{"gave up", func(h *hello) { h.GaveUp = "no disk" }, "rank 2 (node1, process 102) gave up: no disk"},
	} {
		r := newRoster("first", true, greeting(0))
		h := greeting(2)
		test.change(&h)
		r.hear(h)
		r.hear(greeting(1))
		a := r.hear(greeting(3))
		if !strings.Contains(a.Failed, test.want) {
			t.Errorf("%s: %+v, want %q", test.why, a, test.want)
		}
		if again := r.hear(greeting(1)); again.Failed != a.Failed {
			t.Errorf("%s: rank 1 is told %q", test.why, again.Failed)
		}
	}
}

func TestList(t *testing.T) {
	if got := list(strings.Fields("1 2 3")); got != "1, 2 and 3" {
		t.Error(got)
	}
	if got := list(strings.Fields("1 2 3 4 5 6 7 8 9 10")); got != "1, 2, 3, 4, 5, 6, 7, 8 and 2 more" {
		t.Error(got)
	}
}
