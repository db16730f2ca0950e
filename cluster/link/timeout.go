package link

import (
	"errors"
	"fmt"
	"os"
	"time"
)

var errClosed = errors.New("the connection was closed on this rank")

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
	far := "before its first byte"
	if e.Total >= 0 {
		far = fmt.Sprintf("%d of %d bytes gone", e.Done, e.Total)
	}
	why := fmt.Sprintf("rank %d is alive, but has not come to it", e.Peer)
	switch {
	case e.Cut:
		why = "this rank is not connected to its server"
	case e.Missing == e.Peer:
		why = fmt.Sprintf("rank %d does not answer", e.Peer)
	case e.Missing >= 0:
		why = fmt.Sprintf("rank %d is alive, but waits for rank %d, which does not answer", e.Peer, e.Missing)
	}
	return fmt.Sprintf("%s rank %d, stream %s: no progress for %s, %s; %s", e.What, e.Peer, e.Stream, e.Waited.Round(time.Millisecond), far, why)
}

// Unwrap makes it a deadline that was exceeded.
func (e *Timeout) Unwrap() error { return os.ErrDeadlineExceeded }

func (l *Links) timeout(what string, e end, waited time.Duration, done, total int) error {
	t := &Timeout{What: what, Peer: e.peer, Stream: e.stream, Waited: waited, Done: done, Total: total, Missing: -1, Cut: !l.conn.IsConnected()}
	if p := &l.peers[e.peer]; time.Since(time.Unix(0, p.heard.Load())) > l.Deadline/2 {
		t.Missing = e.peer
	} else if m := int(p.misses.Load()) - 1; m != l.rank {
		t.Missing = m
	}
	return t
}
