package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// serve runs a server for the test.
func serve(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// open makes the links of one rank, closed at the test's end.
func open(t *testing.T, s *server.Server, rank, size int, o Options) *Links {
	t.Helper()
	conn, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(conn, "t.link", rank, size, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); conn.Close() })
	return l
}

// pattern is a message that no other equals.
func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

var sizes = []int{0, 1, short, short + 1, 64 << 10, 64<<10 + 1, 1 << 20, 3<<20 + 7}

// transfer sends rounds of messages of all sizes to one rank or to several, and wants them as they were, in order. between is called before each
// Receive of the first.
func transfer(t *testing.T, from *Links, to []*Links, rounds int, between func(message int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range rounds * len(sizes) {
			data := pattern(uint64(i), sizes[i%len(sizes)])
			if err := from.Send(ctx, ranks(to), "s", data); err != nil {
				t.Error(err)
				return
			}
			clear(data) // Send has returned: this must harm nobody
		}
	})
	for k, l := range to {
		wait.Go(func() {
			into := make([]byte, 4<<20)
			for i := range rounds * len(sizes) {
				if k == 0 {
					between(i)
				}
				n, err := l.Receive(ctx, from.rank, "s", into)
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(into[:n], pattern(uint64(i), sizes[i%len(sizes)])) {
					t.Errorf("rank %d, message %d: %d bytes that are not those sent, %d bytes", l.rank, i, n, sizes[i%len(sizes)])
					return
				}
			}
		})
	}
	wait.Wait()
}

func ranks(links []*Links) (list []int) {
	for _, l := range links {
		list = append(list, l.rank)
	}
	return list
}

// openAll makes the links of size ranks.
func openAll(t *testing.T, s *server.Server, size int, o Options) (all []*Links) {
	t.Helper()
	for rank := range size {
		all = append(all, open(t, s, rank, size, o))
	}
	return all
}

// TestTransfer covers every size on servers that take much and that take little.
func TestTransfer(t *testing.T) {
	for _, payload := range []int32{64 << 10, 1<<20 - 512, 8 << 20} {
		s := serve(t, server.Options{MaxPayload: payload})
		a, b := open(t, s, 0, 2, Options{}), open(t, s, 1, 2, Options{})
		if want := min(int(payload), 1<<20); a.Chunk != want {
			t.Errorf("chunks of %d bytes, want %d", a.Chunk, want)
		}
		transfer(t, a, []*Links{b}, 3, func(int) {})
		transfer(t, b, []*Links{a}, 1, func(int) {})
	}
}

// severally calls do for a stream to one rank and for one to three.
func severally(t *testing.T, do func(t *testing.T, size int)) {
	for _, size := range []int{2, 4} {
		t.Run(fmt.Sprint("receivers=", size-1), func(t *testing.T) { do(t, size) })
	}
}

// TestSlowReceiver has one rank read slowly where the server drops clients that have little pending.
func TestSlowReceiver(t *testing.T) {
	severally(t, func(t *testing.T, size int) {
		s := serve(t, server.Options{MaxPending: 1 << 20})
		all := openAll(t, s, size, Options{Chunk: 64 << 10, Window: 4})
		transfer(t, all[0], all[1:], 2, func(int) { time.Sleep(20 * time.Millisecond) })
		if n := s.NumSlowConsumers(); n > 0 {
			t.Errorf("the server dropped a client %d times", n)
		}
	})
}

// TestCuts breaks the connections in turn, again and again, amid messages.
func TestCuts(t *testing.T) {
	severally(t, func(t *testing.T, size int) {
		s := serve(t, server.Options{})
		all := openAll(t, s, size, Options{Chunk: 64 << 10, Rest: 50 * time.Millisecond})
		stop, stopped := make(chan struct{}), make(chan int)
		go func() {
			cuts := 0
			for i := range 20 {
				select {
				case <-stop:
					stopped <- cuts
					return
				case <-time.After(30 * time.Millisecond):
				}
				if id, err := all[i%size].conn.GetClientID(); err == nil && s.DisconnectClientByID(id) == nil {
					cuts++
				}
			}
			<-stop
			stopped <- cuts
		}()
		transfer(t, all[0], all[1:], 3, func(int) { time.Sleep(10 * time.Millisecond) })
		close(stop)
		if cuts := <-stopped; cuts < 4 {
			t.Errorf("only %d cuts", cuts)
		}
		if r := all[0].conn.Stats().Reconnects + all[1].conn.Stats().Reconnects; r < 2 {
			t.Errorf("only %d reconnections", r)
		}
	})
}

// TestLossyNetwork loses one message in ten between connections that stay, as a route that breaks does.
func TestLossyNetwork(t *testing.T) {
	severally(t, func(t *testing.T, size int) {
		s := serve(t, server.Options{})
		all := openAll(t, s, size, Options{Chunk: 64 << 10, Rest: 20 * time.Millisecond})
		if err := s.GlobalAccount().AddWeightedMappings("t.link.>", server.NewMapDest("t.link.>", 90)); err != nil {
			t.Fatal(err)
		}
		witness, err := nats.Connect(s.ClientURL()) // is sent what is not lost
		if err != nil {
			t.Fatal(err)
		}
		defer witness.Close()
		if _, err := witness.Subscribe("t.link.0.>", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		if err := witness.Flush(); err != nil {
			t.Fatal(err)
		}
		before := s.NumSlowConsumers()
		transfer(t, all[0], all[1:], 2, func(int) {})
		if s.NumSlowConsumers() != before {
			t.Error("the server dropped a client")
		}
		if err := errors.Join(all[0].conn.Flush(), witness.Flush()); err != nil {
			t.Fatal(err)
		}
		if in, out := witness.Stats().InMsgs, all[0].conn.Stats().OutMsgs; in == out {
			t.Errorf("nothing was lost of %d messages; the test shows nothing", in)
		}
	})
}

// TestDuplicates sends chunks twice, before those that precede them, and from beyond the window.
func TestDuplicates(t *testing.T) {
	s := serve(t, server.Options{})
	a, b := open(t, s, 0, 2, Options{}), open(t, s, 1, 2, Options{})
	say := func(h header, data string) {
		if err := a.conn.PublishRequest("t.link.0.1.s", h.String(), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	say(header{chunkKind, 1, 3}, "two")            // before the first
	say(header{chunkKind, Window, 6}, "beyond")    // no sender has it under way
	say(header{chunkKind, 1 << 63, 6}, "far away") // likewise
	say(header{chunkKind, 0, 3}, "one")
	say(header{chunkKind, 0, 3}, "one")
	say(header{chunkKind, 2, 5}, "three")
	say(header{chunkKind, 1, 3}, "two")
	say(header{chunkKind, 0, 3}, "one")
	say(header{chunkKind, 2, 1}, "three") // longer than what is left
	say(header{chunkKind, 2, 5}, "three")
	into := make([]byte, 10)
	for _, want := range []string{"one", "two", "three"} {
		n, err := b.Receive(t.Context(), 0, "s", into)
		if err != nil || string(into[:n]) != want {
			t.Fatalf("%q, %v, want %q", into[:n], err, want)
		}
	}
	i := b.incoming(end{0, "s"})
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.queue)+len(i.early) > 0 || i.arrived != 3 {
		t.Errorf("%d arrived, %d of them are left, %d are early", i.arrived, len(i.queue), len(i.early))
	}
}

// TestWindow wants a sender nobody reads from to stop after a window.
func TestWindow(t *testing.T) {
	s := serve(t, server.Options{})
	o := Options{Chunk: short, Window: 3}
	a, b := open(t, s, 0, 2, o), open(t, s, 1, 2, o)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := a.Send(ctx, []int{1}, "s", make([]byte, 10*short))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "12288 of 40960 bytes") {
		t.Errorf("%v", err)
	}
	i := b.incoming(end{0, "s"})
	i.mu.Lock()
	if len(i.queue) != 3 {
		t.Errorf("%d chunks are unread, the window is 3", len(i.queue))
	}
	i.mu.Unlock()
	if err := a.Send(t.Context(), []int{1}, "s", nil); err == nil || !strings.Contains(err.Error(), "broke before") {
		t.Errorf("a broken stream went on: %v", err)
	}
	if err := a.Send(t.Context(), []int{1}, "other", make([]byte, 2*short)); err != nil {
		t.Errorf("another stream was held up: %v", err)
	}
}

// TestDeadPeer wants waits for a rank that is not there to end, and those for a rank that waits for it to say so.
func TestDeadPeer(t *testing.T) {
	s := serve(t, server.Options{})
	rest := 50 * time.Millisecond
	a := open(t, s, 0, 3, Options{Deadline: 2 * time.Second, Rest: rest})
	b := open(t, s, 1, 3, Options{Deadline: 3 * time.Second, Rest: rest}) // misses rank 2, and waits still, when a gives up
	var wait sync.WaitGroup
	var errs [4]error
	wait.Go(func() { _, errs[0] = b.Receive(t.Context(), 2, "s", nil) })
	wait.Go(func() { errs[1] = b.Send(t.Context(), []int{2}, "s", make([]byte, 1<<20)) })
	wait.Go(func() { _, errs[2] = a.Receive(t.Context(), 1, "s", nil) })
	wait.Go(func() { _, errs[3] = b.Receive(t.Context(), 0, "u", nil) })
	wait.Wait()
	for i, want := range []string{
		"receiving from rank 2, stream s: no progress for .*s, before its first byte; rank 2 does not answer",
		"sending to rank 2, stream s: no progress for .*s, 0 of 1048576 bytes gone; rank 2 does not answer",
		"receiving from rank 1, stream s: no progress for .*s, before its first byte; rank 1 is alive, but waits for rank 2, which does not answer",
		"receiving from rank 0, stream u: no progress for .*s, before its first byte; rank 0 is alive",
	} {
		var timeout *Timeout
		if !errors.As(errs[i], &timeout) || !errors.Is(errs[i], os.ErrDeadlineExceeded) {
			t.Errorf("%v is no Timeout", errs[i])
			continue
		}
		begin, end, _ := strings.Cut(want, ".*s")
		if text := errs[i].Error(); !strings.HasPrefix(text, begin) || !strings.Contains(text, end) {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// TestCancel wants a context's end to end every wait at once.
func TestCancel(t *testing.T) {
	s := serve(t, server.Options{})
	a := open(t, s, 0, 2, Options{Deadline: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { errs <- a.Send(ctx, []int{1}, "s", make([]byte, 1<<20)) }()
	go func() { _, err := a.Receive(ctx, 1, "s", nil); errs <- err }()
	time.Sleep(10 * time.Millisecond)
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "rank 1") {
			t.Errorf("%v", err)
		}
	}
}

// TestWrongUse covers what only a mistake brings.
func TestWrongUse(t *testing.T) {
	s := serve(t, server.Options{})
	a, b := open(t, s, 0, 2, Options{}), open(t, s, 1, 2, Options{})
	for _, stream := range []string{"", "a b", "a.*", ".a", "a..b", ">"} {
		if err := a.Send(t.Context(), []int{1}, stream, nil); err == nil {
			t.Errorf("stream %q was taken", stream)
		}
	}
	for _, to := range []int{-1, 0, 2} {
		if err := a.Send(t.Context(), []int{to}, "s", nil); err == nil {
			t.Errorf("rank 0 spoke to rank %d of 2", to)
		}
	}
	if err := a.Send(t.Context(), []int{1}, "s", make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Receive(t.Context(), 0, "s", make([]byte, 99)); err == nil || !strings.Contains(err.Error(), "rank 0 sent 100 bytes on stream s, there is room for 99") {
		t.Errorf("%v", err)
	}
}

// TestClose wants what was sent just before to arrive, and waits to end.
func TestClose(t *testing.T) {
	s := serve(t, server.Options{})
	a, b := open(t, s, 0, 2, Options{}), open(t, s, 1, 2, Options{})
	ended := make(chan error)
	go func() { _, err := a.Receive(t.Context(), 1, "s", nil); ended <- err }()
	if err := a.Send(t.Context(), []int{1}, "s", []byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a.conn.Close()
	if err := <-ended; !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
	into := make([]byte, 4)
	if _, err := b.Receive(t.Context(), 0, "s", into); err != nil || string(into) != "last" {
		t.Errorf("%q, %v", into, err)
	}
}

// FuzzHeader wants what is not a header to be refused, and what is one to be read as it was written.
func FuzzHeader(f *testing.F) {
	for _, text := range []string{"c0-0", "sffffffffffffffff-1", "q-1", "c00-1", "x1-1", "", "c1--1", "o1-1-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if h, ok := parseHeader(text); ok && h.String() != text {
			t.Errorf("%q was read as %v", text, h)
		}
		l := &Links{prefix: "t.", size: 3}
		if e, ok := l.parse(text); ok && (e.peer < 0 || e.peer > 2) {
			t.Errorf("%q is of rank %d", text, e.peer)
		}
	})
}

// TestHeader covers the numbers at the ends.
func TestHeader(t *testing.T) {
	for _, h := range []header{{chunkKind, 0, 0}, {answerKind, 1<<64 - 1, 1<<64 - 1}, {pongKind, 10, 0}} {
		if got, ok := parseHeader(h.String()); !ok || got != h {
			t.Errorf("%v was read as %v, %v", h, got, ok)
		}
	}
	for _, text := range []string{"", "c", "c1", "c1-", "c-1", "c01-1", "C1-1", "c1-1-", "c1-g", fmt.Sprint("c1-", strings.Repeat("1", 40))} {
		if h, ok := parseHeader(text); ok {
			t.Errorf("%q was read as %v", text, h)
		}
	}
}
