package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"saltern/compute"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/jobs/progress"
	"saltern/model"
	"saltern/model/ul2"
)

// labeling is a file of soft labels that a training is to have: what decides its content, and the sequences that the training
// reads with its teacher's help.
type labeling struct {
	labels.Settings
	dir       string
	sequences []int64 // each once, in the order of the training: what denoising.number says
	denoising *denoising
}

// labeling of a training whose teacher is trained.
func (t *training) labeling(s *session) (*labeling, error) {
	order, err := t.dataOrder(s)
	if err != nil {
		return nil, err
	}
	order = t.orderAt(order, 0) // the teacher's steps are the first
	d, err := t.denoising(s)
	if err != nil {
		return nil, err
	}
	l := &labeling{Settings: t.labelSettings(), denoising: d}
	samples := t.Distill.TeacherSteps(t.Train.Steps) * int64(t.Train.Batch)
	if d == nil { // later epochs read the same sequences again
		samples = min(samples, order.Sequences)
	}
	l.dir = filepath.Join(filepath.Dir(t.dir), "labels", fmt.Sprintf("%s-%d-%s", l.Form, l.Count, l.Key()))
	for sample := range samples {
		l.sequences = append(l.sequences, d.number(order, s.set.Train.Sequences(l.Sequence), sample))
	}
	return l, nil
}

// labelSettings decide what the training's teacher says of a sequence.
func (t *training) labelSettings() labels.Settings {
	s := labels.Settings{
		Form: t.Distill.LabelForm, Count: t.Distill.LabelCount, Sequence: t.Train.Sequence, Vocab: t.Model.Vocab, Temperature: t.Distill.Temperature,
		Precision: t.Train.Precision, Teacher: t.Teacher, Corpus: t.Corpus, Seed: t.Seed,
	}
	if t.Train.Objective == model.UL2 {
		s.Objective = model.UL2
	}
	if t.Train.DocumentMasks {
		s.DocumentMasks, s.EndOfText = true, t.Train.EndOfText
	}
	return s
}

// labelingCost is what the soft labels of one student took.
type labelingCost struct {
	Sequences int64   `json:"sequences"`
	FLOPs     float64 `json:"flops"`
	Seconds   float64 `json:"seconds"`
}

// cost of the labels of this student, of a file that may hold those of others too.
func (l *labeling) cost(slm model.Config, f *labels.File) (*labelingCost, error) {
	seconds, err := secondsSpent(l.dir)
	n := len(l.sequences)
	return &labelingCost{
		Sequences: int64(n), FLOPs: slm.FLOPsPerToken(l.Sequence) / 3 * float64(n*l.Sequence), Seconds: seconds * float64(n) / float64(max(1, f.Len())),
	}, err
}

// others names the labels beside these that differ in the teacher alone: an SLM that was trained anew has no use for those of the
// one before.
func (l *labeling) others(s *session) {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(l.dir), "*", filepath.Base(l.path()))) // the pattern is a good one
	for _, path := range found {
		f, err := labels.Open(path)
		if err != nil {
			continue // no concern of this training
		}
		was := f.Settings
		if was.Teacher = l.Teacher; was == l.Settings && f.Teacher != l.Teacher {
			s.say("labels: %s is of another teacher; if nothing learns from that any more, remove it to have %s back", path, compute.Bytes(f.Bytes()))
		}
		_ = f.Close() // it was only read
	}
}

const labelsName = "soft_labels"

func (l *labeling) path() string { return filepath.Join(l.dir, labelsName) }

// lacks is how many of the sequences a file does not hold.
func (l *labeling) lacks(f *labels.File) (n int) {
	for _, s := range l.sequences {
		if !f.Has(s) {
			n++
		}
	}
	return n
}

// openLabels opens the training's soft labels, after they were made where they are missing, and says what they took. Labels that
// are there were made by another student of the same teacher, or before this one was interrupted.
func (t *training) openLabels(ctx context.Context, s *session) (*labels.File, *labelingCost, error) {
	l, err := t.labeling(s)
	if err != nil {
		return nil, nil, err
	}
	var f *labels.File
	err = s.ranks.first(ctx, func() (err error) {
		if f, err = l.open(); err == nil && f == nil {
			err = t.makeLabels(ctx, s, l)
		}
		return err
	})
	if err == nil && f == nil {
		f, err = labels.Open(l.path())
	}
	if err != nil {
		return nil, nil, err
	}
	cost, err := l.cost(t.teacherModel(), f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, cost, nil
}

// open opens a file that holds every sequence; nil where there is none.
func (l *labeling) open() (*labels.File, error) {
	f, err := labels.Open(l.path())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case l.lacks(f) > 0:
		return nil, f.Close()
	}
	return f, nil
}

// makeLabels goes on with a file of soft labels until it holds every sequence.
func (t *training) makeLabels(ctx context.Context, s *session, l *labeling) (err error) {
	if err := os.MkdirAll(l.dir, 0o777); err != nil {
		return err
	}
	w, err := labels.Append(l.path(), l.Settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if w.Cut > 0 {
		s.say("labels: %d bytes at the end of %s were not whole any more; they are made anew", w.Cut, l.path())
	}
	todo := int64(0)
	for _, sequence := range l.sequences {
		if !w.Has(sequence) {
			todo++
		}
	}
	if todo == 0 {
		return nil
	}
	if filepath.Base(t.dir) == t.name { // in a comparison no SLM takes the place of another
		l.others(s)
	}
	teacher, _, err := model.Load(s.device, t.teacherCheckpoints(), "labels.teacher")
	if err != nil {
		return badCheckpoint(err, "")
	}
	defer s.device.Free(teacher.Storages()...)
	maker, err := distill.NewLabeler(teacher, l.Settings, t.Train.Microbatch)
	if err != nil {
		return err
	}
	if err := s.settleKernels(ctx, "labels", l.dir, []*compute.Program{maker.Program()}); err != nil {
		return err
	}
	if err := maker.Load(s.device); err != nil {
		return err
	}
	defer maker.Close()
	p := labelProgress{s: s, start: time.Now(), from: int64(len(l.sequences)) - todo, total: int64(len(l.sequences)), T: int64(l.Sequence)}
	if p.done = p.from; p.done > 0 {
		s.say("labels: going on from sequence %d of %d", p.done, p.total)
	}
	defer p.end()
	before, err := secondsSpent(l.dir)
	if err != nil {
		return err
	}
	spent := func() error { return keepSeconds(l.dir, before+time.Since(p.start).Seconds()) }
	return errors.Join(l.fill(ctx, s, w, maker, &p, spent), spent())
}

// fill labels what is missing. Batches are cut from the whole list, whatever is there of it, so that a sequence has the same company
// in every run.
func (l *labeling) fill(ctx context.Context, s *session, w *labels.Writer, maker *distill.Labeler, p *labelProgress, spent func() error) error {
	last, health := time.Now(), s.overPass("labels", l.path(), maker.Program())
	for i := 0; i < len(l.sequences); i += maker.B {
		batch := l.sequences[i:min(i+maker.B, len(l.sequences))]
		missing := 0
		for _, sequence := range batch {
			if !w.Has(sequence) {
				missing++
			}
		}
		if missing == 0 {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("labels stopped at sequence %d of %d, kept in %s; the same command goes on from there: %w", p.done, p.total, l.path(), context.Cause(ctx))
		}
		if err := s.spoil(int64(i/maker.B) + 1); err != nil {
			return err
		}
		made, err := maker.Make(batch, func(number int64, x ul2.Example) error { return l.denoising.example(s.set.Train, number, x) })
		if err != nil {
			return err
		}
		for k, sequence := range batch {
			if w.Has(sequence) {
				continue
			}
			if err := w.Add(sequence, made.Rows(k*l.Sequence, (k+1)*l.Sequence)); err != nil {
				return err
			}
		}
		p.add(missing)
		if err := health.batch(ctx); err != nil {
			return err
		}
		if time.Since(last) > syncEvery {
			if err := errors.Join(w.Sync(), spent()); err != nil {
				return err
			}
			last = time.Now()
		}
	}
	return health.end(ctx)
}

// labelProgress shows how far the labels are.
type labelProgress struct {
	s                    *session
	start                time.Time
	from, done, total, T int64
	last                 progress.Sample
}

func (p *labelProgress) add(sequences int) {
	now := time.Now()
	p.done += int64(sequences)
	took := now.Sub(p.start)
	p.last = progress.Sample{
		Unit: "labels: sequence", Done: p.done, Total: p.total, TokensPerSec: float64((p.done-p.from)*p.T) / took.Seconds(),
		Left: progress.Left(took, p.done-p.from, p.total-p.done),
	}
	p.s.meter.Update(now, p.last)
}

func (p *labelProgress) end() {
	if p.last.Unit != "" {
		p.s.meter.Done(p.last)
	}
}
