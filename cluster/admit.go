package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// applicant is a process that wants the place of a rank that is lost.
type applicant struct {
	hello
	heard time.Time
}

// fresh is how long an applicant counts that is not heard of any more; it asks five times a second.
const fresh = 2 * time.Second

// Applied says on rank 0 that somebody waits to be let in; elsewhere it is false.
func (c *Cluster) Applied() bool {
	w := c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.joined(View{}).Joined) > 0
}

// Admit lets in who waits to take a lost rank's place. All ranks call it, at a moment on which they have agreed: they form the next View,
// and Context lasts anew, as after Regroup. Where a rank is lost meanwhile, the view is without it. Errors are those of Regroup.
func (c *Cluster) Admit(ctx context.Context) (View, error) { return c.agree(ctx, nil) }

// apply is how rank 0 answers a process that comes when all are there, with the desk locked.
func (c *Cluster) apply(h hello) answer {
	w := c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.Rank <= 0 || h.Rank >= len(w.pulse.left) {
		return answer{Later: fmt.Sprintf("rank %d is there already", h.Rank)}
	}
	var left []int
	for rank, gone := range w.pulse.left {
		if gone || rank == h.Rank {
			left = append(left, rank)
		}
	}
	a := answer{Attempt: c.attempt, Members: slices.Clone(w.pulse.members), Servers: slices.Clone(w.servers), Left: left, Waiting: "the other ranks to come to the end of a step"}
	switch server := w.pulse.server(h.Rank); {
	case !w.pulse.left[h.Rank] && w.seated[h.Rank] == h.Instance:
		v := w.view
		a.View = &v
	case !w.pulse.left[h.Rank]:
		return answer{Later: fmt.Sprintf("%v is there, or nobody misses it yet", w.pulse.members[h.Rank])}
	case server != h.Rank && w.pulse.left[server]:
		return answer{Later: fmt.Sprintf("the server of its node was lost with %v, which must come first", w.pulse.members[server])}
	case h.GaveUp != "":
		delete(w.applicants, h.Rank)
	default:
		w.applicants[h.Rank] = applicant{h, time.Now()}
	}
	return a
}

// joined is v with those that wait, with w.mu held.
func (w *watch) joined(v View) View {
	for rank, a := range w.applicants {
		if w.pulse.left[rank] && a.Connected && time.Since(a.heard) < fresh {
			v.Ranks, v.Joined = append(v.Ranks, rank), append(v.Joined, a.Member)
		}
	}
	slices.Sort(v.Ranks)
	slices.SortFunc(v.Joined, func(a, b Member) int { return a.Rank - b.Rank })
	return v
}

// welcome takes ranks in that were not there before, with w.mu held.
func (w *watch) welcome(list []Member) {
	alone := w.pulse.alone()
	for _, m := range list {
		w.pulse.members[m.Rank], w.pulse.left[m.Rank] = m, false
		w.pulse.beat(m.Rank, time.Now())
		a := w.applicants[m.Rank]
		if a.Server != "" {
			w.servers[m.Node] = a.Server
		}
		w.seated[m.Rank] = a.Instance
		delete(w.applicants, m.Rank)
	}
	if alone && !w.pulse.alone() {
		w.alone = make(chan struct{})
	}
}

// wait is the newcomer's part: it listens to rank 0 and to its node's server alone, and asks until it is in a view.
func (j *joiner) wait(c *Cluster) error {
	w := c.watch
	w.mu.Lock()
	w.waits, w.forming = true, true
	for rank := range w.pulse.left {
		w.pulse.left[rank] = rank != 0 && rank != j.id.Rank && rank != w.pulse.server(j.id.Rank)
	}
	w.mu.Unlock()
	w.begin()
	a, err := j.ask(c.Context(), c.conn, func(a answer) bool { return a.View != nil })
	if err != nil {
		close(w.stop)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = false
	copy(w.pulse.members, a.Members)
	for rank := range w.pulse.left {
		w.pulse.left[rank] = !slices.Contains(a.View.Ranks, rank)
	}
	w.pulse.forgive(time.Now())
	c.adopt(*a.View)
	return nil
}
