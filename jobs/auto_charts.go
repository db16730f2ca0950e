package jobs

import (
	"fmt"
	"slices"
	"strings"

	"saltern/jobs/metrics"
	"saltern/jobs/report"
)

// ended is the last step that had the teacher's help by transition "auto"; false where some tokens had it to the end.
func (o *outcome) ended() (step int64, ok bool) {
	for _, b := range o.Buckets {
		if b.Stopped == 0 {
			return 0, false
		}
		step = max(step, b.Stopped)
	}
	return step, len(o.Buckets) > 0
}

// teacherLeaves marks the step at which the LLMs go on alone, if there is one.
func teacherLeaves(job *Job, llms []finishedTraining) []report.Mark {
	c := job.Config.Distill
	step := int64(0)
	if c.Method == "salt" || c.Method == "salt-ds" {
		step = c.KDSteps
	}
	for _, d := range llms {
		if at, ok := d.ended(); ok {
			step = min(step, at)
		}
	}
	if step == 0 || step == job.Config.LLM.Train.Steps {
		return nil
	}
	return []report.Mark{{X: float64(step), Label: "teacher leaves"}}
}

// autoFindings says when and why the training itself ended the teacher's help, for each class of tokens, the first to end first.
func autoFindings(d *finishedTraining) []string {
	if len(d.Buckets) == 0 {
		return nil
	}
	buckets := slices.Clone(d.Buckets)
	slices.SortStableFunc(buckets, func(a, b bucketOutcome) int { return int(a.order(d.Steps) - b.order(d.Steps)) })
	var parts []string
	for _, b := range buckets {
		when := "to the end"
		if b.Stopped > 0 {
			when = fmt.Sprintf("up to step %d, where %s", b.Stopped, reason(b.By))
		}
		parts = append(parts, fmt.Sprintf("%s (%.0f%% of the tokens) %s", b.Entropy, 100*b.Share, when))
	}
	return []string{fmt.Sprintf("By its own course %s had the teacher's help, by the teacher's entropy in nats: %s.", d.label, strings.Join(parts, "; "))}
}

// order is where a bucket stands among those of a training of so many steps: the first to end first.
func (b bucketOutcome) order(steps int64) int64 {
	if b.Stopped == 0 {
		return steps + 1
	}
	return b.Stopped
}

// autoCharts draws what transition "auto" saw, of the one training that has it.
func autoCharts(llms []finishedTraining, curves map[string][]metrics.Record) []report.Chart {
	for _, d := range llms {
		if len(d.Buckets) > 0 {
			return autoChartsOf(d, curves[d.name])
		}
	}
	return nil
}

// autoLines is a chart of quantities of whole windows: pairs of a name and a key.
type autoLines struct {
	title, note, y string
	lines          [][2]string
}

func autoChartsOf(d finishedTraining, records []metrics.Record) (list []report.Chart) {
	add := func(c report.Chart) {
		c.X = "optimizer steps"
		c.Series = slices.DeleteFunc(c.Series, func(s report.Series) bool { return len(s.Points) == 0 })
		if len(c.Series) > 0 {
			list = append(list, c)
		}
	}
	inBuckets := func(key string) (series []report.Series) {
		for g, b := range d.Buckets {
			series = append(series, report.Series{Name: b.Entropy, Points: points(records, stepOf, metrics.InBucket(key, g), 1)})
		}
		return series
	}
	add(report.Chart{Title: "Whom the text sides with", Y: "tau", Series: inBuckets(metrics.Tau),
		Note: "1: the teacher, 0: the student, for tokens by the teacher's entropy in nats; above 1 the text asks for more than the teacher knows. At 1/2 its weight is 0; two windows surely below end its help."})
	add(report.Chart{Title: "The teacher's weight by its entropy", Y: "w", Series: inBuckets(metrics.BucketWeight), Note: "In nats. Each window's weight is set by the one before."})
	for _, c := range []autoLines{
		{"How far the teacher is ahead", "The student's NLL less the teacher's: below 0 the student has overtaken it. The bias is CE(q, p) - NLL, what the teacher asks for beside what the text asks for.",
			"nats per token", [][2]string{{"lead", metrics.Lead}, {"bias", metrics.Bias}}},
		{"When the student is going to overtake the teacher", "The forecast, as a part of the steps; 1: not in this training. A teacher that is overtaken within the first quarter gets no weight.",
			"part of the steps", [][2]string{{"forecast", metrics.Overtaken}}},
		{"Noise of a sequence's loss", "Variance over sequences of the mean NLL and of the mean loss with the teacher's part: what soft labels save.",
			"nats squared", [][2]string{{"NLL alone", metrics.VarianceNLL}, {"with teacher", metrics.VarianceLoss}}},
		{"Distance of student, teacher and text", "Total variation: of student and teacher; of each from the text at least so much, and these two sum to the first.",
			"total variation", [][2]string{{"student, teacher", metrics.TotalVariation}, {"student, text", metrics.StudentWitness}, {"teacher, text", metrics.Divergence}}},
		{"Brier scores", "Lower is better.", "Brier score", [][2]string{{"student", metrics.BrierStudent}, {"teacher", metrics.BrierTeacher}}},
	} {
		chart := report.Chart{Title: c.title, Note: c.note, Y: c.y, Half: true}
		for _, l := range c.lines {
			chart.Series = append(chart.Series, report.Series{Name: l[0], Points: points(records, stepOf, l[1], 1)})
		}
		add(chart)
	}
	return list
}
