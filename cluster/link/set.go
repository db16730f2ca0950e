package link

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// set is several ranks that this one sends the same to. All hear one subject, so that what is published there once the servers deliver to each
// of them. A rank hears it after an invitation; until all have said that they do, each is sent its own.
type set struct {
	number uint64 // among this rank's sets
	ranks  []int  // in order

	mu   sync.Mutex
	hear []int // those that do
}

// setOf is the set of these ranks, nil where one is enough of a subject by itself.
func (l *Links) setOf(ranks []int) *set {
	if len(ranks) == 1 {
		return nil
	}
	ranks = slices.Sorted(slices.Values(ranks))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sets {
		if slices.Equal(s.ranks, ranks) {
			return s
		}
	}
	s := &set{number: uint64(len(l.sets)), ranks: ranks}
	l.sets = append(l.sets, s)
	return s
}

// joined says that a rank hears the set's subject.
func (s *set) joined(rank int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.hear, rank) {
		s.hear = append(s.hear, rank)
	}
}

// deaf are the ranks that are not known to hear the set's subject.
func (s *set) deaf() (ranks []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hear) == len(s.ranks) {
		return nil
	}
	for _, rank := range s.ranks {
		if !slices.Contains(s.hear, rank) {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// setToken stands where the subjects of one rank have its number.
func setToken(number uint64) string { return "s" + strconv.FormatUint(number, 10) }

// join has this rank hear a set of another's, and says so. The servers learn of it before they see the answer, so the other rank's does before
// it publishes there.
func (l *Links) join(e end, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := fmt.Sprintf("%s%d.%s.>", l.prefix, e.peer, setToken(number))
	for _, sub := range l.subs {
		if sub.Subject == name {
			l.say(e, header{kind: joinedKind, a: number})
			return
		}
	}
	select {
	case <-l.done:
		return
	default:
	}
	if l.hear(name) == nil {
		l.say(e, header{kind: joinedKind, a: number})
	}
}

// hear subscribes. l.mu is held.
func (l *Links) hear(subject string) error {
	sub, err := l.conn.Subscribe(subject, l.arrive)
	if err != nil {
		return err
	}
	l.subs = append(l.subs, sub)
	return sub.SetPendingLimits(-1, -1) // a limit would drop; ours is the window
}

// deafen ends all subscriptions.
func (l *Links) deafen() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sub := range l.subs {
		if e := sub.Unsubscribe(); e != nil && !errors.Is(e, nats.ErrConnectionClosed) {
			err = e
		}
	}
	l.subs = nil
	return err
}
