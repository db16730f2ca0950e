package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

var errClosed = errors.New("the connection was closed on this rank")

// ErrLeft ends the wait for a rank that has left: it has done its part, as far as it knows, and sends no more.
var ErrLeft = errors.New("it has left the job, and told of no failure")

// patienceKey is of a context's value: the longest wait without progress.
type patienceKey struct{}

// Patience is ctx for waits that end after limit without progress, where that is less than Options.Deadline.
func Patience(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, limit)
}

// patience is the longest wait without progress.
func (o *Options) patience(ctx context.Context) time.Duration {
	if limit, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		return min(limit, o.Deadline)
	}
	return o.Deadline
}

// far is how far a message was.
func far(done, total int) string {
	if total < 0 {
		return "before its first byte"
	}
	return fmt.Sprintf("%d of %d bytes gone", done, total)
}

// Timeout is a wait that saw no progress for Options.Deadline.
type Timeout struct {
	What    string // "sending to" or "receiving from"
	Peer    int    // the rank waited for
	Stream  string
	Waited  time.Duration // without progress
	Done    int           // bytes of the message that were sent and have arrived, or were received
	Total   int           // bytes of the message; -1: nothing of it has come
	Missing int           // the rank that does not answer, Peer or whom Peer waits for; -1: none, Peer is alive and does not come to it
	Cut     bool          // this rank itself is not connected
}

func (e *Timeout) Error() string {
	why := fmt.Sprintf("rank %d is alive, but has not come to it", e.Peer)
	switch {
	case e.Cut:
		why = "this rank is not connected to its server"
	case e.Missing == e.Peer:
		why = fmt.Sprintf("rank %d does not answer", e.Peer)
	case e.Missing >= 0:
		why = fmt.Sprintf("rank %d is alive, but waits for rank %d, which does not answer", e.Peer, e.Missing)
	}
	return fmt.Sprintf("%s rank %d, stream %s: no progress for %s, %s; %s", e.What, e.Peer, e.Stream, e.Waited.Round(time.Millisecond), far(e.Done, e.Total), why)
}

// Unwrap makes it a deadline that was exceeded.
func (e *Timeout) Unwrap() error { return os.ErrDeadlineExceeded }

func (l *Links) timeout(what string, e end, waited time.Duration, done, total int) error {
	t := &Timeout{What: what, Peer: e.peer, Stream: e.stream, Waited: waited, Done: done, Total: total, Missing: -1, Cut: !l.conn.IsConnected()}
	if l.silent(e.peer) {
		t.Missing = e.peer
	} else if m := int(l.peers[e.peer].misses.Load()) - 1; m != l.rank {
		t.Missing = m
	}
	return t
}

// silent says that a rank has not been heard for half the deadline.
func (l *Links) silent(rank int) bool {
	return time.Since(time.Unix(0, l.peers[rank].heard.Load())) > l.Deadline/2
}
