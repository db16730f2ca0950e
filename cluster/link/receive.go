package link

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// incoming is the receiver's end of a stream.
type incoming struct {
	*Links
	end
	receiving sync.Mutex    // held by Receive
	wake      chan struct{} // something arrived

	mu             sync.Mutex
	queue          []chunk          // arrived, and not taken
	early          map[uint64]chunk // by number: came before one that precedes it
	arrived, taken uint64           // chunks
	told           uint64           // taken, as the sender knows
	waiting        bool             // Receive is
	broken         error
}

func (l *Links) incoming(e end) *incoming {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.in[e]
	if i == nil {
		i = &incoming{Links: l, end: e, wake: make(chan struct{}, 1), early: map[uint64]chunk{}}
		l.in[e] = i
	}
	return i
}

// Receive waits for the next message from a rank, copies it into into, and returns its length. A message that is longer than into is
// an error, after which, as after one amid a message, the stream cannot be used again.
func (l *Links) Receive(ctx context.Context, from int, stream string, into []byte) (int, error) {
	if err := l.check(from, stream); err != nil {
		return 0, err
	}
	i := l.incoming(end{from, stream})
	i.receiving.Lock()
	defer i.receiving.Unlock()
	if i.broken != nil {
		return 0, fmt.Errorf("receiving from rank %d, stream %s: the stream broke before: %w", from, stream, i.broken)
	}
	n, total := 0, -1
	for n != total {
		c, err := i.next(ctx, n, total)
		if err == nil && c.left > len(into)-n {
			err = fmt.Errorf("rank %d sent %d bytes on stream %s, there is room for %d", from, n+c.left, stream, len(into))
		}
		if err != nil {
			if n > 0 || c.left > 0 {
				i.broken = err
			}
			return n, err
		}
		total = n + c.left
		n += copy(into[n:], c.data)
	}
	return n, nil
}

// next waits for a chunk, of a message of which n bytes of total are there, and takes it.
func (i *incoming) next(ctx context.Context, n, total int) (c chunk, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.queue) == 0 {
		if err := i.wait(ctx, n, total); err != nil {
			return c, err
		}
	}
	c = i.queue[0]
	i.queue[0].data = nil
	i.queue = i.queue[1:]
	i.taken++
	if i.taken-i.told >= uint64(i.Window+1)/2 {
		i.tellLocked(statusKind)
	}
	return c, nil
}

func (i *incoming) wait(ctx context.Context, n, total int) error {
	i.waiting = true
	defer func() { i.waiting = false }()
	since, timer := time.Now(), time.NewTimer(i.patience(ctx))
	defer timer.Stop()
	for len(i.queue) == 0 {
		i.mu.Unlock()
		var err error
		select {
		case <-i.wake:
		case <-timer.C:
			err = i.timeout("receiving from", i.end, time.Since(since), n, total)
		case <-i.peers[i.peer].gone:
			err = fmt.Errorf("receiving from rank %d, stream %s, %s: %w", i.peer, i.stream, far(n, total), ErrLeft)
		case <-ctx.Done():
			err = fmt.Errorf("receiving from rank %d, stream %s: %w", i.peer, i.stream, context.Cause(ctx))
		case <-i.done:
			err = fmt.Errorf("receiving from rank %d, stream %s: %w", i.peer, i.stream, errClosed)
		}
		i.mu.Lock()
		if err != nil && len(i.queue) == 0 {
			return err
		}
	}
	return nil
}

// arrive takes a chunk in, and those that follow it and came early.
func (i *incoming) arrive(h header, data []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if h.a < i.arrived || h.a-i.arrived >= uint64(i.Window) || h.b < uint64(len(data)) || h.b > 1<<62 {
		return // a duplicate, or one that no sender has under way
	}
	i.early[h.a] = chunk{h.kind, int(h.b), data}
	for c, there := i.early[i.arrived]; there; c, there = i.early[i.arrived] {
		delete(i.early, i.arrived)
		i.arrived++
		i.queue = append(i.queue, c)
		if c.kind == awaitKind {
			i.tellLocked(statusKind)
		}
	}
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// tell sends the counts.
func (i *incoming) tell(k kind) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tellLocked(k)
}

func (i *incoming) tellLocked(k kind) {
	i.told = i.taken
	i.say(i.end, header{k, i.arrived, i.taken})
}
