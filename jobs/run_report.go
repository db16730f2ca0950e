package jobs

import (
	"fmt"
	"math"
	"strings"
	"time"

	"saltern/jobs/compare"
	"saltern/jobs/metrics"
	"saltern/jobs/report"
)

// perplexity is e to the loss.
func perplexity(loss float64) float64 { return math.Exp(loss) }

func exp2(x float64) float64 { return math.Exp2(x) }

// writeReport writes report.html and report.json into the run folder and gives the page's path.
func writeReport(job *Job, done []finishedTraining) (string, error) {
	r := report.Report{Title: job.Config.Name + ": " + strings.Join(labelsOf(done), ", "), When: time.Now(), Reproduce: "saltern run " + job.File}
	curves := map[string][]metrics.Record{}
	for _, d := range done {
		records, err := metrics.Read(d.dir)
		if err != nil {
			return "", err
		}
		curves[d.name] = records
		r.Device, r.Driver = d.Device, d.Driver
		r.Results = append(r.Results, report.Result{
			Name: d.label, Reference: d.name == "slm", Loss: d.HeldOut.NLL, Seeds: 1, Accuracy: d.HeldOut.Accuracy, BitsPerByte: d.bitsPerByte,
			Steps: int(d.Steps), Tokens: d.Tokens, FLOPs: d.FLOPs, WallTime: time.Duration(d.Seconds * float64(time.Second)),
		})
	}
	var llms []finishedTraining
	for _, d := range done {
		if d.name != "slm" {
			llms = append(llms, d)
		}
	}
	r.Findings = append(findings(done, curves), rolesFindings(job)...)
	r.Charts = append(charts(job, llms, curves), autoCharts(llms, curves)...)
	r.Config = job.configRows()
	return writePages(job.Config.RunDir, r)
}

func labelsOf(done []finishedTraining) []string {
	var list []string
	for _, d := range done {
		list = append(list, d.label)
	}
	return list
}

// charts draws the LLMs' curves.
func charts(job *Job, llms []finishedTraining, curves map[string][]metrics.Record) []report.Chart {
	lossBySteps := report.Chart{Title: "Held-out loss", Note: "Lower is better; " + sameData(job), X: "optimizer steps", Y: "nats per token", Focus: true}
	lossByFLOPs := report.Chart{Title: "Held-out loss against compute", Note: "The teacher's forward passes are counted, those of scoring and labels included; its training is not.", X: "TFLOP", Y: "nats per token", Focus: true}
	train := report.Chart{Title: "Training loss", Note: "NLL of each step's batch before its update, averaged over neighbouring steps.", X: "optimizer steps", Y: "nats per token", Focus: true}
	rate := report.Chart{Title: "Learning rate", X: "optimizer steps", Y: "learning rate", Half: true}
	weight := report.Chart{Title: "The teacher's weight in the loss", X: "optimizer steps", Y: "w", Half: true}
	for _, d := range llms {
		records := curves[d.name]
		lossBySteps.Series = append(lossBySteps.Series, report.Series{Name: d.label, Points: points(records, stepOf, metrics.ValLoss, 1)})
		lossByFLOPs.Series = append(lossByFLOPs.Series, report.Series{Name: d.label, Points: points(records, flopsOf, metrics.ValLoss, 1)})
		raw := points(records, stepOf, metrics.TrainLoss, 1)
		train.Series = append(train.Series, report.Series{Name: d.label, Points: report.Smooth(raw, max(1, len(raw)/25)), Raw: raw})
		rate.Series = append(rate.Series, report.Series{Name: d.label, Points: points(records, stepOf, metrics.LR, 1)})
		if w := points(records, stepOf, metrics.KDWeight, 1); len(w) > 0 {
			weight.Series = append(weight.Series, report.Series{Name: d.label, Points: w})
		}
	}
	lossBySteps.Marks = teacherLeaves(job, llms)
	train.Marks = lossBySteps.Marks
	list := []report.Chart{lossBySteps, lossByFLOPs, train, rate}
	if len(weight.Series) > 0 {
		list = append(list, weight)
	}
	return append(list, denoisingCharts(llms, curves)...)
}

// sameData says what the two LLMs read.
func sameData(job *Job) string {
	if c := job.Config.Distill; c.Method == "salt-ds" {
		return fmt.Sprintf("up to step %d SALT_DS read selected text, after that both runs saw the same data in the same order.", c.KDSteps)
	}
	return "both runs saw the same data in the same order."
}

func stepOf(r metrics.Record) float64  { return float64(r.Step) }
func flopsOf(r metrics.Record) float64 { return r.Value(metrics.FLOPs) / 1e12 }

// points are a key's values where there are any.
func points(records []metrics.Record, x func(metrics.Record) float64, key string, scale float64) []report.Point {
	var list []report.Point
	for _, r := range records {
		if y, ok := r.Values[key]; ok && !math.IsNaN(x(r)) {
			list = append(list, report.Point{X: x(r), Y: scale * y})
		}
	}
	return list
}

// findings says in plain words what the numbers show, whichever way.
func findings(done []finishedTraining, curves map[string][]metrics.Record) []string {
	var base, helped, teacher *finishedTraining
	for i := range done {
		switch d := &done[i]; {
		case d.name == "slm":
			teacher = d
		case d.name == methodName("baseline"):
			base = d
		default:
			helped = d
		}
	}
	if base == nil || helped == nil {
		return nil
	}
	gain := base.HeldOut.NLL - helped.HeldOut.NLL
	verdict := fmt.Sprintf("%s ends at a held-out loss of %.4f, %s at %.4f: ", helped.label, helped.HeldOut.NLL, base.label, base.HeldOut.NLL)
	switch {
	case gain > 0:
		verdict += fmt.Sprintf("%s is better by %.4f nats per token.", helped.label, gain)
	case gain < 0:
		verdict += fmt.Sprintf("%s is worse by %.4f nats per token.", helped.label, -gain)
	default:
		verdict += "there is no difference."
	}
	list := []string{verdict}
	if step, ok := compare.FirstBelow(points(curves[helped.name], stepOf, metrics.ValLoss, 1), base.HeldOut.NLL); ok {
		list = append(list, fmt.Sprintf("%s reaches %s's final held-out loss at about step %.0f of %d, %.0f%% of the steps (between evaluations, interpolated).",
			helped.label, base.label, step, base.Steps, 100*step/float64(base.Steps)))
	} else {
		list = append(list, fmt.Sprintf("%s does not reach %s's final held-out loss within its %d steps.", helped.label, base.label, helped.Steps))
	}
	list = append(list, fmt.Sprintf("%s spent %.2f TFLOP of model arithmetic, the teacher's forward passes included, %s %.2f: %.1f%% more.",
		helped.label, helped.FLOPs/1e12, base.label, base.FLOPs/1e12, 100*(helped.FLOPs/base.FLOPs-1)))
	if c := helped.Scoring; c != nil {
		list = append(list, fmt.Sprintf("Stage 1 read %d of %d candidate sequences, the challenging yet learnable ones for an early SLM. Scoring them took %.2f TFLOP and %.0f s, which count as %s's.",
			c.Selected, c.Candidates, c.FLOPs/1e12, c.Seconds, helped.label))
	}
	if c := helped.Labeling; c != nil {
		list = append(list, fmt.Sprintf("Soft labels of %d sequences were made before: %.2f TFLOP and %.0f s, which count as %s's; other students can learn from them too.",
			c.Sequences, c.FLOPs/1e12, c.Seconds, helped.label))
	}
	list = append(list, autoFindings(helped)...)
	if teacher != nil {
		place := "behind both at the end: the regime in which the teacher must leave"
		if teacher.HeldOut.NLL < min(base.HeldOut.NLL, helped.HeldOut.NLL) {
			place = "still ahead of both at the end: the student has not overtaken it"
		} else if teacher.HeldOut.NLL < max(base.HeldOut.NLL, helped.HeldOut.NLL) {
			place = "between the two at the end"
		}
		list = append(list, fmt.Sprintf("The teacher (SLM, %d parameters against %d) stands at %.4f, %s.", teacher.Params, base.Params, teacher.HeldOut.NLL, place))
	}
	return append(list, "This is one seed. Another seed or data order moves a small model's final loss by about as much as the methods differ; repeat with other seeds before concluding.")
}
