package link

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// wait returns when done says so of every receiver, which is asked with o.mu held, as is how far it was.
func (o *outgoing) wait(ctx context.Context, done func(*receiver) bool, far func(*receiver) int, total int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	awaited := o.await(done)
	if len(awaited) == 0 {
		return nil
	}
	defer o.await(func(*receiver) bool { return true })
	since, timer := time.Now(), time.NewTimer(o.patience(ctx))
	defer timer.Stop()
	for counts := o.counts(); len(awaited) > 0; awaited = o.await(done) {
		if now := o.counts(); now != counts {
			counts, since = now, time.Now()
			timer.Reset(o.patience(ctx))
		}
		r, late, err := awaited[0], false, error(nil)
		if i := slices.IndexFunc(awaited, (*receiver).left); i >= 0 {
			r, err = awaited[i], ErrLeft
		} else {
			o.mu.Unlock()
			select {
			case <-o.wake:
			case <-timer.C:
				late = true
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-o.done:
				err = errClosed
			}
			o.mu.Lock()
			awaited = o.await(done)
		}
		switch {
		case len(awaited) == 0:
			return nil
		case late:
			r = awaited[max(0, slices.IndexFunc(awaited, (*receiver).silent))]
			return o.timeout("sending to", r.end, time.Since(since), far(r), total)
		case err != nil:
			return fmt.Errorf("sending to rank %d, stream %s, %d of %d bytes gone: %w", r.peer, o.stream, far(r), total, err)
		}
	}
	return nil
}

// await are the receivers that are not done, which are marked as such for tend.
func (o *outgoing) await(done func(*receiver) bool) (list []*receiver) {
	for _, r := range o.receivers {
		if r.awaited = !done(r); r.awaited {
			list = append(list, r)
		}
	}
	return list
}

// counts grows with every progress of a receiver.
func (o *outgoing) counts() (n uint64) {
	for _, r := range o.receivers {
		n += r.arrived + r.taken
	}
	return n
}

// left says that the receiver has left, and nothing of it is under way any more.
func (r *receiver) left() bool {
	select {
	case <-r.peers[r.peer].gone:
		return true
	default:
		return false
	}
}

// silent says that the receiver does not answer.
func (r *receiver) silent() bool { return r.Links.silent(r.peer) }
