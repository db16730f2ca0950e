package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestOnce wants what is for several ranks to be published once, when all of them hear it, and not to reach those that it is not for.
func TestOnce(t *testing.T) {
	s := serve(t, server.Options{})
	all := openAll(t, s, 5, Options{})
	transfer(t, all[0], all[1:4], 1, func(int) {})
	var total uint64
	for _, n := range sizes {
		total += 2 * uint64(n)
	}
	out, aside := all[0].conn.Stats().OutBytes, all[4].conn.Stats().InBytes
	in := all[1].conn.Stats().InBytes
	transfer(t, all[0], all[1:4], 2, func(int) {})
	const words = 10000 // for headers
	if n := all[0].conn.Stats().OutBytes - out; n < total || n > total+words {
		t.Errorf("%d bytes for three ranks left the first, want %d", n, total)
	}
	if n := all[1].conn.Stats().InBytes - in; n < total || n > total+words {
		t.Errorf("%d bytes came to one of them, want %d", n, total)
	}
	if n := all[4].conn.Stats().InBytes - aside; n > words {
		t.Errorf("%d bytes came to one that they were not for", n)
	}
}

// TestSets wants streams to several sets of ranks, and from several ranks, not to disturb each other.
func TestSets(t *testing.T) {
	s := serve(t, server.Options{})
	all := openAll(t, s, 4, Options{})
	for round := range 3 {
		for from := range all {
			for _, to := range [][]int{{1, 2, 3}, {0, 2, 3}, {3, 1, 0}, {0, 1, 2}, {1, 2}, {0, 3}, {2}} {
				stream := fmt.Sprint("to", strings.Trim(strings.ReplaceAll(fmt.Sprint(to), " ", "-"), "[]"))
				want := fmt.Sprint(round, from, to)
				if err := all[from].Send(t.Context(), to, stream, []byte(want)); strings.Contains(stream, fmt.Sprint(from)) {
					if err == nil {
						t.Errorf("rank %d sent to itself among %v", from, to)
					}
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				for _, rank := range to {
					into := make([]byte, 20)
					if n, err := all[rank].Receive(t.Context(), from, stream, into); err != nil || string(into[:n]) != want {
						t.Fatalf("rank %d: %q, %v, want %q", rank, into[:n], err, want)
					}
				}
			}
		}
	}
}

// TestSetMisuse wants a stream to stay with its ranks, each named once.
func TestSetMisuse(t *testing.T) {
	a := openAll(t, serve(t, server.Options{}), 4, Options{})[0]
	if err := a.Send(t.Context(), []int{1, 2}, "s", nil); err != nil {
		t.Fatal(err)
	}
	for _, to := range [][]int{nil, {1}, {1, 2, 3}, {2, 1}, {3, 2}, {3, 3}} {
		if err := a.Send(t.Context(), to, "s", nil); err == nil || !strings.HasPrefix(err.Error(), "bug: ") {
			t.Errorf("to %v: %v", to, err)
		}
	}
	if err := a.Send(t.Context(), []int{3}, "s", nil); err != nil {
		t.Errorf("what failed before is in the way: %v", err)
	}
}

// TestSlowest wants a sender to stop a window ahead of the slowest, whatever the others have taken, and to say whom it waits for.
func TestSlowest(t *testing.T) {
	o := Options{Chunk: short, Window: 3, Deadline: time.Hour, Rest: 20 * time.Millisecond}
	all := openAll(t, serve(t, server.Options{}), 4, o)
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() { sent <- all[0].Send(ctx, []int{1, 2, 3}, "s", make([]byte, 10*short)) }()
	for _, rank := range []int{1, 3} {
		i := all[rank].incoming(end{0, "s"})
		for n := 0; n < 3; n++ { // takes what Receive would, and no more than is sent
			if _, err := i.next(t.Context(), 0, -1); err != nil {
				t.Fatal(err)
			}
		}
		i.tell(statusKind)
	}
	time.Sleep(100 * time.Millisecond)
	cancel()
	if err := <-sent; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "sending to rank 2, stream s, 12288 of 40960 bytes gone") {
		t.Errorf("%v", err)
	}
	for rank, want := range []int{1: 0, 2: 3, 3: 0} {
		if i := all[rank].incoming(end{0, "s"}); rank > 0 && len(i.queue) != want {
			t.Errorf("%d chunks are unread at rank %d, want %d", len(i.queue), rank, want)
		}
	}
}

// TestDeadAmongSeveral wants a sender to blame the one of its receivers that does not answer, though another is slow as well.
func TestDeadAmongSeveral(t *testing.T) {
	s := serve(t, server.Options{})
	o := Options{Deadline: 2 * time.Second, Rest: 50 * time.Millisecond}
	a := open(t, s, 0, 4, o)
	open(t, s, 1, 4, o)
	open(t, s, 2, 4, o)
	err := a.Send(t.Context(), []int{1, 2, 3}, "s", make([]byte, 5<<20)) // a window is 4 MiB; nobody takes it
	var late *Timeout
	if !errors.As(err, &late) || late.Peer != 3 || late.Missing != 3 || late.Done != 4<<20 || late.Total != 5<<20 {
		t.Errorf("%v", err)
	}
}

// TestLeftAmongSeveral wants a sender not to wait for a receiver that has left.
func TestLeftAmongSeveral(t *testing.T) {
	var left atomic.Bool
	s := serve(t, server.Options{})
	o := Options{Deadline: time.Hour, Rest: 20 * time.Millisecond, Left: func(rank int) bool { return rank == 2 && left.Load() }}
	all := openAll(t, s, 4, o)
	if err := all[2].Close(); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- all[0].Send(t.Context(), []int{1, 2, 3}, "s", make([]byte, 1<<20)) }()
	select {
	case err := <-sent:
		t.Fatalf("a rank that is there was not waited for: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	left.Store(true)
	select {
	case err := <-sent:
		if !errors.Is(err, ErrLeft) || !strings.Contains(err.Error(), "rank 2") {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a rank that has left is waited for")
	}
}
