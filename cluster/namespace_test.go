package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNamespaces runs the ranks of three nodes in network namespaces of their own, which share nothing but a bridge: what one node
// says to another crosses a network, to addresses that each node finds for itself.
func TestNamespaces(t *testing.T) {
	name := fmt.Sprintf("st%d", os.Getpid()%100000) // names of interfaces are short
	const nodes = 3
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	space := func(node int) string { return fmt.Sprintf("%s-%d", name, node) }
	hub := name + "-hub"
	t.Cleanup(func() {
		for n := range nodes {
			_ = ip("netns", "del", space(n)) // what was not made cannot be removed
		}
		_ = ip("netns", "del", hub)
	})
	lines := [][]string{
		{"netns", "add", hub},
		{"-n", hub, "link", "add", "hub", "type", "bridge"},
		{"-n", hub, "link", "set", "hub", "up"},
	}
	for n := range nodes {
		here, there := fmt.Sprintf("%sa%d", name, n), fmt.Sprintf("b%d", n)
		lines = append(lines, [][]string{
			{"netns", "add", space(n)},
			{"-n", space(n), "link", "add", here, "type", "veth", "peer", "name", there, "netns", hub},
			{"-n", hub, "link", "set", there, "master", "hub", "up"},
			{"-n", space(n), "addr", "add", fmt.Sprintf("10.77.0.%d/24", n+1), "dev", here},
			{"-n", space(n), "addr", "add", fmt.Sprintf("10.88.%d.1/24", n), "dev", here}, // which leads nowhere
			{"-n", space(n), "link", "set", here, "up"},
			{"-n", space(n), "link", "set", "lo", "up"},
		}...)
	}
	for _, line := range lines {
		if err := ip(line...); err != nil {
			t.Skipf("network namespaces cannot be made here, so that nodes are tested on loopback addresses alone (as root, with iproute2, they can): %v", err)
		}
	}
	ids := layout(t, 2, 1, 1)
	for i := range ids {
		ids[i].Host = "" // found by each node
	}
	c := quick()
	c.Host = "10.77.0.0/24"
	c.Heartbeat = 2
	all := startRanks(t, ids, c, func(node int) []string { return []string{"ip", "netns", "exec", space(node)} })
	for _, p := range all {
		p.say("reach")
	}
	for _, p := range all {
		p.hear("reached all")
	}
	if err := ip("-n", hub, "link", "set", "b2", "down"); err != nil { // node 2's cable is pulled
		t.Fatal(err)
	}
	for rank, p := range all[:3] {
		if line := p.hear("lost: rank 3 "); !strings.Contains(line, "silent") {
			t.Errorf("rank %d: %s", rank, line)
		}
	}
	all[3].hear("lost: rank ") // it cannot tell who is to blame
}
