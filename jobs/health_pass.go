package jobs

import (
	"context"
	"fmt"
	"os"
	"time"

	"saltern/compute"
)

// passHealth checks the device of a pass over text that is no training: soft labels, scores. Its steps are batches; its file is set aside where the
// device is wrong. Nil checks nothing.
type passHealth struct {
	health
	s       *session
	what    string // for people
	file    string
	program *compute.Program
	done    int64 // batches
}

// overPass begins with a pass of that program into that file.
func (s *session) overPass(what, file string, p *compute.Program) *passHealth {
	n := s.job.Cluster.CheckEvery
	if n < 0 {
		return nil
	}
	return &passHealth{health: health{every: n, last: time.Now()}, s: s, what: what, file: file, program: p}
}

// batch is done after each batch.
func (p *passHealth) batch(ctx context.Context) error {
	if p == nil {
		return nil
	}
	p.done++
	return p.check(ctx)
}

// end is done after the last.
func (p *passHealth) end(ctx context.Context) error {
	if p == nil || p.step == p.done {
		return nil
	}
	p.ends = true
	return p.check(ctx)
}

// check holds the kernels against the reference where that is due. The first that fails is the error.
func (p *passHealth) check(ctx context.Context) error {
	if !p.passed(p.done) && !p.wish(time.Now()) {
		return nil
	}
	wrong, err := p.s.recheck(ctx, p.program)
	if err != nil {
		return err
	}
	if wrong == "" {
		p.step, p.last = p.done, time.Now()
		return nil
	}
	aside, err := fileAside(p.file)
	if err != nil {
		return err
	}
	return fail(SickDevice, "%s: after batch %d %s has a kernel that fails the reference: %s; all was right after batch %d. The file is set aside as %s, and the same command begins anew; start it without that device",
		p.what, p.done, p.s.seatOf(p.s.ranks.rank()), wrong, p.step, aside)
}

// fileAside takes a file that may be wrong out of the run, and gives its new name.
func fileAside(path string) (aside string, err error) {
	aside = path + ".suspect"
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("%s may be wrong; remove it: %w", path, err)
	}
	return aside, nil
}
