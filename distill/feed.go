package distill

import (
	"fmt"
	"iter"

	"saltern/distill/labels"
)

// Feed reads and decodes soft labels ahead of the steps that need them, so that no step waits.
type Feed struct {
	ready chan fed
	free  chan *labels.Labels
	stop  chan struct{}
	held  *labels.Labels // by whoever asked last
}

// fed is a microbatch, or why there is none.
type fed struct {
	first  int64
	labels *labels.Labels
	err    error
}

// ahead is how many microbatches are held ready besides the one in use.
const ahead = 2

// Microbatches are the first samples of all microbatches of b from the sample from to end (exclusive).
func Microbatches(from, end int64, b int) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for first := from; first < end && yield(first); first += int64(b) {
		}
	}
}

// NewFeed begins to read the labels of microbatches of b samples, which begin with those of firsts; sequence says which sequence a
// sample is. Without a ghost, the tail of the labels is given to the ids that were kept.
func NewFeed(f *labels.File, ghost bool, b int, firsts iter.Seq[int64], sequence func(sample int64) int64) *Feed {
	T := f.Settings.Sequence
	return newFeed(b*T, f.Count, ghost, firsts, func(first int64, l *labels.Labels) error {
		for i := range b {
			if err := f.Sequence(sequence(first+int64(i)), l.Rows(i*T, (i+1)*T)); err != nil {
				return err
			}
		}
		return nil
	})
}

// newFeed begins to fill the labels of the microbatches, n tokens each with count numbers, that begin with firsts.
func newFeed(n, count int, ghost bool, firsts iter.Seq[int64], fill func(first int64, l *labels.Labels) error) *Feed {
	d := &Feed{ready: make(chan fed, ahead), free: make(chan *labels.Labels, ahead+1), stop: make(chan struct{})}
	for range ahead + 1 {
		d.free <- labels.New(n, count)
	}
	go func() {
		defer close(d.ready)
		for first := range firsts {
			select {
			case <-d.stop:
				return
			case l := <-d.free:
				err := fill(first, l)
				if err == nil && !ghost {
					l.Renormalise()
				}
				d.ready <- fed{first, l, err}
				if err != nil {
					return
				}
			}
		}
	}()
	return d
}

// Next gives the labels of the microbatch that begins with sample first, which must come next. They are good until Next is called again.
func (d *Feed) Next(first int64) (*labels.Labels, error) {
	if d.held != nil {
		d.free <- d.held
		d.held = nil
	}
	x, ok := <-d.ready
	if !ok || x.err == nil && x.first != first {
		return nil, fmt.Errorf("bug: soft labels of sample %d were not to be read now", first)
	}
	d.held = x.labels
	return x.labels, x.err
}

// Close ends the reading.
func (d *Feed) Close() {
	close(d.stop)
	for range d.ready {
		continue
	}
}
