package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// View is which ranks of a job are in it, by their numbers in Identity, in order. The first has number 0 and all ranks.
type View struct {
	Number int      `json:"number"`
	Ranks  []int    `json:"ranks"`
	Joined []Member `json:"joined,omitempty"` // who was in none before, in a rank's place that was lost
}

// coming is what a rank says to rank 0 that wants to be in the next view.
type coming struct {
	Rank int       `json:"rank"`
	View int       `json:"view"` // of which it was
	Lost *RankLost `json:"lost"` // why it wants another
}

// admission is the answer: a view, or why there is none for this rank, or neither while others are waited for.
type admission struct {
	View *View  `json:"view,omitempty"`
	Out  string `json:"out,omitempty"`
}

// Regroup is for ranks that go on without one that is lost. Once Context has ended, every rank calls it; on return all that are left know
// who they are, and Context lasts anew, as long as they do.
//
// Rank 0 decides. It waits until each rank has come, or is lost, at most for Config.JoinTimeout. The error is a *RankLost where there can be
// no such view: rank 0 is lost, or the server of this rank's node, or this rank itself was silent for so long that the others have gone on.
func (c *Cluster) Regroup(ctx context.Context) (View, error) {
	cause := context.Cause(c.Context())
	if c.Context().Err() == nil {
		return View{}, errors.New("bug: Regroup before a rank is lost")
	}
	return c.agree(ctx, cause)
}

// agree has all ranks agree on the next view. cause is why they want one; nil: somebody waits to be let in.
func (c *Cluster) agree(ctx context.Context, cause error) (View, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.joinTimeout(), errLate)
	defer cancel()
	w := c.watch
	w.mu.Lock()
	w.forming, w.came = true, map[int]bool{}
	next := w.view.Number + 1
	if c.id.Rank == 0 && cause != nil { // so that its beats tell those who have not noticed the loss
		w.view.Number = next
	}
	w.mu.Unlock()
	if c.id.Rank == 0 {
		return c.form(ctx, next, cause == nil)
	}
	return c.come(ctx, cause)
}

// form is rank 0's part. With open it lets in who waits.
func (c *Cluster) form(ctx context.Context, number int, open bool) (View, error) {
	w := c.watch
	for {
		w.mu.Lock()
		var ranks, missing []int
		for rank, left := range w.pulse.left {
			switch {
			case left:
			case rank == 0 || w.came[rank]:
				ranks = append(ranks, rank)
			default:
				missing = append(missing, rank)
			}
		}
		if late := ctx.Err() != nil; late && !errors.Is(context.Cause(ctx), errLate) {
			w.mu.Unlock()
			return View{}, fmt.Errorf("waiting for rank %v to go on without one that is lost: %w", missing, context.Cause(ctx))
		} else if len(missing) == 0 || late {
			v := View{Number: number, Ranks: ranks}
			if open {
				v = w.joined(v)
			}
			c.adopt(v)
			w.mu.Unlock()
			return v, nil
		}
		w.mu.Unlock()
		sleep(ctx, 5*time.Millisecond)
	}
}

// come is the others' part.
func (c *Cluster) come(ctx context.Context, cause error) (View, error) {
	w := c.watch
	request := coming{Rank: c.id.Rank}
	errors.As(cause, &request.Lost)
	for tries := 0; ; tries++ {
		w.mu.Lock()
		request.View = w.view.Number
		for _, rank := range []int{0, w.pulse.server(c.id.Rank)} {
			if w.pulse.left[rank] && rank != c.id.Rank {
				w.mu.Unlock()
				return View{}, w.lost(rank, "it is gone, and without it the others cannot reach each other")
			}
		}
		w.mu.Unlock()
		text, err := json.Marshal(request)
		if err != nil {
			return View{}, err
		}
		step, cancel := context.WithTimeout(ctx, time.Second)
		m, err := c.conn.RequestWithContext(step, c.Subject("regroup"), text)
		cancel()
		var a admission
		if err == nil {
			err = json.Unmarshal(m.Data, &a)
		}
		switch {
		case err == nil && a.Out != "":
			return View{}, w.lost(c.id.Rank, a.Out)
		case err == nil && a.View != nil:
			w.mu.Lock()
			defer w.mu.Unlock()
			c.adopt(*a.View)
			return *a.View, nil
		case errors.Is(err, nats.ErrConnectionClosed) || !sleep(ctx, pause(tries)):
			return View{}, fmt.Errorf("waiting for rank 0 to say who goes on without one that is lost: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

// adopt makes v what this rank is in, with w.mu held. Who is not in it has left; who has left meanwhile and is in it ends it at once.
func (c *Cluster) adopt(v View) {
	w := c.watch
	w.view, w.forming = v, false
	c.mu.Lock()
	c.lose(context.Canceled) // who waited for a rank of the view before waits in vain
	c.context, c.lose = context.WithCancelCause(c.parent)
	c.mu.Unlock()
	w.welcome(v.Joined)
	for rank, left := range w.pulse.left {
		switch in := slices.Contains(v.Ranks, rank); {
		case in && left:
			w.lose(w.lost(rank, "it was silent"))
		case !in && !left:
			w.gone(rank)
		}
	}
}

// hearComing is how rank 0 answers.
func (w *watch) hearComing(m *nats.Msg) {
	var asked coming
	if json.Unmarshal(m.Data, &asked) != nil || asked.Rank <= 0 || asked.Rank >= len(w.pulse.members) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var a admission
	switch {
	case w.pulse.left[asked.Rank]:
		a.Out = "it was silent for so long that the others have gone on without it"
	case w.forming:
		w.came[asked.Rank] = true
	case asked.View < w.view.Number:
		a.View = &w.view
	case asked.Lost != nil: // whom this rank has not missed yet
		if l := asked.Lost; l.Rank > 0 && l.Rank < len(w.pulse.left) && l.Rank != asked.Rank {
			w.gone(l.Rank)
		}
		w.lose(asked.Lost)
	}
	if text, err := json.Marshal(a); err == nil {
		_ = m.Respond(text) // who does not get it asks again
	}
}
