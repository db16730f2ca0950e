package jobs

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"saltern/distill"
	"saltern/distill/labels"
)

// keeper writes what teachers on other ranks say to a file, for the students' next start and for other students: the one that these would make
// with "saltern label". It gets a copy of everything, on a stream of its own.
type keeper struct {
	ended  chan struct{}
	cancel context.CancelFunc

	mu    sync.Mutex
	step  int64 // under way
	until int64 // the step before which it ends
}

// openKept opens the file on the first rank, to go on with it, and says which microbatches it holds from the loop's step on.
func (l *loop) openKept() (w *labels.Writer, has *keptMicrobatches, err error) {
	work, err := l.labeling(l.s)
	if err == nil {
		err = os.MkdirAll(work.dir, 0o777)
	}
	if err == nil {
		w, err = labels.Append(work.path(), work.Settings)
	}
	if err != nil {
		return nil, nil, err
	}
	has = &keptMicrobatches{From: l.step * int64(l.Train.Batch), Each: int64(l.Train.Microbatch)}
	end := l.Distill.TeacherSteps(l.Train.Steps) * int64(l.Train.Batch)
	sequence := l.sequences(work)
	for first := has.From; first < end; first += has.Each {
		all := true
		for sample := first; sample < first+has.Each && all; sample++ {
			all = w.Has(sequence(sample))
		}
		has.All = append(has.All, all)
	}
	return w, has, nil
}

// sequences says which sequence of the text a sample is, while the teacher helps.
func (l *loop) sequences(work *labeling) func(sample int64) int64 {
	order, n := l.orderAt(l.order, 0), l.s.set.Train.Sequences(l.Train.Sequence)
	return func(sample int64) int64 { return work.denoising.number(order, n, sample) }
}

// keptMicrobatches are those whose labels lie in the file when stage 1 begins, or goes on.
type keptMicrobatches struct {
	From, Each int64 // first sample, samples of a microbatch
	All        []bool
}

// kept is what a rank knows of them; nil: there are none.
func (k *keptMicrobatches) kept() *distill.Kept {
	if k == nil || !slices.Contains(k.All, true) {
		return nil
	}
	return &distill.Kept{Has: func(first int64) bool {
		i := (first - k.From) / k.Each
		return i >= 0 && i < int64(len(k.All)) && k.All[i]
	}}
}

// count is how many there are.
func (k *keptMicrobatches) count() (n int) {
	for _, all := range k.All {
		if all {
			n++
		}
	}
	return n
}

// readKept opens the file for a student that reads what is kept.
func (l *loop) readKept(k *distill.Kept) (*labels.File, error) {
	if k == nil {
		return nil, nil
	}
	work, err := l.labeling(l.s)
	if err != nil {
		return nil, err
	}
	f, err := labels.Open(work.path())
	if err != nil {
		return nil, err
	}
	sequence := l.sequences(work)
	k.Read = func(sample int64, into *labels.Labels) error { return f.Sequence(sequence(sample), into) }
	return f, nil
}

// keep begins, on the first rank, with the labels from the loop's step on. It closes w.
func (l *loop) keep(s distill.Subscriber, w *labels.Writer, end int64) (k *keeper, err error) {
	work, err := l.labeling(l.s)
	if err == nil {
		s.Coder, err = labels.NewCoder(work.Settings)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	s.Mail = l.s.ranks.whole.Stream(l.keptMail())
	sequence := l.sequences(work)
	ctx, cancel := context.WithCancel(l.s.ranks.all)
	k = &keeper{ended: make(chan struct{}), cancel: cancel, until: end}
	from := l.step
	go func() {
		defer close(k.ended)
		var lost error // what keeps a label from the file keeps nobody from learning from it
		failed := s.Each(ctx, from, end, k.goesOn, func(sample int64, x *labels.Labels) error {
			if number := sequence(sample); lost == nil && !w.Has(number) {
				if lost = w.Add(number, x); lost != nil {
					l.s.say("%s: the soft labels are kept no more: %v", l.label, lost)
				}
			}
			return nil
		})
		if ctx.Err() != nil {
			failed = nil // it was told to end
		}
		if failed = errors.Join(failed, w.Close()); failed != nil && lost == nil {
			l.s.say("%s: the soft labels were not kept to the end: %v", l.label, failed)
		}
	}()
	return k, nil
}

// keptMail is the stream of the copies.
func (l *loop) keptMail() string { return "kept-" + l.mail() }

// goesOn says that a step is still to be kept.
func (k *keeper) goesOn(step int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.step = step
	return step < k.until
}

// end waits for all that was said of the steps before one, and gives up what comes after it.
func (k *keeper) end(step int64) {
	if k == nil {
		return
	}
	k.mu.Lock()
	k.until = min(k.until, step)
	ahead := k.step >= k.until
	k.mu.Unlock()
	if ahead {
		k.cancel()
	}
	<-k.ended
	k.cancel()
}
