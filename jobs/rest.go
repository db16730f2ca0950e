package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"saltern/cluster/collective"
	"saltern/cluster/link"
)

// Some ranks do something that the rest have no part in: devices that cannot hold the model rest while it is trained, and in stage 1 students
// form a group of their own. Those in the first seats do it, and rank 0 tells the rest how it went, whatever they do meanwhile.

// leaves says that not all ranks are among the first n.
func (r *ranks) leaves(n int) bool { return r != nil && n > 0 && n < r.size() }

// among has this rank, which is one of the first n, do something in the group of these.
func (r *ranks) among(n int, f func() error) error {
	if !r.leaves(n) {
		return f()
	}
	r.narrow(n)
	defer r.widen()
	return f()
}

// enter has the first n ranks, of which this is one, be all that there are, until leave is called with how it ended.
func (r *ranks) enter(n int) (leave func(err error) error) {
	whole := r.whole
	r.narrow(n)
	r.heed()
	r.whole = whole.First(n)
	r.widen()
	return func(err error) error {
		r.whole = whole
		r.narrow(n)
		return r.part(err)
	}
}

// verdict is how something that the first ranks do ended, as rank 0 tells the rest.
type verdict struct {
	Examine bool // not yet: who teaches is to be checked; nothing else is said

	Over  bool   // so is the training, for this time
	Kind  Kind   // of the error that ended it; 0: none
	Words string // the error's
}

// mostWords is how much of these is told.
const mostWords = 4 << 10

// tellRest tells the ranks outside of the group, of which this is one.
func (r *ranks) tellRest(v verdict) error {
	if !r.leads() {
		return nil
	}
	v.Words = v.Words[:min(len(v.Words), mostWords)]
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.all, toldWithin)
	defer cancel()
	for rank := r.size(); rank < r.whole.Size(); rank++ {
		err = errors.Join(err, r.whole.Stream("rest").Send(ctx, rank, text))
	}
	return err
}

// hearVerdict waits for that.
func (r *ranks) hearVerdict() (v verdict, err error) {
	text := make([]byte, 1<<16)
	n, err := hear(r.all, r.whole.Stream("rest"), 0, text)
	if err != nil {
		return v, r.waited(r.all, err)
	}
	return v, json.Unmarshal(text[:n], &v)
}

// hear receives a message, however long that takes: a rank that lives need have nothing to say.
func hear(ctx context.Context, g *collective.Group, from int, into []byte) (n int, err error) {
	for {
		n, err = g.Receive(ctx, from, into)
		if ctx.Err() != nil || !errors.As(err, new(*link.Timeout)) {
			return n, err
		}
	}
}

// heed has rank 0 take note when one of the rest is asked to stop, until the group parts: those in it decide on that.
func (r *ranks) heed() {
	if !r.leads() || r.size() == r.whole.Size() {
		return
	}
	ctx, cancel := context.WithCancel(r.all)
	var ears sync.WaitGroup
	stream, before := r.whole.Stream("asked"), r.unheed
	for rank := r.size(); rank < r.whole.Size(); rank++ {
		ears.Go(func() {
			if _, err := hear(ctx, stream, rank, make([]byte, 1)); err == nil {
				r.asked.Store(true)
			}
		})
	}
	r.unheed = func() {
		cancel()
		ears.Wait()
		if r.unheed = before; before != nil {
			before()
		}
	}
}

// part ends what the group has done without the rest, and brings all back together. err is how it ended, and what comes of it.
func (r *ranks) part(err error) error {
	if r == nil || r.size() == r.whole.Size() {
		return err
	}
	if r.unheed != nil {
		r.unheed()
	}
	failed := r.tellRest(verdict{Over: true, Kind: KindOf(err), Words: fmt.Sprint(err)})
	r.widen()
	if err != nil {
		return err // of which the rest have been told, if they could
	}
	return errors.Join(failed, r.meetAgain())
}

// meetAgain is where all ranks meet that were apart.
func (r *ranks) meetAgain() error { return r.first(r.all, func() error { return nil }) }

// rests says that this rank does not train, as its device is too small for the model, or too slow.
func (t *training) rests(r *ranks) bool { return r.leaves(t.ranks) && r.rank() >= t.ranks }

// rest is what such a rank does while the others train.
func (t *training) rest(ctx context.Context, s *session) (*outcome, error) {
	r := s.ranks
	stream := r.whole.Stream("asked")
	defer context.AfterFunc(ctx, func() { _ = stream.Send(r.all, 0, []byte{1}) })() // who cannot be told that has ended
	s.say("%s: this rank waits for the %d of %d that train", t.label, t.ranks, r.size())
	r.voice.rests(t, s)
	v, err := r.hearVerdict()
	if err != nil {
		return nil, err
	}
	return t.told(r, v)
}

// told is how a training ended for a rank that hears of it.
func (t *training) told(r *ranks, v verdict) (*outcome, error) {
	if v.Kind != OK {
		return nil, agreed{&Error{v.Kind, errors.New("rank 0: " + v.Words)}}
	}
	if err := r.meetAgain(); err != nil {
		return nil, err
	}
	return t.finished()
}
