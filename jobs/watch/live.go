package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster"
	"saltern/cluster/status"
)

// Live listens to the ranks of the job in a run folder, whenever there are some. Close it.
type Live struct {
	dir string

	mu       sync.Mutex
	observer *cluster.Observer // written by one goroutine alone
	note     string
	board    board

	stop  chan struct{}
	tried chan struct{} // closed once a connection was tried
	done  sync.WaitGroup
}

// again is how often a connection is tried, and looked after.
const again = 2 * time.Second

// Listen begins to listen. Connecting may take a while, and happens meanwhile.
func Listen(dir string) *Live {
	l := &Live{dir: dir, board: board{}, stop: make(chan struct{}), tried: make(chan struct{})}
	l.done.Go(func() {
		for tries := 0; ; tries++ {
			l.attend()
			if tries == 0 {
				close(l.tried)
			}
			select {
			case <-l.stop:
				return
			case <-time.After(again):
			}
		}
	})
	return l
}

// attend connects where that is possible and not done, and ends a connection to a job that is over. A panic here would leave the
// terminal as it must not be left.
func (l *Live) attend() {
	defer func() {
		if p := recover(); p != nil {
			l.set(nil, fmt.Sprintf("bug: %v", p))
		}
	}()
	if l.observer != nil {
		if l.observer.Over() {
			l.observer.Close()
			l.mu.Lock()
			l.observer = nil
			l.mu.Unlock()
		} else {
			note := ""
			if l.observer.Conn().Status() != nats.CONNECTED {
				note = "the connection to the ranks is lost; what is new comes from the files alone"
			}
			l.set(nil, note)
			return
		}
	}
	o, err := cluster.Attach(l.dir)
	if err == nil {
		if _, err = status.Subscribe(o.Conn(), o.Subject(cluster.Status+".*"), l.hear); err != nil {
			o.Close()
		}
	}
	switch {
	case errors.Is(err, cluster.ErrNoInvitation): // one process alone, or a job that is not running
		l.set(board{}, "")
	case errors.Is(err, fs.ErrPermission):
		l.set(board{}, fmt.Sprintf("from the files alone: the ranks speak only to the user who runs the job (%v)", err))
	case err != nil:
		l.set(board{}, fmt.Sprintf("from the files alone: %v", err))
	default:
		l.set(board{}, "")
		l.mu.Lock()
		l.observer = o
		l.mu.Unlock()
	}
}

// set notes how the connection is, and begins with another board where it is not nil.
func (l *Live) set(b board, note string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.note = note; b != nil {
		l.board = b
	}
}

func (l *Live) hear(r status.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.board.hear(r, time.Now())
}

// Wait returns when ranks have had the time to say what there is to be seen of them, or when it is known that they will not: some
// seconds, as each speaks once a second and tells what it sends at the ends of steps.
func (l *Live) Wait(ctx context.Context) {
	select {
	case <-l.tried:
	case <-ctx.Done():
		return
	}
	for start := time.Now(); ; {
		l.mu.Lock()
		connected, counted := l.observer != nil, l.board.counted()
		l.mu.Unlock()
		waited := time.Since(start)
		if !connected || waited > 6*time.Second || counted && waited > 2300*time.Millisecond {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// Add puts what is known of the ranks into a state.
func (l *Live) Add(s *State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Ranks = l.board.ranks()
	if l.note != "" {
		s.Notes = append(s.Notes, l.note)
	}
}

// Close ends the connection.
func (l *Live) Close() {
	close(l.stop)
	l.done.Wait()
	if l.observer != nil {
		l.observer.Close()
	}
}
