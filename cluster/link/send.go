package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// outgoing is the sender's end of a stream.
type outgoing struct {
	*Links
	end
	subject string
	sending sync.Mutex    // held by Send
	wake    chan struct{} // a count has grown

	mu             sync.Mutex
	kept           []chunk // sent, and not known to have arrived: number arrived and those after it
	next           uint64  // number of the next chunk
	arrived, taken uint64  // chunks that the receiver has, and that Receive gave away
	asked          uint64  // next, at the last question that was not answered; 0: none
	news           bool    // since tend last looked
	waiting        bool    // Send is

	broken error // of an earlier Send
}

// chunk is part of a message: data, and how much of the message was left with it.
type chunk struct {
	kind kind
	left int
	data []byte
}

func (l *Links) outgoing(e end) *outgoing {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.out[e]
	if o == nil {
		o = &outgoing{Links: l, end: e, subject: l.subject(e.peer, e.stream), wake: make(chan struct{}, 1)}
		l.out[e] = o
	}
	return o
}

// Send sends data to a rank. It returns when data may be changed, which is when all of it has arrived, or at once where it is
// short and the window has room. After an error the stream cannot be used again.
func (l *Links) Send(ctx context.Context, to int, stream string, data []byte) error {
	if err := l.check(to, stream); err != nil {
		return err
	}
	o := l.outgoing(end{to, stream})
	o.sending.Lock()
	defer o.sending.Unlock()
	if o.broken != nil {
		return fmt.Errorf("sending to rank %d, stream %s: the stream broke before: %w", to, stream, o.broken)
	}
	err := o.send(ctx, data)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.kept, o.broken = nil, err // data is the caller's again
	}
	return err
}

func (o *outgoing) send(ctx context.Context, data []byte) error {
	total, copied := len(data), len(data) <= short
	if copied {
		data = bytes.Clone(data)
	}
	for first := true; first || len(data) > 0; first = false {
		n := min(o.Chunk, len(data))
		sent := total - len(data)
		if err := o.wait(ctx, func() bool { return o.next-o.taken < uint64(o.Window) }, func() int { return sent }, total); err != nil {
			return err
		}
		c := chunk{chunkKind, len(data), data[:n]}
		if n == len(data) && !copied {
			c.kind = awaitKind
		}
		if err := o.add(c); err != nil {
			return fmt.Errorf("sending to rank %d, stream %s: %w", o.peer, o.stream, err)
		}
		data = data[n:]
	}
	if copied {
		return nil
	}
	return o.wait(ctx, func() bool { return o.arrived == o.next }, func() int { return total - o.unarrived() }, total)
}

// unarrived is how many bytes are not known to have arrived. o.mu is held.
func (o *outgoing) unarrived() (n int) {
	for _, c := range o.kept {
		n += len(c.data)
	}
	return n
}

// add sends a new chunk and keeps it.
func (o *outgoing) add(c chunk) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, c)
	o.next++
	return o.publish(o.next-1, c)
}

// publish hands a chunk to the connection, if there is one. What a broken one loses is sent again; only an error that would come again is returned.
func (o *outgoing) publish(number uint64, c chunk) error {
	if !o.conn.IsConnected() && !o.conn.IsClosed() {
		return nil
	}
	err := o.conn.PublishRequest(o.subject, header{c.kind, number, uint64(c.left)}.String(), c.data)
	for _, lasting := range []error{nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrMaxPayload, nats.ErrBadSubject} {
		if errors.Is(err, lasting) {
			return err
		}
	}
	return nil
}

// learn takes in the receiver's counts. If they answer a question, chunks that were sent before it and have not arrived are lost: it, and
// all that followed and was therefore not taken, is sent again.
func (o *outgoing) learn(h header, answer bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h.a > o.next || h.b > h.a {
		return // of another life
	}
	o.news = true
	if h.a > o.arrived {
		if o.kept != nil {
			o.kept = o.kept[min(h.a-o.arrived, uint64(len(o.kept))):]
		}
		o.arrived = h.a
	}
	o.taken = max(o.taken, h.b)
	if answer && o.arrived < o.asked && h.a == o.arrived {
		for i, c := range o.kept {
			_ = o.publish(o.arrived+uint64(i), c)
		}
	}
	if answer {
		o.asked = 0
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// wait returns when done says so, which is asked with o.mu held, as is how far it was.
func (o *outgoing) wait(ctx context.Context, done func() bool, far func() int, total int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if done() {
		return nil
	}
	o.waiting = true
	defer func() { o.waiting = false }()
	since, timer := time.Now(), time.NewTimer(o.patience(ctx))
	defer timer.Stop()
	for arrived, taken := o.arrived, o.taken; !done(); {
		o.mu.Unlock()
		var err error
		select {
		case <-o.wake:
		case <-timer.C:
			err = &Timeout{}
		case <-o.peers[o.peer].gone:
			err = ErrLeft
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-o.done:
			err = errClosed
		}
		o.mu.Lock()
		if done() {
			return nil
		}
		if _, late := err.(*Timeout); late {
			return o.timeout("sending to", o.end, time.Since(since), far(), total)
		}
		if err != nil {
			return fmt.Errorf("sending to rank %d, stream %s, %d of %d bytes gone: %w", o.peer, o.stream, far(), total, err)
		}
		if arrived != o.arrived || taken != o.taken {
			arrived, taken, since = o.arrived, o.taken, time.Now()
			timer.Reset(o.patience(ctx))
		}
	}
	return nil
}
