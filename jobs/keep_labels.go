package jobs

import (
	"context"
	"errors"
	"os"
	"sync"

	"saltern/distill"
	"saltern/distill/labels"
)

// keeper writes what teachers on other ranks say to a file, for other students: the one that these would make with "saltern label". It gets
// a copy of everything, on a stream of its own.
type keeper struct {
	ended  chan struct{}
	cancel context.CancelFunc

	mu    sync.Mutex
	step  int64 // under way
	until int64 // the step before which it ends
}

// keep begins, on the first rank, with the labels from the loop's step on.
func (l *loop) keep(s distill.Subscriber, end int64) (k *keeper, err error) {
	work, err := l.labeling(l.s)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(work.dir, 0o777); err != nil {
		return nil, err
	}
	if s.Coder, err = labels.NewCoder(work.Settings); err != nil {
		return nil, err
	}
	w, err := labels.Append(work.path(), work.Settings)
	if err != nil {
		return nil, err
	}
	s.Mail = l.s.ranks.whole.Stream(l.keptMail())
	order, n := l.orderAt(l.order, 0), l.s.set.Train.Sequences(l.Train.Sequence)
	ctx, cancel := context.WithCancel(l.s.ranks.all)
	k = &keeper{ended: make(chan struct{}), cancel: cancel, until: end}
	from := l.step
	go func() {
		defer close(k.ended)
		var lost error // what keeps a label from the file keeps nobody from learning from it
		failed := s.Each(ctx, from, end, k.goesOn, func(sample int64, x *labels.Labels) error {
			if sequence := work.denoising.number(order, n, sample); lost == nil && !w.Has(sequence) {
				if lost = w.Add(sequence, x); lost != nil {
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
