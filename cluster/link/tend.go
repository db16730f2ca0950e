package link

import (
	"time"

	"github.com/nats-io/nats.go"
)

// tend asks, of every stream that has had no news for a while, and of all of them when the connection is back, how far its receiver
// is. It asks those who are waited for whether they live.
func (l *Links) tend() {
	tick := time.NewTicker(l.Rest)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case s := <-l.status:
			if s == nats.CLOSED {
				l.stop()
				return
			}
			l.ask(true)
		case <-tick.C:
			l.ask(false)
			l.look()
		}
	}
}

// ask asks for the status of streams with something under way: all of them, or those without news since the last time.
func (l *Links) ask(all bool) {
	for _, r := range l.receivers() {
		r.mu.Lock()
		if (r.underWay() || r.awaited) && (all || !r.news) {
			r.ask()
		}
		r.news = false
		r.mu.Unlock()
	}
}

// ask asks for the receiver's counts.
func (r *receiver) ask() {
	r.asked = r.next
	r.say(r.end, header{kind: askKind, a: r.next})
}

// underWay says that something sent is not known to have arrived there.
func (r *receiver) underWay() bool { return len(r.kept) > 0 && r.arrived < r.next }

// look pings the ranks that are waited for and settles who is missing.
func (l *Links) look() {
	awaited := make([]string, l.size) // a stream of each
	for _, i := range l.incomings() {
		i.mu.Lock()
		if i.waiting {
			awaited[i.peer] = i.stream
		}
		i.mu.Unlock()
	}
	for _, r := range l.receivers() {
		r.mu.Lock()
		if r.awaited {
			awaited[r.peer] = r.end.stream
		}
		r.mu.Unlock()
	}
	for rank, stream := range awaited {
		p := &l.peers[rank]
		if stream == "" {
			p.since = time.Time{}
			p.missing.Store(false)
			p.misses.Store(0)
			continue
		}
		if p.since.IsZero() {
			p.since = time.Now()
		}
		p.missing.Store(min(time.Since(p.since), time.Since(time.Unix(0, p.heard.Load()))) > l.Deadline/2)
		l.say(end{rank, stream}, header{kind: pingKind})
		l.lookFor(rank, p)
	}
}

// lookFor ends the waits for a rank that has left, once what it sent before has had the time to come.
func (l *Links) lookFor(rank int, p *peer) {
	switch heard := time.Unix(0, p.heard.Load()); {
	case l.Left == nil || !l.Left(rank):
	case p.left.IsZero():
		p.left = time.Now()
	case min(time.Since(p.left), time.Since(heard)) > l.Rest:
		select {
		case <-p.gone:
		default:
			close(p.gone)
			for _, r := range l.receivers() {
				r.rouse()
			}
		}
	}
}

// misses is the rank that keeps this one waiting, and does not answer; or that one of those it waits for has said it misses; or -1. The one
// who asks is not told of itself.
func (l *Links) misses(asker int) int {
	for rank := range l.peers {
		if l.peers[rank].missing.Load() && rank != asker {
			return rank
		}
	}
	for rank := range l.peers {
		if m := int(l.peers[rank].misses.Load()) - 1; m >= 0 && m != l.rank && m != asker {
			return m
		}
	}
	return -1
}

// onTheWay says whether something sent is not known to have arrived.
func (l *Links) onTheWay() bool {
	for _, r := range l.receivers() {
		r.mu.Lock()
		underWay := r.underWay()
		if underWay && r.asked == 0 { // short messages are not confirmed unless asked for
			r.ask()
		}
		r.mu.Unlock()
		if underWay {
			return true
		}
	}
	return false
}

func (l *Links) receivers() (list []*receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.out {
		list = append(list, r)
	}
	return list
}

func (l *Links) incomings() (list []*incoming) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.in {
		list = append(list, i)
	}
	return list
}
