package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// outgoing is the sender's end of a stream.
type outgoing struct {
	*Links
	stream  string
	to      []int
	set     *set          // of to; nil where that is one rank
	sending sync.Mutex    // held by Send
	wake    chan struct{} // a count has grown, or a receiver has left

	mu        sync.Mutex
	kept      []chunk // sent, and not known to have arrived everywhere: the last ones before number next
	next      uint64  // number of the next chunk
	receivers []*receiver

	broken error // of an earlier Send
}

// receiver is what a sender knows of one that its stream is for. The outgoing's mutex guards it.
type receiver struct {
	*outgoing
	end
	arrived, taken uint64 // chunks that it has, and that its Receive gave away
	asked          uint64 // next, at the last question that was not answered; 0: none
	news           bool   // since tend last looked
	awaited        bool   // Send waits for it
}

// chunk is part of a message: data, and how much of the message was left with it.
type chunk struct {
	kind kind
	left int
	data []byte
}

// outgoing is the stream of that name to these ranks, which is the only one of its name to any of them.
func (l *Links) outgoing(to []int, stream string) (*outgoing, error) {
	if len(to) == 0 {
		return nil, fmt.Errorf("bug: rank %d sends to nobody", l.rank)
	}
	if o, err := l.known(to, stream); o != nil || err != nil {
		return o, err
	}
	o := &outgoing{Links: l, stream: stream, to: slices.Clone(to), set: l.setOf(to), wake: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rank := range to {
		r := &receiver{outgoing: o, end: end{rank, stream}}
		o.receivers = append(o.receivers, r)
		l.out[r.end] = r
	}
	return o, nil
}

// known is a stream that has been sent on.
func (l *Links) known(to []int, stream string) (*outgoing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.out[end{to[0], stream}]; r != nil && slices.Equal(r.to, to) {
		return r.outgoing, nil
	}
	for i, rank := range to {
		if err := l.check(rank, stream); err != nil {
			return nil, err
		}
		if r := l.out[end{rank, stream}]; r != nil || slices.Contains(to[:i], rank) {
			return nil, fmt.Errorf("bug: stream %s from rank %d to rank %d has one set of receivers, each once: %v is another", stream, l.rank, rank, to)
		}
	}
	return nil, nil
}

// receiver is the one that a rank's counts on a stream are of; nil: nothing was sent to it there.
func (l *Links) receiver(e end) *receiver {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out[e]
}

// Send sends data to one rank or to several, which receive it from their own ends of the stream. A name's stream is to the same ranks whenever
// it is used. Send returns when data may be changed, which is when all of it has arrived at all of them, or at once where it is
// short and the window has room. After an error the stream cannot be used again.
func (l *Links) Send(ctx context.Context, to []int, stream string, data []byte) error {
	o, err := l.outgoing(to, stream)
	if err != nil {
		return err
	}
	o.sending.Lock()
	defer o.sending.Unlock()
	if o.broken != nil {
		return fmt.Errorf("sending to rank %d, stream %s: the stream broke before: %w", to[0], stream, o.broken)
	}
	if err = o.send(ctx, data); err != nil {
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
		hasRoom := func(r *receiver) bool { return o.next-r.taken < uint64(o.Window) }
		if err := o.wait(ctx, hasRoom, func(*receiver) int { return sent }, total); err != nil {
			return err
		}
		c := chunk{chunkKind, len(data), data[:n]}
		if n == len(data) && !copied {
			c.kind = awaitKind
		}
		if err := o.add(c); err != nil {
			return fmt.Errorf("sending to rank %d, stream %s: %w", o.to[0], o.stream, err)
		}
		data = data[n:]
	}
	if copied {
		return nil
	}
	return o.wait(ctx, func(r *receiver) bool { return r.arrived == o.next }, func(r *receiver) int { return total - r.unarrived() }, total)
}

// missed are the chunks that are not known to have arrived, from number first on.
func (r *receiver) missed() (chunks []chunk, first uint64) {
	oldest := r.next - uint64(len(r.kept))
	first = max(r.arrived, oldest)
	return r.kept[first-oldest:], first
}

// unarrived is how many bytes are not known to have arrived.
func (r *receiver) unarrived() (n int) {
	chunks, _ := r.missed()
	for _, c := range chunks {
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
	if o.set != nil {
		deaf := o.set.deaf()
		if len(deaf) == 0 {
			return o.publish(setToken(o.set.number), o.next-1, c)
		}
		for _, rank := range deaf {
			o.say(end{rank, o.stream}, header{kind: inviteKind, a: o.set.number})
		}
	}
	for _, rank := range o.to {
		if err := o.publish(strconv.Itoa(rank), o.next-1, c); err != nil {
			return err
		}
	}
	return nil
}

// publish hands a chunk to the connection, if there is one. What a broken one loses is sent again; only an error that would come again is returned.
func (o *outgoing) publish(to string, number uint64, c chunk) error {
	if !o.conn.IsConnected() && !o.conn.IsClosed() {
		return nil
	}
	err := o.conn.PublishRequest(o.subject(to, o.stream), header{c.kind, number, uint64(c.left)}.String(), c.data)
	for _, lasting := range []error{nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrMaxPayload, nats.ErrBadSubject} {
		if errors.Is(err, lasting) {
			return err
		}
	}
	return nil
}

// learn takes in the receiver's counts. If they answer a question, chunks that were sent before it and have not arrived are lost: it, and
// all that followed, is sent again, to this receiver alone.
func (r *receiver) learn(h header, answer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.a > r.next || h.b > h.a {
		return // of another life
	}
	r.news = true
	if h.a > r.arrived {
		r.arrived = h.a
		r.forget()
	}
	r.taken = max(r.taken, h.b)
	if answer && r.arrived < r.asked && h.a == r.arrived {
		chunks, first := r.missed()
		for i, c := range chunks {
			_ = r.publish(strconv.Itoa(r.peer), first+uint64(i), c)
		}
	}
	if answer {
		r.asked = 0
	}
	r.rouse()
}

// forget lets go of the chunks that have arrived everywhere.
func (o *outgoing) forget() {
	oldest := o.next
	for _, r := range o.receivers {
		oldest = min(oldest, r.arrived)
	}
	if n := o.next - oldest; n < uint64(len(o.kept)) {
		o.kept = o.kept[uint64(len(o.kept))-n:]
	}
}

// rouse has wait look again.
func (o *outgoing) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
