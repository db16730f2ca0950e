package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"saltern/compute"
)

// Where a job is elastic, a process may come in a lost rank's place. It waits until the training under way has ended a step. Then all save
// that, let it in, and go on from there as after a loss, but that the newcomer gets from the first rank what the others read: how the job
// was settled, and of the training weights, optimizer state and what else a step depends on.

// errApplied ends a job's work for a moment: somebody is to be let in.
var errApplied = errors.New("a rank waits to be let in")

// open saves the step that is done, and has the work begin again with who waits.
func (l *loop) open(ctx context.Context) error {
	if err := l.save(ctx); err != nil {
		return l.lose(ctx, err)
	}
	return errApplied
}

// settled is what a job left to the devices, as all its ranks have it.
type settled struct {
	Limits   compute.Limits
	SLM, LLM ModelConfig
}

// admit lets in who waits, and says how the job was settled.
func (s *session) admit(ctx context.Context) error {
	r := s.ranks
	if err := r.admit(ctx); err != nil {
		return err
	}
	s.job.ranks = r.size()
	if len(r.joined) == 0 { // it has left again
		return nil
	}
	text, err := json.Marshal(settled{s.limits, s.job.SLM, s.job.LLM})
	if err != nil {
		return err
	}
	var list []string
	for _, m := range r.joined {
		list = append(list, m.String())
	}
	s.say("%s came in a lost one's place; %d ranks go on", strings.Join(list, ", "), r.size())
	_, err = r.spread(r.all, text)
	return err
}

// isLate says that this rank came when the others were at work.
func (r *ranks) isLate() bool { return r != nil && r.late }

// hearSettled takes up how the job was settled before this rank came, if its device bears that.
func (s *session) hearSettled(context.Context) error {
	r, job := s.ranks, s.job
	text, err := r.spread(r.all, nil)
	if err != nil {
		return err
	}
	var now settled
	if err := json.Unmarshal(text, &now); err != nil {
		return err
	}
	s.limits, job.SLM, job.LLM, job.ranks = now.Limits, now.SLM, now.LLM, r.size()
	plans, err := planJob(job, s.device.Limits().Memory)
	if err != nil {
		return err
	}
	return errors.Join(tooLarge(plans), tooFewMicrobatches(plans), job.checkTeacher(s.tokenizer, s.set))
}

// introduces says that the group has newcomers that get from the others what these have read; late that this rank is one of them. A sharded
// optimizer all read from disk, as nobody has all of it.
func (l *loop) introduces() (yes, late bool) {
	r := l.s.ranks
	if r == nil {
		return false, false
	}
	yes, late = len(r.joined) > 0 && !l.shard, r.late
	r.joined, r.late = nil, false
	return yes, late
}
