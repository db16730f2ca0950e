package link

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// mappings are how many pieces of shared memory this process has mapped.
func mappings(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "/memfd:saltern-")
}

// files are how many such files it has open.
func files(t *testing.T) (n int) {
	t.Helper()
	list, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, "/memfd:saltern-") {
			n++
		}
	}
	return n
}

// shared waits until a sender's stream goes through memory.
func shared(t *testing.T, o *outgoing) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		yes := o.shared
		o.mu.Unlock()
		if yes {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("no memory is shared")
		}
	}
}

// TestMemory wants what is long to go past the server between ranks of one machine, Send to return before anybody receives, the window to
// hold there too, and nothing to be left of it after Close.
func TestMemory(t *testing.T) {
	s := serve(t, server.Options{})
	o := Options{Chunk: 64 << 10, Window: 4, Near: near}
	a, b := open(t, s, 0, 2, o), open(t, s, 1, 2, o)
	maps, open := mappings(t), files(t)
	transfer(t, a, b, 1, func(int) {})
	shared(t, a.outgoing(end{1, "s"}))
	if got := mappings(t) - maps; got != 2 {
		t.Errorf("%d mappings, want one at each end", got)
	}
	if files(t) != open {
		t.Error("the sender's file stays open")
	}
	before, data, into := a.conn.Stats().OutBytes, pattern(1, 256<<10), make([]byte, 256<<10)
	if err := a.Send(t.Context(), 1, "s", data); err != nil {
		t.Fatal(err)
	}
	if sent := a.conn.Stats().OutBytes - before; sent > 1000 {
		t.Errorf("%d bytes went to the server for %d in memory", sent, len(data))
	}
	want := bytes.Clone(data)
	clear(data)
	overfull := make(chan error, 1)
	go func() { overfull <- a.Send(t.Context(), 1, "s", data) }()
	select {
	case err := <-overfull:
		t.Errorf("a second window was sent before anybody received the first: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	for _, want := range [][]byte{want, data} {
		if n, err := b.Receive(t.Context(), 0, "s", into); err != nil || !bytes.Equal(into[:n], want) {
			t.Errorf("%d bytes that are not those sent, or %v", n, err)
		}
	}
	if err := <-overfull; err != nil {
		t.Error(err)
	}
	if err := a.Send(t.Context(), 1, "s", want); err != nil { // unread at the end
		t.Fatal(err)
	}
	for _, l := range []*Links{a, b} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if mappings(t) != maps || files(t) != open {
		t.Error("memory is left after Close")
	}
	if _, err := b.Receive(t.Context(), 0, "s", into); err == nil {
		t.Error("what lay in memory was read after Close")
	}
}

// TestNoMemory wants messages to go on as they are where the receiver does not see the sender's memory.
func TestNoMemory(t *testing.T) {
	s := serve(t, server.Options{})
	maps := mappings(t)
	a, b := open(t, s, 0, 2, Options{Near: near}), open(t, s, 1, 2, Options{})
	transfer(t, a, b, 2, func(int) {})
	o := a.outgoing(end{1, "s"})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shared || !o.alone || mappings(t) != maps {
		t.Errorf("shared %v, alone %v, %d mappings", o.shared, o.alone, mappings(t)-maps)
	}
}

// TestOffers wants only what is memory of a sender to be mapped.
func TestOffers(t *testing.T) {
	m, err := newMemory(4096, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer m.free()
	good := string(m.offer())
	for _, test := range []struct {
		why, offer  string
		slot, slots uint64
		ok          bool
	}{
		{"the offer", good, 4096, 4, true},
		{"larger than the memory", good, 4096, 5, false},
		{"no slots", good, 4096, 0, false},
		{"a product that overflows", good, 1 << 30, 1 << 34, false},
		{"another name", good[:len(good)-1], 4096, 4, false},
		{"another file", "1 0 " + m.name, 4096, 4, false},
		{"nothing", "", 4096, 4, false},
	} {
		got, err := openMemory([]byte(test.offer), test.slot, test.slots)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.why, err)
		}
		if got != nil {
			copy(m.part(5, 4096), "written")
			if text := string(got.part(1, 7)); text != "written" {
				t.Errorf("%s: the other end reads %q", test.why, text)
			}
			got.free()
		}
	}
}
