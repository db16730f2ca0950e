package jobs

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"saltern/cluster"
	"saltern/cluster/collective"
	"saltern/cluster/link"
	"saltern/cluster/wire"
	"saltern/compute"
	"saltern/compute/vk"
	"saltern/jobs/place"
	"saltern/model"
)

// group is what the ranks of a job do together; cluster/collective's Group is one.
type group interface {
	model.Exchange
	Barrier(ctx context.Context) error
	Broadcast(ctx context.Context, root int, data []byte) error
	Gather(ctx context.Context, root int, data []byte) ([][]byte, error)
	Stream(name string) *collective.Group
	With(f wire.Format) *collective.Group
	Sent() int64
}

// ranks is this process's place among those that do a job together: all run the same command, and what is done once, and not by
// each, the first of them does while the others wait. Nil is a process that is alone; its methods then do what that means.
type ranks struct {
	group
	whole       *collective.Group // of all ranks, where some of them are in a group of their own
	node, local int               // the node's number, and the rank's among those of the node
	all         context.Context   // ends when a rank is lost, and says which
	seats       []place.Seat      // of all ranks, in their order
	devices     []deviceShare     // of all ranks, by rank
	health      *health           // of the training under way; nil: nobody checks the devices
	shares      *shares           // of the training under way; nil: even
	leave       func(cause error) error
	regroup     func(ctx context.Context) error // leaves the group to those that are left; nil: they stop
	admit       func(ctx context.Context) error // forms one with those that wait to be let in; set with regroup, as is
	applied     func() bool                     // whether there are some, on the first rank
	joined      []cluster.Member                // who was let in when the group was formed, until they have what the others have
	late        bool                            // this rank is one of them
	voice       *voice                          // nil: nobody listens
	now         *model.Ranks                    // of the training under way
	rounding    rounding                        // likewise
	left        string                          // once a rank is lost: what there is to go on from, for people
	asked       atomic.Bool                     // a rank that has no vote has been asked to stop
	unheed      func()                          // ends the listening to those that rest; nil: nobody does
}

// size is how many there are.
func (r *ranks) size() int {
	if r == nil {
		return 1
	}
	return r.Size()
}

// world is how many there are in all, whatever group this one is in.
func (r *ranks) world() int {
	if r == nil || r.whole == nil {
		return r.size()
	}
	return r.whole.Size()
}

// rank is this one's number, from 0.
func (r *ranks) rank() int {
	if r == nil {
		return 0
	}
	return r.Rank()
}

// leads says that this is the rank that writes what is written once.
func (r *ranks) leads() bool { return r.rank() == 0 }

// narrow leaves the group to the first n ranks, of which this is one; widen brings all back.
func (r *ranks) narrow(n int) {
	if n == r.whole.Size() {
		r.widen()
		return
	}
	r.gather(r.whole.First(n))
}

func (r *ranks) widen() { r.gather(r.whole) }

func (r *ranks) gather(g *collective.Group) {
	r.group = g
	if r.now != nil {
		r.now.Exchange, r.now.Sums = r.exchange(), r.sums()
	}
}

// exchange is the group as a trainer takes it.
func (r *ranks) exchange() model.Exchange { return r.heard(r.group) }

// heard is an exchange whose waits those who listen to this rank are told of.
func (r *ranks) heard(x model.Exchange) model.Exchange {
	if r.voice == nil {
		return x
	}
	return timed{x, &r.voice.waits}
}

// agreed is an error that every rank has, or is about to have: nobody needs to be told.
type agreed struct{ error }

func (a agreed) Unwrap() error { return a.error }

// close leaves the others, who are told the cause if there is one that they do not know: then they cannot go on either. One that waits for
// this rank all the same learns that it has left.
func (r *ranks) close(cause error) error {
	if r == nil {
		return nil
	}
	if errors.As(cause, new(agreed)) || KindOf(cause) == Diverged { // which all see alike
		cause = nil
	}
	return r.leave(cause)
}

// within is ctx, ending with the ranks too.
func (r *ranks) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.all, func() { cancel(context.Cause(r.all)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// toldWithin is how long the first rank tries to tell the others what went wrong, when it is to stop itself.
const toldWithin = 10 * time.Second

// first has the first rank do something once all have come here, while the others wait, and tells them how it went: a failure is
// everybody's, and of the same kind. What f writes, all can read afterwards.
func (r *ranks) first(ctx context.Context, f func() error) error {
	return r.helped(ctx, f, nil)
}

// helped is first with something that the other ranks do meanwhile, if help is not nil. As that may wait for the first rank, they
// learn of its failure when it leaves.
func (r *ranks) helped(ctx context.Context, f, help func() error) error {
	if r == nil {
		return f()
	}
	ctx, done := r.within(ctx)
	defer done()
	if err := r.Barrier(ctx); err != nil {
		return r.waited(ctx, err)
	}
	if !r.leads() {
		if help != nil {
			if err := help(); err != nil {
				return r.waited(ctx, err)
			}
		}
		return r.hear(ctx)
	}
	err := f()
	if err != nil && help != nil {
		return err
	}
	telling := ctx
	if err != nil {
		var cancel func()
		telling, cancel = context.WithTimeout(context.WithoutCancel(ctx), toldWithin)
		defer cancel()
	}
	switch failed := r.tell(telling, err); {
	case err == nil:
		return failed
	case failed == nil:
		return agreed{err}
	}
	return err
}

// waited is the error of a wait for other ranks: that one is lost, or that this one was asked to stop.
func (r *ranks) waited(ctx context.Context, err error) error {
	switch {
	case r.all.Err() != nil:
		return context.Cause(r.all) // a *cluster.RankLost
	case ctx.Err() != nil:
		return fmt.Errorf("stopped while waiting for the other ranks: %w", context.Cause(ctx))
	}
	return err
}

// tell is the first rank's part in saying how something went: the error's kind and the length of its words, then these.
func (r *ranks) tell(ctx context.Context, err error) error {
	words, head := "", make([]byte, 8)
	if err != nil {
		words = err.Error()
		binary.LittleEndian.PutUint32(head, uint32(KindOf(err)))
	}
	binary.LittleEndian.PutUint32(head[4:], uint32(len(words)))
	if err := r.Broadcast(ctx, 0, head); err != nil || words == "" {
		return err
	}
	return r.Broadcast(ctx, 0, []byte(words))
}

// hear is the others' part.
func (r *ranks) hear(ctx context.Context) error {
	head := make([]byte, 8)
	if err := r.Broadcast(ctx, 0, head); err != nil {
		return r.waited(ctx, err)
	}
	words := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if len(words) == 0 {
		return nil
	}
	if err := r.Broadcast(ctx, 0, words); err != nil {
		return r.waited(ctx, err)
	}
	return agreed{&Error{Kind(binary.LittleEndian.Uint32(head)), errors.New("rank 0: " + string(words))}}
}

// everybody gives all ranks what each of them has to say, by rank, of values that JSON knows.
func everybody[T any](ctx context.Context, r *ranks, mine T) ([]T, error) {
	if r == nil {
		return []T{mine}, nil
	}
	ctx, done := r.within(ctx)
	defer done()
	text, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	list, err := r.Gather(ctx, 0, text)
	if err != nil {
		return nil, r.waited(ctx, err)
	}
	all, err := r.spread(ctx, bytes.Join(list, []byte(",")))
	if err != nil {
		return nil, err
	}
	var values []T
	return values, json.Unmarshal(append(append([]byte("["), all...), ']'), &values)
}

// spread gives all ranks what the first one has.
func (r *ranks) spread(ctx context.Context, data []byte) ([]byte, error) {
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	if err := r.Broadcast(ctx, 0, size); err != nil {
		return nil, r.waited(ctx, err)
	}
	if !r.leads() {
		data = make([]byte, binary.LittleEndian.Uint64(size))
	}
	if err := r.Broadcast(ctx, 0, data); err != nil {
		return nil, r.waited(ctx, err)
	}
	return data, nil
}

// same is an error where a rank has another value than the first, of what all read from the job's folders. what names it.
func (r *ranks) same(ctx context.Context, what, value string) error {
	values, err := everybody(ctx, r, value)
	if err != nil {
		return err
	}
	for rank, v := range values {
		if v != values[0] {
			return fmt.Errorf("%s: rank %d sees %q, rank 0 %q; the run folder must be the same, on a file system that all ranks share", what, rank, v, values[0])
		}
	}
	return nil
}

// firstOfNode has the first rank of each node do something and then the others, who find what it left on the node.
func (r *ranks) firstOfNode(ctx context.Context, f func() error) error {
	if r == nil {
		return f()
	}
	ctx, done := r.within(ctx)
	defer done()
	for _, turn := range []bool{true, false} {
		if turn == (r.local == 0) {
			if err := f(); err != nil {
				return err
			}
		}
		if err := r.Barrier(ctx); err != nil {
			return r.waited(ctx, err)
		}
	}
	return nil
}

// Numbers of the ranks' own that a step sums with its statistics, in model.Ranks.Also.
const (
	alsoAsked     = iota // ranks that have been asked to stop
	alsoTimeUp           // those of them whose time is up
	alsoLabelWait        // seconds that were waited for soft labels
	alsoApplied          // the first rank: somebody waits to be let in
	alsoHealth           // the first rank: the devices are to be checked
	alsoSeconds          // from here on: each rank's seconds for a microbatch
)

// training is the ranks as a trainer takes them. Its steps end with all ranks or with none, so no signal ends their waits: the ranks
// vote on a stop. b may be a tracer, which then shows the exchange.
func (r *ranks) training(b compute.Backend) *model.Ranks {
	r.rounding = rounding{}
	r.now = &model.Ranks{Exchange: r.exchange(), Context: link.Patience(r.all, stepPatience), Also: make([]float64, alsoSeconds+r.size())}
	if t, ok := b.(*tracer); ok {
		r.now.Observe = t.exchanged
	}
	return r.now
}

// vote says before a step whether this rank has been asked to stop, and whether as its time is up; the step counts the votes, or the end
// of a round.
func (r *ranks) vote(ctx context.Context) {
	if r == nil {
		return
	}
	clear(r.now.Also)
	if ctx.Err() != nil || r.asked.Load() {
		r.now.Also[alsoAsked] = 1
	}
	if r.leads() && r.health.wish(time.Now()) {
		r.now.Also[alsoHealth] = 1
	}
	if errors.Is(context.Cause(ctx), errTimeUp) {
		r.now.Also[alsoTimeUp] = 1
	}
	if r.applied != nil && r.applied() {
		r.now.Also[alsoApplied] = 1
	}
}

// wanted says that somebody waits to be let in, as of the last step.
func (r *ranks) wanted() bool { return r != nil && r.now.Also[alsoApplied] > 0 }

// waiting notes how many seconds this rank has waited for soft labels in the step under way.
func (r *ranks) waiting(seconds float64) {
	if r != nil {
		r.now.Also[alsoLabelWait] = seconds
	}
}

// waitedForLabels is how many seconds the ranks waited for soft labels in the last step, on average.
func (r *ranks) waitedForLabels() float64 { return r.now.Also[alsoLabelWait] / float64(r.size()) }

// agreed says that in the last step, or at the end of the last round, some rank had been asked to stop.
func (r *ranks) agreed() bool { return r.now.Also[alsoAsked] > 0 }

// cause is why the ranks stop, of the same kind for all: time is up where that is all that anybody has said.
func (r *ranks) cause(ctx context.Context) error {
	err := context.Cause(ctx)
	if r == nil {
		return err
	}
	if err == nil {
		err = errors.New("another rank was asked to stop")
	}
	if r.now.Also[alsoTimeUp] == r.now.Also[alsoAsked] {
		return agreed{&Error{Requeue, err}}
	}
	return agreed{&Error{Interrupted, err}}
}

// device is the selector of this rank's device: where nobody names one, the ranks of a node take turns with those that are granted.
func (r *ranks) device(io IO, asked string) (string, error) {
	if r == nil {
		return io.pickAlone(asked)
	}
	return io.pickDevice(asked, r.local)
}

// common is what the devices of all ranks have in common, once all have said what they have: see commonOf.
func (r *ranks) common(ctx context.Context, own compute.Limits, i vk.Info, slow float64) (compute.Limits, error) {
	if r == nil {
		return own, nil
	}
	if err := r.survey(ctx, own, i, slow); err != nil {
		return own, err
	}
	return r.commonOf(numbers(r.size())), nil
}

func matrixTypes(l compute.Limits) (list []compute.DType) {
	for _, m := range l.Matrices {
		if !l.CPU {
			list = append(list, m.In)
		}
	}
	return list
}

// microbatches are the first samples of this rank's microbatches in steps from to end (exclusive).
func (r *ranks) microbatches(c model.TrainConfig, from, end int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for step := from; step < end; step++ {
			first, last := 0, c.Batch/c.Microbatch
			if r != nil {
				first, last = model.ShareOf(r.shares.at(step, last, r.size()), r.rank())
			}
			for i := first; i < last; i++ {
				if !yield(step*int64(c.Batch) + int64(i*c.Microbatch)) {
					return
				}
			}
		}
	}
}

// describe words which rank this is.
func (r *ranks) describe() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf(", rank %d of %d", r.Rank(), r.size())
}

// sum adds up numbers of all ranks, in their order.
func (r *ranks) sum(x []float64) error {
	if r == nil {
		return nil
	}
	return r.AllReduce64(r.all, x)
}
