package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"saltern/cluster"
	"saltern/model"
)

// Shares in proportion to speed. Each rank's seconds for a microbatch travel with the step's statistics, so that all ranks know all of them,
// in the same bits, and come to the same shares without a word. A decision holds from some steps later on, as soft labels are read ahead, and is
// written down before: the bits of a run follow from its shares.jsonl.
const (
	sharesName   = "shares.jsonl"
	firstWindow  = 10   // steps that the first decision is made of, but for the first two, which are slower than the rest
	window       = 50   // steps of every later one
	sharesDelay  = 8    // steps from a decision to its effect; more than soft labels are read ahead
	worthwhile   = 0.95 // of the time that a step takes now
	coarse       = 1.1  // times the ideal is what whole microbatches cost too much
	finerBatches = 8    // microbatches for each rank that a job without train.microbatch gets where shares may change
)

// shareChange is a line of shares.jsonl: from a step on, counted from 0, ranks take so many microbatches each.
type shareChange struct {
	Step         int64     `json:"step"`
	Microbatches []int     `json:"microbatches"`      // by seat, mostly the rank
	Seconds      []float64 `json:"seconds,omitempty"` // for one microbatch, by seat: why
}

// shares are those of a training's ranks. A feed reads ahead of the steps, in another goroutine.
type shares struct {
	mu      sync.Mutex
	changes []shareChange

	measure bool
	next    int64       // the first step of the window
	seen    [][]float64 // in the window: by step, seconds by rank
	soon    bool        // the window is the first in which these ranks are seen together
	warned  bool        // of granularity
}

// at is how many of n microbatches each rank takes in a step.
func (s *shares) at(step int64, n, ranks int) []int {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range slices.Backward(s.changes) {
			if c.Step <= step && len(c.Microbatches) == ranks && total(c.Microbatches) == n {
				return c.Microbatches
			}
		}
	}
	return model.Even(n, ranks)
}

func total(list []int) (n int) {
	for _, v := range list {
		n += v
	}
	return n
}

// judge takes what a step took on each rank, and says what is to change, if anything is, and what is to be told.
func (s *shares) judge(step int64, n int, seconds []float64) (change *shareChange, say string) {
	if !s.measure || step < s.next || slices.Min(seconds) <= 0 {
		return nil, ""
	}
	s.seen = append(s.seen, seconds)
	want := window
	if s.soon {
		want = firstWindow - 2
	}
	if len(s.seen) < want {
		return nil, ""
	}
	typical := medians(s.seen)
	s.seen, s.next, s.soon = nil, step+1, false
	now := s.at(step, n, len(seconds))
	best := model.Apportion(n, typical)
	ideal, before, after := model.IdealSeconds(n, typical), model.StepSeconds(now, typical), model.StepSeconds(best, typical)
	if after <= worthwhile*before {
		change = &shareChange{step + 1 + sharesDelay, best, typical}
		s.mu.Lock()
		s.changes = append(s.changes, *change)
		s.mu.Unlock()
		s.next = change.Step + 2 // those before are of the shares before
		say = fmt.Sprintf("from step %d on ranks take %v of %d microbatches, as one takes them %s: a step's arithmetic is done in %.3g s, and was in %.3g s", change.Step+1, best, n, worded(typical), after, before)
	}
	if at := min(before, after); at > coarse*ideal && !s.warned {
		s.warned = true
		if say != "" {
			say += "; "
		}
		say += fmt.Sprintf("%d microbatches are too few for ranks of such speeds: the best shares take %.0f%% more than if they could be cut anywhere; lower train.microbatch or raise train.batch", n, 100*(at/ideal-1))
	}
	return change, say
}

func worded(seconds []float64) string {
	text := ""
	for i, s := range seconds {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.3g s", s)
	}
	return text
}

// medians are those of each column.
func medians(rows [][]float64) []float64 {
	list := make([]float64, len(rows[0]))
	for i := range list {
		column := make([]float64, len(rows))
		for j, r := range rows {
			column[j] = r[i]
		}
		slices.Sort(column)
		list[i] = column[len(column)/2]
	}
	return list
}

// settleShares chooses how shares are found where the job leaves it open, and where something else needs them even.
func (j *Job) settleShares(mixed bool) {
	c := &j.Cluster
	switch {
	case c.Local():
		c.Shares = cluster.SharesEven
	case c.Shares == cluster.SharesAuto && mixed:
		c.Shares = cluster.SharesBySpeed
	case c.Shares == cluster.SharesAuto:
		c.Shares = cluster.SharesEven
	}
}

// finer is into how many microbatches a rank's part of the batch is to be cut at least, where the job does not say how large they are.
func (t *training) finer() int {
	if t.ranks > 1 && (t.shares == cluster.SharesBySpeed || t.shares == cluster.SharesRecorded) {
		return finerBatches
	}
	return 1
}

// openShares reads the shares that a run before this one had, on every rank. soon: the ranks were not yet at work together.
func (l *loop) openShares(soon bool) error {
	r := l.s.ranks
	if r == nil {
		return nil
	}
	r.shares = nil
	if l.shares != cluster.SharesBySpeed && l.shares != cluster.SharesRecorded {
		return nil
	}
	s := &shares{measure: l.shares == cluster.SharesBySpeed, next: l.step + 2, soon: soon}
	path := filepath.Join(l.dir, sharesName)
	var err error
	if s.changes, err = readShares(path); err != nil {
		return err
	}
	if l.shares == cluster.SharesRecorded && len(s.changes) == 0 {
		return fail(BadConfig, `cluster.shares = "recorded", but %s has no shares; copy that of the run to be repeated there, or use "speed"`, path)
	}
	if n := len(s.changes); n > 0 { // what an interrupted run did is done again before anything else is decided
		s.next = max(s.next, s.changes[n-1].Step+2)
	}
	r.shares = s
	r.measureOn()
	return nil
}

// measureOn has each step tell all ranks what a microbatch took on this one.
func (r *ranks) measureOn() {
	r.now.Measured = func(each time.Duration) { r.now.Also[alsoSeconds+r.rank()] = each.Seconds() }
}

// readShares reads shares.jsonl; where it is not there nothing has changed yet.
func readShares(path string) (list []shareChange, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var c shareChange
		if err := json.Unmarshal(line, &c); err != nil || len(c.Microbatches) == 0 || slices.Min(c.Microbatches) < 1 {
			return nil, fail(BadData, "%s: line %d is no change of shares; remove the file to share by speed anew", path, len(list)+1)
		}
		list = append(list, c)
	}
	return list, nil
}

// writeShares writes all changes, the last of which does not hold yet.
func writeShares(path string, list []shareChange) error {
	var text bytes.Buffer
	for _, c := range list {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	return writeWhole(path, text.Bytes())
}

// takeShares has the step's shares hold.
func (r *ranks) takeShares(step int64, c model.TrainConfig) {
	if r != nil && r.shares != nil {
		r.now.Counts = r.shares.at(step, c.Batch/c.Microbatch, r.size())
	} else if r != nil {
		r.now.Counts = nil
	}
}

// judgeShares looks at what the last step took on each rank.
func (l *loop) judgeShares() error {
	r := l.s.ranks
	if r == nil || r.shares == nil {
		return nil
	}
	seconds := slices.Clone(r.now.Also[alsoSeconds : alsoSeconds+r.size()])
	change, say := r.shares.judge(l.step-1, l.Train.Batch/l.Train.Microbatch, seconds)
	if !r.leads() {
		return nil
	}
	if say != "" {
		l.s.say("%s: %s", l.label, say)
	}
	if change == nil {
		return nil
	}
	return writeShares(filepath.Join(l.dir, sharesName), r.shares.changes)
}

// slowdown is how many times as long as it needs this process is to take for everything that runs on the device, for trying out what a
// slower device among the ranks does: it waits for the rest.
func (o IO) slowdown() float64 {
	if o.Env == nil {
		return 1
	}
	text, _ := o.Env("SALTERN_SLOWDOWN")
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 1 {
		return 1
	}
	return f
}

// drag waits after something that began then.
func (t *tracer) drag(start time.Time) {
	if t.slowdown > 1 {
		time.Sleep(time.Duration((t.slowdown - 1) * float64(time.Since(start))))
	}
}
