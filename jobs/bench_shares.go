package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"saltern/cluster/collective"
	"saltern/compute"
	"saltern/model"
)

// sharesBench is what "saltern bench shares" measures: steps of a job's LLM on ranks of one process, the last of which is slowed down, with
// even shares and with those that follow speed.
type sharesBench struct {
	ranks    int
	slowdown float64 // of the last rank
	runs     int     // steps that are timed in each way
	device   string
}

// benchSide is one of the ranks.
type benchSide struct {
	*ranks
	device  *compute.Device
	trainer *model.Trainer
	fill    model.Fill
	took    []time.Duration
	seconds [][]float64 // for a microbatch, by step and rank
	counts  []int       // of the last step
}

// shareRow is one way to share.
type shareRow struct {
	name   string
	counts []int
	spread
	ideal float64 // ms: the arithmetic of ranks that are done together, and fixed
	fixed float64 // ms of a step that no share changes: what is left of the exchange, and the update
}

func (b sharesBench) run(ctx context.Context, io IO, job *Job, asJSON bool) (err error) {
	if _, set := io.Env("LP_NUM_THREADS"); !set { // as launch has it
		if err := os.Setenv("LP_NUM_THREADS", fmt.Sprint(max(1, runtime.NumCPU()/b.ranks))); err != nil {
			return err
		}
	}
	c := job.LLM
	c.Train.Batch, c.Train.Microbatch = finerBatches*b.ranks, 1
	c.Train.Precision = model.Float32
	var sides []*benchSide
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.close())
		}
	}()
	for rank, t := range collective.Memory(b.ranks) {
		r := &ranks{group: collective.New(t, rank, b.ranks), local: rank, all: ctx}
		side, err := b.open(ctx, io, job, c, r)
		if err != nil {
			return err
		}
		sides = append(sides, side)
	}
	var rows []shareRow
	for _, way := range []struct {
		name    string
		measure bool
		skip    int // steps until its shares hold
	}{{"even", false, warmSteps}, {"speed", true, firstWindow + sharesDelay + warmSteps}} {
		if err := train(sides, way.measure, way.skip, b.runs); err != nil {
			return err
		}
		first := sides[0]
		var rest []time.Duration
		for i, took := range first.took {
			rest = append(rest, took-time.Duration(1e9*model.StepSeconds(first.counts, first.seconds[i])))
		}
		fixed := spreadOf(rest).median
		rows = append(rows, shareRow{way.name, first.counts, spreadOf(first.took), 1e3*model.IdealSeconds(c.Train.Batch, medians(first.seconds)) + fixed, fixed})
	}
	if !asJSON {
		fmt.Fprintf(io.Out, "date       %s\ncommand    %s\n\nSteps of %d microbatches on %d ranks of this process, the last of which takes %g times as long.\nfixed: what no share changes, of the exchange and the update; ideal: that, and all ranks done together\n",
			time.Now().UTC().Format("2006-01-02 15:04 UTC"), commandLine(os.Args[1:]), c.Train.Batch, b.ranks, b.slowdown)
	}
	return sharesTable(rows).Write(io.Out, asJSON)
}

// open makes a rank ready to train.
func (b sharesBench) open(ctx context.Context, io IO, job *Job, c ModelConfig, r *ranks) (s *benchSide, err error) {
	device, tuner, err := openTuned(io, either(b.device, job.Config.Device))
	if err != nil {
		return nil, err
	}
	s = &benchSide{ranks: r, device: device, fill: randomTokens(c.Model.Vocab)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	t := &tracer{Device: device, slowdown: 1}
	if r.rank() == r.size()-1 {
		t.slowdown = b.slowdown
	}
	m := model.New(c.Model, "llm", true)
	if s.trainer, err = model.Programs(m, c.Train, model.Plain); err != nil {
		return s, err
	}
	tuner.Progress = nil
	if err := tuner.Tune(ctx, s.trainer.Programs()...); err != nil {
		return s, err
	}
	if err := s.trainer.Across(r.training(t)); err != nil {
		return s, err
	}
	if err := s.trainer.Load(t); err != nil {
		return s, err
	}
	return s, m.Init(device, job.Config.Seed)
}

func (s *benchSide) close() error {
	if s.trainer != nil {
		s.trainer.Close()
		s.device.Free(s.trainer.Model.Storages()...)
	}
	return s.device.CloseChecked()
}

// train trains steps on all sides, the last runs of which are timed.
func train(sides []*benchSide, measure bool, skip, runs int) error {
	errs := make([]error, len(sides))
	var all sync.WaitGroup
	for i, s := range sides {
		s.shares = &shares{measure: measure, next: warmSteps, soon: true}
		s.measureOn()
		s.took, s.seconds = nil, nil
		all.Go(func() {
			for step := range int64(skip + runs) {
				if errs[i] = s.step(step, step >= int64(skip)); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *benchSide) step(step int64, timed bool) error {
	c, start := s.trainer.Config, time.Now()
	clear(s.now.Also)
	s.takeShares(step, c)
	if _, err := s.trainer.Step(step, 0, 0, 1, s.fill); err != nil {
		return err
	}
	seconds := slices.Clone(s.now.Also[alsoSeconds:])
	if timed {
		s.took, s.seconds = append(s.took, time.Since(start)), append(s.seconds, seconds)
	} else {
		s.shares.judge(step, c.Batch/c.Microbatch, seconds)
	}
	s.counts = s.now.Counts
	return nil
}

func sharesTable(rows []shareRow) Table {
	t := Table{Columns: []Column{
		{Key: "shares", Title: "shares"}, {Key: "microbatches", Title: "microbatches"},
		{Key: "ms", Title: "step", Unit: "ms", Format: "%.1f"}, {Key: "ms_min", Title: "min", Unit: "ms", Format: "%.1f"}, {Key: "ms_max", Title: "max", Unit: "ms", Format: "%.1f"},
		{Key: "fixed_ms", Title: "fixed", Unit: "ms", Format: "%.1f"}, {Key: "ideal_ms", Title: "ideal", Unit: "ms", Format: "%.1f"}, {Key: "over_ideal", Title: "over ideal", Unit: "%", Format: "%.0f"},
	}}
	for _, r := range rows {
		t.Rows = append(t.Rows, []any{r.name, fmt.Sprint(r.counts), r.median, r.min, r.max, r.fixed, r.ideal, 100 * (r.median/r.ideal - 1)})
	}
	return t
}
