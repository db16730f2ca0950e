package jobs

import (
	"context"
	"encoding/json"
	"sync"

	"saltern/compute"
)

// Ranks that teach compute no gradient that a student could compare. At each check the first rank asks them, they hold their
// kernels against the reference between two microbatches, and answer.

// askTeachers has those that teach begin: in stage 1 they are all that are outside of the group.
func (l *loop) askTeachers() error {
	all := l.s.ranks
	if l.stage == nil {
		return nil
	}
	return all.waited(all.all, all.tellRest(verdict{Examine: true}))
}

// hearTeachers gives all students what the teachers found, by rank; nil without any.
func (l *loop) hearTeachers(ctx context.Context) (wrong []string, err error) {
	all := l.s.ranks
	if l.stage == nil {
		return nil, nil
	}
	if all.leads() {
		if wrong, err = l.teachersWords(ctx); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(wrong)
	if err == nil {
		text, err = all.spread(ctx, text)
	}
	if err != nil {
		return nil, err
	}
	return wrong, json.Unmarshal(text, &wrong)
}

// teachersWords are their answers, which the first rank waits for.
func (l *loop) teachersWords(ctx context.Context) ([]string, error) {
	all := l.s.ranks
	ctx, done := all.within(ctx)
	defer done()
	wrong, text := make([]string, l.stage.Teachers), make([]byte, 1<<16)
	for i := range wrong {
		n, err := all.whole.Stream("rest").Receive(ctx, l.stage.Students+i, text)
		if err == nil {
			err = json.Unmarshal(text[:n], &wrong[i])
		}
		if err != nil {
			return nil, all.waited(ctx, err)
		}
	}
	return wrong, nil
}

// hearEnd is a teacher's wait for how stage 1 ends. Until then it holds the program's kernels against the reference whenever the first rank
// asks, while it has the device.
func (l *loop) hearEnd(ctx context.Context, device *sync.Mutex, p *compute.Program) (verdict, error) {
	all := l.s.ranks
	for {
		v, err := all.hearVerdict()
		if err != nil || !v.Examine {
			return v, err
		}
		wrong, err := l.examineTeacher(ctx, device, p)
		if err != nil {
			return v, err
		}
		text, err := json.Marshal(wrong[:min(len(wrong), mostWords)])
		if err == nil {
			err = all.whole.Stream("rest").Send(all.all, 0, text)
		}
		if err != nil {
			return v, all.waited(all.all, err)
		}
	}
}

func (l *loop) examineTeacher(ctx context.Context, device *sync.Mutex, p *compute.Program) (wrong string, err error) {
	device.Lock()
	defer device.Unlock()
	if ctx.Err() != nil { // the teacher may be gone from the device
		return "", context.Cause(ctx)
	}
	return l.s.recheck(ctx, p)
}
