package jobs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"saltern/jobs/compare"
	"saltern/jobs/metrics"
	"saltern/jobs/report"
)

// study is what is known up to now.
func (c *comparison) study(ctx context.Context) (compare.Study, error) {
	s := compare.Study{
		Title: c.job.Name + ": comparison", Job: c.job.File, Reproduce: "saltern compare " + c.job.File, When: time.Now(),
	}
	info := c.s.device.Info()
	s.Device, s.Driver = info.Name, info.Driver
	var judge *heldOut
	var err error
	if slm := c.slms[0]; slm != nil && slm.outcome != nil { // of one SLM, so that the thirds are the same for all
		if judge, err = c.heldOut(ctx, slm); err != nil {
			return s, err
		}
	}
	for i, a := range c.arms {
		x, err := c.studyArm(ctx, a, c.cells[i], judge)
		if err != nil {
			return s, err
		}
		s.Arms = append(s.Arms, x)
	}
	teacher := arm{name: "slm", label: "SLM", note: "The small model itself, which teaches."}
	x, err := c.studyArm(ctx, teacher, slices.Compact(slices.Clone(c.slms)), judge)
	if err != nil {
		return s, err
	}
	if len(x.Runs) > 0 {
		s.Teacher = &x
	}
	for _, l := range leafList() {
		if !c.job.unused(l) {
			s.Config = append(s.Config, report.Row{Name: l.key, Value: fmt.Sprint(l.value(&c.job.Config))})
		}
	}
	return s, nil
}

// studyArm is an arm with those of its runs that have ended.
func (c *comparison) studyArm(ctx context.Context, a arm, cells []*compared, judge *heldOut) (compare.Arm, error) {
	x := compare.Arm{Name: a.name, Label: a.label, Note: a.note, Settings: a.settings}
	for _, t := range cells {
		if t == nil {
			continue
		}
		if t.outcome == nil {
			x.Note += fmt.Sprintf(" Seed %d is missing: %s.", t.Seed, t.state())
			continue
		}
		r, err := c.studyRun(ctx, t, judge)
		if err != nil {
			return x, err
		}
		x.Runs = append(x.Runs, r)
	}
	return x, nil
}

func (c *comparison) studyRun(ctx context.Context, t *compared, judge *heldOut) (compare.Run, error) {
	o := t.outcome
	r := compare.Run{
		Seed: t.Seed, Loss: o.HeldOut.NLL, Accuracy: o.HeldOut.Accuracy, BitsPerByte: c.s.set.Manifest.HeldOut.BitsPerByte(o.HeldOut.NLL),
		Steps: o.Steps, Tokens: o.Tokens, FLOPs: o.FLOPs, Seconds: o.Seconds, Params: o.Params,
	}
	records, err := metrics.Read(t.dir)
	if err != nil {
		return r, err
	}
	for _, m := range records {
		loss, ok := m.Values[metrics.ValLoss]
		if !ok || math.IsNaN(loss) {
			continue
		}
		p := compare.Point{Step: int64(m.Step), Tokens: m.Tokens, FLOPs: m.Values[metrics.FLOPs], Seconds: m.Values[metrics.Seconds], Loss: loss}
		r.Points = append(r.Points, p) // before the first step nothing was spent
	}
	h, err := c.heldOut(ctx, t)
	r.Slices = h.slices(judge)
	return r, err
}

// compareTable is the study in rows: the mean over the seeds, and what it differs from BASELINE's of the same seeds by.
func compareTable(s compare.Study) Table {
	t := Table{Columns: []Column{
		{Key: "arm", Title: "arm"}, {Key: "seeds", Title: "seeds"}, {Key: "steps", Title: "steps"},
		{Key: "held_out_loss_nats", Title: "held-out loss", Unit: "nats/token", Format: "%.4f"},
		{Key: "against_baseline_nats", Title: "to BASELINE", Unit: "nats/token", Format: "%+.4f"},
		{Key: "losses_nats", Title: "each seed"},
		{Key: "easy_nats", Title: "easy", Unit: "nats/token", Format: "%.4f"}, {Key: "medium_nats", Title: "medium", Unit: "nats/token", Format: "%.4f"},
		{Key: "hard_nats", Title: "hard", Unit: "nats/token", Format: "%.4f"},
		{Key: "tflops", Title: "compute", Unit: "TFLOP", Format: "%.4g"}, {Key: "seconds", Title: "time", Unit: "s", Format: "%.1f"},
	}}
	arms := s.Arms
	if s.Teacher != nil {
		arms = append([]compare.Arm{*s.Teacher}, arms...)
	}
	for _, a := range arms {
		row := []any{a.Label, len(a.Runs), nil, nil, nil, nil, nil, nil, nil, nil, nil}
		if len(a.Runs) > 0 {
			mean := func(f func(compare.Run) float64) float64 {
				sum := 0.0
				for _, r := range a.Runs {
					sum += f(r)
				}
				return sum / float64(len(a.Runs))
			}
			var each []string
			paired, pairs := 0.0, 0
			for _, r := range a.Runs {
				each = append(each, fmt.Sprintf("%.4f", r.Loss))
				for _, b := range s.Arms[s.Baseline].Runs {
					if b.Seed == r.Seed {
						paired, pairs = paired+r.Loss-b.Loss, pairs+1
					}
				}
			}
			row = []any{
				a.Label, len(a.Runs), a.Runs[0].Steps, mean(func(r compare.Run) float64 { return r.Loss }), paired / float64(pairs), strings.Join(each, " "),
				mean(func(r compare.Run) float64 { return r.Slices[0] }), mean(func(r compare.Run) float64 { return r.Slices[1] }),
				mean(func(r compare.Run) float64 { return r.Slices[2] }), mean(func(r compare.Run) float64 { return r.FLOPs / 1e12 }),
				mean(func(r compare.Run) float64 { return r.Seconds }),
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
