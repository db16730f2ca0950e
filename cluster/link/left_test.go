package link

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestLeft wants the waits for a rank that has left to end, in both directions, and what it sent before to be received.
func TestLeft(t *testing.T) {
	var left atomic.Bool
	s := serve(t, server.Options{})
	o := Options{Deadline: time.Hour, Rest: 20 * time.Millisecond, Left: func(rank int) bool { return rank == 1 && left.Load() }}
	a, b := open(t, s, 0, 2, o), open(t, s, 1, 2, o)
	if err := b.Send(t.Context(), []int{0}, "s", []byte("last")); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	go func() { _, err := a.Receive(t.Context(), 1, "t", nil); errs <- err }()
	go func() { errs <- a.Send(t.Context(), []int{1}, "u", make([]byte, 5<<20)) }()
	select {
	case err := <-errs:
		t.Errorf("a rank that is there was not waited for: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left.Store(true)
	for range 2 {
		select {
		case err := <-errs:
			if !errors.Is(err, ErrLeft) {
				t.Errorf("%v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a rank that has left is waited for")
		}
	}
	into := make([]byte, 4)
	if n, err := a.Receive(t.Context(), 1, "s", into); err != nil || string(into[:n]) != "last" {
		t.Errorf("%q, %v", into[:n], err)
	}
	if _, err := a.Receive(t.Context(), 1, "s", into); !errors.Is(err, ErrLeft) {
		t.Errorf("%v", err)
	}
}

// TestPatience wants a wait to end by its context's patience where that is less than the deadline.
func TestPatience(t *testing.T) {
	s := serve(t, server.Options{})
	a, _ := open(t, s, 0, 2, Options{Deadline: time.Hour}), open(t, s, 1, 2, Options{})
	ctx := Patience(t.Context(), 200*time.Millisecond)
	var late *Timeout
	if _, err := a.Receive(ctx, 1, "s", nil); !errors.As(err, &late) || late.Peer != 1 || late.Missing != -1 {
		t.Errorf("receiving: %v", err)
	}
	if err := a.Send(ctx, []int{1}, "s", make([]byte, 5<<20)); !errors.As(err, &late) {
		t.Errorf("sending: %v", err)
	}
	if got := (&Options{Deadline: time.Second}).patience(Patience(ctx, time.Minute)); got != time.Second {
		t.Errorf("a wait of %v, longer than the deadline", got)
	}
}
