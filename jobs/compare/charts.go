package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"saltern/jobs/report"
)

const perChart = 6 // lines that can be told apart

// gainChart is every arm's gain over BASELINE: what the page is about.
func (p page) gainChart() []report.Chart {
	c := report.Chart{Title: "Gain over BASELINE at the end", X: "nats per token, more is better", Marks: []report.Mark{{X: 0, Label: "BASELINE"}},
		Note: p.ifSeveral("Dots are means over seeds, bars 95% intervals of the differences paired by seed, ticks the single seeds. A bar that crosses the dashed line shows no difference.")}
	for _, i := range p.others() {
		s := p.summaries[i]
		if s.Gain.N == 0 {
			continue
		}
		c.Rows = append(c.Rows, report.Estimate{Name: p.Arms[p.heads[i]].Label, Label: s.Arm.Label,
			Value: s.Gain.Mean, Low: s.Gain.Low, High: s.Gain.High, Each: s.Gains})
	}
	if len(c.Rows) == 0 {
		return nil
	}
	return []report.Chart{c}
}

// sliceChart is the main arms' gain on the easy, medium and hard third of the text.
func (p page) sliceChart() report.Chart {
	c := report.Chart{Title: "Gain over BASELINE by how hard the text is for the SLM", X: "nats per token, more is better", Marks: []report.Mark{{X: 0, Label: "BASELINE"}},
		Note: "Each third of the held-out text is the same for all arms: it was cut by the SLM's own loss." + p.ifSeveral(" Bars: 95% intervals, paired by seed.")}
	for _, i := range p.main() {
		s := p.summaries[i]
		if i == p.Baseline {
			continue
		}
		for j, gain := range s.SliceGains {
			if gain.N > 0 {
				c.Rows = append(c.Rows, report.Estimate{Name: s.Arm.Label, Group: s.Arm.Label, Label: sliceNames[j], Value: gain.Mean, Low: gain.Low, High: gain.High,
					Each: differences(pairs(p.baseline(), s.Arm), slice(j))})
			}
		}
	}
	return c
}

var sliceNames = [3]string{"easy", "medium", "hard"}

// curves are the main arms' losses against what they spent, and their gain along the way. The other arms' are in report.json.
func (p page) curves() []report.Chart {
	unit, perUnit := timeUnit(p.Arms)
	inUnits := func(q Point) float64 { return q.Seconds / perUnit }
	bands := cmp.Or(p.ifSeveral("Lines are means over seeds, areas 95% intervals of those means; between arms the paired gain is the better judge."), "One seed: there are no bands.")
	marks := p.leaves()
	var list []report.Chart
	for part, group := range p.grouped(p.main()) {
		title := func(s string) string {
			if part > 0 {
				return s + ", further arms"
			}
			return s
		}
		byStep := p.lossChart(title("Held-out loss against steps"), "optimizer steps", bands, group, steps)
		byStep.Marks = marks
		list = append(list, byStep,
			p.lossChart(title("Held-out loss against computation"), "FLOPs", "The teacher's forward passes are counted, and those of scoring; its own training is not.", group, flops),
			p.lossChart(title("Held-out loss against wall clock"), unit, "As this machine happened to run; evaluations and whatever else it did are in it.", group, inUnits))
		if gain := p.gainCurves(title("Gain over BASELINE at the same step"), group); len(gain.Series) > 0 {
			gain.Marks = marks
			list = append(list, gain)
		}
	}
	return list
}

func (p page) lossChart(title, x, note string, arms []int, spent quantity) report.Chart {
	c := report.Chart{Title: title, Note: note, X: x, Y: "nats per token", Focus: true}
	for _, i := range arms {
		c.Series = append(c.Series, p.Arms[i].curve(spent))
	}
	return c
}

func (p page) gainCurves(title string, arms []int) report.Chart {
	c := report.Chart{Title: title, X: "optimizer steps", Y: "nats per token, more is better", Focus: true,
		Note: "BASELINE's loss minus the arm's, paired by seed" + p.ifSeveral("; areas are 95% intervals") + "."}
	for _, i := range arms {
		if s := gainCurve(p.baseline(), p.Arms[i]); i != p.Baseline && len(s.Points) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	if len(c.Series) > 0 {
		c.Levels = []report.Level{{Name: p.baseline().Label, Y: 0, Low: math.NaN(), High: math.NaN()}}
	}
	return c
}

// ifSeveral leaves out what only several seeds make true.
func (p page) ifSeveral(s string) string {
	if len(p.seeds()) < 2 {
		return ""
	}
	return s
}

// grouped deals arms out to pictures of at most perChart lines, BASELINE's in each.
func (p page) grouped(arms []int) (groups [][]int) {
	room := perChart
	var first []int
	if p.Baseline >= 0 {
		room, first = perChart-1, []int{p.Baseline}
	}
	rest := slices.DeleteFunc(slices.Clone(arms), func(i int) bool { return i == p.Baseline })
	for part := range slices.Chunk(rest, room) {
		groups = append(groups, slices.Concat(first, part))
	}
	if len(groups) == 0 && len(arms) > 0 {
		groups = [][]int{arms}
	}
	return groups
}

// leaves marks the step at which the teacher leaves, where that is one step for all main arms that have such a stage.
func (p page) leaves() []report.Mark {
	at := math.NaN()
	for _, i := range p.main() {
		if n := p.kdSteps(p.Arms[i]); strings.HasPrefix(p.method(p.Arms[i]), "salt") && finite(n) {
			if finite(at) && at != n {
				return nil
			}
			at = n
		}
	}
	if !finite(at) {
		return nil
	}
	return []report.Mark{{X: at, Label: "teacher leaves"}}
}

// sweepCharts are the final losses against each key that is varied.
func (p page) sweepCharts() []report.Chart {
	var list []report.Chart
	for _, sweep := range p.sweeps {
		c := report.Chart{Title: "Final loss by " + sweep.key, X: sweep.key, Y: "held-out loss, nats per token"}
		for _, l := range sweep.lines {
			s := report.Series{Name: p.Arms[l.head].Label, Bars: true}
			for i, arm := range l.arms {
				add(&s, l.values[i], p.summaries[arm].Loss)
				c.Ticks = append(c.Ticks, l.values[i])
			}
			c.Series = append(c.Series, s)
		}
		slices.Sort(c.Ticks)
		c.Ticks = slices.Compact(c.Ticks)
		c.LogX = c.Ticks[0] > 0 && c.Ticks[len(c.Ticks)-1] >= 10*c.Ticks[0]
		if p.Baseline >= 0 {
			loss := p.summaries[p.Baseline].Loss
			c.Levels = []report.Level{{Name: p.baseline().Label, Y: loss.Mean, Low: loss.Low, High: loss.High}}
		}
		list = append(list, c)
	}
	return list
}

// timeUnit is the unit in which the longest run's time is read best.
func timeUnit(arms []Arm) (name string, seconds float64) {
	longest := 0.0
	for _, a := range arms {
		for _, r := range a.Runs {
			longest = max(longest, r.end().Seconds)
		}
	}
	switch {
	case longest >= 3*3600:
		return "hours", 3600
	case longest >= 3*60:
		return "minutes", 60
	}
	return "seconds", 1
}

// kdSteps is n_KD as an arm had it; NaN where it is not said, or was found while it trained.
func (p page) kdSteps(a Arm) float64 {
	v, err := strconv.ParseFloat(p.value(a, "distill.kd_steps"), 64)
	if err != nil || v == 0 || p.value(a, "distill.transition") == "auto" {
		return math.NaN()
	}
	return v
}

// notes say what the arms are for; variants stand in the tables, with their settings.
func (p page) notes() []string {
	var list []string
	for i, a := range p.Arms {
		if p.heads[i] != i {
			continue
		}
		note := a.Label + ". " + a.Note
		if s := p.settingsText(a); s != "" {
			note += fmt.Sprintf(" Sets %s.", s)
		}
		list = append(list, strings.TrimSpace(note))
	}
	return list
}
