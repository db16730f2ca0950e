package jobs

import (
	"context"
	"math"

	"saltern/model"
	"saltern/model/checkpoint"
)

// rounds is what a training whose ranks train apart has beside its trainer. Nil: they take every step together.
type rounds struct {
	*model.Outer
	ranks *ranks
	ended bool  // with the step under way
	mine  int64 // steps of the round that this rank skipped

	// Of the round that ended last: the steps that ranks skipped, and the most that one of them has skipped in a row up to now.
	skipped int64
	row     int
}

// apartStats are what ranks tell each other at the end of a round: the votes for a stop, the steps skipped, the tokens of the last step
// and, times the tokens, what Step says of them, the votes that say that time is up, and the one for a check of the devices; then the steps in a row that each
// rank skipped.
const apartStats = 8

// after does after a rank's own step what is due: it takes the outer step at the end of a round, and makes of the step what it was in
// all ranks. With a delay the exchange begins with leave.
func (r *rounds) after(ctx context.Context, l *loop, step *model.Step) error {
	if r == nil {
		return nil
	}
	done, steps, row := l.step+1, l.Train.Steps, 0
	if step.Skipped {
		row, r.mine = l.inARow+1, r.mine+1
	}
	r.ended, r.skipped, r.row = r.Ends(done, steps), 0, 0
	if r.Due(done, steps) {
		if err := r.Receive(); err != nil {
			return err
		}
	}
	if !r.ended {
		return nil
	}
	if err := r.meet(ctx, step, row); err != nil || r.Delay > 0 && done < steps {
		return err
	}
	if err := r.Send(); err != nil {
		return err
	}
	return r.Receive()
}

// meet tells the ranks what they need to know of each other at the end of a round.
func (r *rounds) meet(ctx context.Context, step *model.Step, row int) error {
	r.ranks.vote(ctx)
	x := make([]float64, apartStats+r.ranks.size())
	x[0], x[1] = r.ranks.now.Also[alsoAsked], float64(r.mine)
	if n := float64(step.Tokens); !math.IsNaN(step.NLL+step.KD) && !math.IsInf(step.NLL+step.KD, 0) {
		x[2], x[3], x[4], x[5] = n, n*step.NLL, n*step.KD, n*step.Entropy
	}
	x[6], x[7] = r.ranks.now.Also[alsoTimeUp], r.ranks.now.Also[alsoHealth]
	x[apartStats+r.ranks.Rank()] = float64(row)
	if err := r.ranks.sum(x); err != nil {
		return err
	}
	r.ranks.now.Also[alsoAsked], r.ranks.now.Also[alsoTimeUp], r.ranks.now.Also[alsoHealth] = x[0], x[6], x[7]
	r.skipped, r.mine = int64(x[1]), 0
	if n := x[2]; n > 0 {
		step.Tokens, step.NLL, step.KD, step.Entropy = int64(n), x[3]/n, x[4]/n, x[5]/n
	}
	for _, v := range x[apartStats:] {
		r.row = max(r.row, int(v))
	}
	return nil
}

// leave begins, after all that is done at the end of a round, the exchange that is received later; not where the ranks are going to
// stop, nor after the last step.
func (r *rounds) leave(l *loop) error {
	if r == nil || !r.ended || r.Delay == 0 || l.step == l.Train.Steps || r.ranks.agreed() {
		return nil
	}
	return r.Send()
}

// open says that ranks may do something together now, and in all of them or in none: between rounds, or at any step where there are
// no rounds.
func (r *rounds) open() bool { return r == nil || r.ended }

// shown does something with the weights that all ranks share on the device.
func (r *rounds) shown(f func() error) error {
	if r == nil {
		return f()
	}
	return r.Shown(f)
}

// begin takes up the initial weights, or a checkpoint whose weights the model has.
func (r *rounds) begin() error {
	if r == nil {
		return nil
	}
	return r.Begin()
}

// resume takes up what a checkpoint has beside weights.
func (l *loop) resume(c *checkpoint.Checkpoint) (model.Resume, error) {
	if l.rounds == nil {
		state, err := l.model.LoadOptimizer(l.s.device, c)
		if err == nil {
			err = l.trainer.LoadParts(c, state.Scale.Value)
		}
		return state, err
	}
	state, err := l.rounds.Load(c)
	if err == nil && l.rounds.Delay > 0 && int64(c.Step) < l.Train.Steps { // saved before it was sent
		err = l.rounds.Send()
	}
	return state, err
}

// countSkip counts a step that was skipped, of whatever rank, and ends a training that does nothing else.
func (l *loop) countSkip(ctx context.Context, step model.Step) error {
	skipped := int64(0)
	l.inARow++
	if !step.Skipped {
		l.inARow = 0
	} else {
		skipped = 1
		l.s.say("%s: step %d skipped: loss %g, gradient norm %g", l.label, l.step, step.NLL, step.Norm)
	}
	row := l.inARow
	if l.rounds != nil {
		skipped, row = l.rounds.skipped, l.rounds.row
	}
	l.state.Skipped += skipped
	if c := l.Train; row > c.MaxSkippedSteps {
		if _, err := l.check(ctx, false); err != nil { // one device that is wrong looks like this too; gradients of what diverged tell nothing
			return err
		}
		return fail(Diverged, "%s: %d steps in a row had no finite loss or gradient, up to step %d; lower lr (%g) or raise warmup (%d); %s",
			l.label, row, l.step, c.LR, c.Warmup, l.lastGood())
	}
	return nil
}

// sound says that the last step was not skipped, by any rank.
func (l *loop) sound() bool {
	if l.rounds != nil {
		return l.rounds.row == 0
	}
	return l.inARow == 0
}

// writeCheckpoint writes one that keeps so many others.
func (l *loop) writeCheckpoint(ctx context.Context, state model.Resume, parts []rankPart, keep checkpoint.Keep) error {
	tokenizer, endOfText := l.s.tokenizer, l.s.set.Manifest.EndOfText
	var files []checkpoint.FileSum
	for _, p := range parts {
		files = append(files, p.File)
	}
	if l.rounds == nil {
		_, err := l.model.Save(ctx, l.s.device, l.checkpoints(), l.step, tokenizer, endOfText, state, files, keep)
		return err
	}
	for _, p := range parts {
		state.Ranks = append(state.Ranks, p.State)
	}
	_, err := l.rounds.Save(ctx, l.checkpoints(), l.step, tokenizer, endOfText, state, files, keep)
	return err
}

// countSent counts what was sent up to now, where nothing is under way.
func (l *loop) countSent() {
	if r := l.s.ranks; r != nil && (l.rounds == nil || !l.rounds.Pending()) {
		l.state.Sent += r.Sent() - l.sent
		l.sent = r.Sent()
	}
}
