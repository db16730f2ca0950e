package jobs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"saltern/jobs/compare"
	"saltern/jobs/metrics"
)

// study is what is known up to now.
func (c *comparison) study(ctx context.Context) (compare.Study, error) {
	s := compare.Study{
		Title: c.job.Name + ": comparison", Job: c.job.File, Reproduce: c.again, When: time.Now(),
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
	s.Config = c.job.configRows()
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

// studyTable is the study in rows.
func studyTable(s compare.Study) Table {
	columns, rows := compare.Table(s)
	t := Table{Rows: rows}
	for _, c := range columns {
		t.Columns = append(t.Columns, Column(c))
	}
	return t
}
