package compare

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"saltern/jobs/report"
)

var nan = math.NaN()

func near(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

// Two-sided quantiles as printed in every table of the distribution, to their last figure.
func TestTQuantile(t *testing.T) {
	for _, c := range []struct{ freedom, probability, want float64 }{
		{1, 0.95, 12.706}, {2, 0.95, 4.303}, {3, 0.95, 3.182}, {4, 0.95, 2.776}, {9, 0.95, 2.262}, {29, 0.95, 2.045}, {1000, 0.95, 1.962},
		{1, 0.99, 63.657}, {2, 0.99, 9.925}, {2, 0.90, 2.920}, {10, 0.999, 4.587},
	} {
		if got := tQuantile(c.freedom, c.probability); math.Abs(got-c.want) > 0.0005001 {
			t.Errorf("%g degrees, %g: %.5f, want %.3f", c.freedom, c.probability, got, c.want)
		}
	}
	// One degree is the Cauchy distribution, two have a closed form too.
	for _, p := range []float64{0.5, 0.95, 0.9975} {
		if got, want := tQuantile(1, p), math.Tan(math.Pi*p/2); math.Abs(got/want-1) > 1e-9 {
			t.Errorf("Cauchy at %g: %g, want %g", p, got, want)
		}
		if got, want := tQuantile(2, p), p*math.Sqrt(2/(1-p*p)); math.Abs(got/want-1) > 1e-9 {
			t.Errorf("two degrees at %g: %g, want %g", p, got, want)
		}
	}
}

func TestOver(t *testing.T) {
	for _, c := range []struct {
		why       string
		values    []float64
		mean, low float64
		n         int
		verdict   string
	}{
		{"s = 1, so 2 - 4.30265/√3", []float64{1, 2, 3}, 2, 2 - 4.302652729911275/math.Sqrt(3), 3, "no difference shown at 3 seeds"},
		{"s = √2 / 2", []float64{1, 2}, 1.5, 1.5 - 12.706204736432095*0.5, 2, "no difference shown at 2 seeds"},
		{"above", []float64{1, 1.1, 0.9}, 1, 1 - 4.302652729911275*0.1/math.Sqrt(3), 3, "better"},
		{"below", []float64{-1, -1.1, -0.9}, -1, -1 - 4.302652729911275*0.1/math.Sqrt(3), 3, "worse"},
		{"one has no interval", []float64{7}, 7, nan, 1, "one seed, no verdict"},
		{"what is not finite is left out", []float64{nan, 7, math.Inf(1)}, 7, nan, 1, "one seed, no verdict"},
		{"none", nil, nan, nan, 0, "not measured"},
		{"all alike at zero", []float64{0, 0, 0}, 0, 0, 3, "no difference shown at 3 seeds"},
	} {
		i := over(c.values)
		if !near(i.Mean, c.mean) || !near(i.Low, c.low) || !near(i.High, 2*c.mean-c.low) || i.N != c.n || i.Verdict() != c.verdict {
			t.Errorf("%s: %+v, %s", c.why, i, i.Verdict())
		}
	}
}

// line is a run whose loss falls by straight lines: loss at steps 0, 100, 200, ...
func line(seed int64, losses ...float64) Run {
	r := Run{Seed: seed, Params: 100}
	for i, loss := range losses {
		s := float64(100 * i)
		r.Points = append(r.Points, Point{Step: int64(s), Tokens: int64(s), FLOPs: 10 * s, Seconds: s / 10, Loss: loss})
	}
	end := r.end()
	r.Steps, r.Loss, r.FLOPs, r.Seconds = end.Step, end.Loss, end.FLOPs, end.Seconds
	return r
}

// Gains scatter little where losses scatter much: the interval must be that of the differences.
func TestPaired(t *testing.T) {
	base := Arm{Runs: []Run{line(1, 9, 3.0), line(2, 9, 4.0), line(3, 9, 5.0)}}
	arm := Arm{Runs: []Run{line(3, 9, 4.9), line(1, 9, 2.8), line(2, 9, 3.7)}} // gains 0.2, 0.3, 0.1 by seed
	s := summarise(base, arm)
	half := 4.302652729911275 * 0.1 / math.Sqrt(3)
	if !near(s.Gain.Mean, 0.2) || !near(s.Gain.Half(), half) || s.Gain.sign() != 0 {
		t.Errorf("gain %+v, want 0.2 ± %g", s.Gain, half)
	}
	if !slices.EqualFunc(s.Gains, []float64{0.2, 0.3, 0.1}, near) {
		t.Errorf("gains %v by seed", s.Gains)
	}
	if !near(s.Loss.Mean, 3.8) || s.Loss.Half() < 2 {
		t.Errorf("loss %+v", s.Loss)
	}
	arm.Runs = arm.Runs[:2] // seed 2 is gone: 1 and 3 are compared
	if s := summarise(base, arm); s.Paired != 2 || !near(s.Gain.Mean, 0.15) {
		t.Errorf("with seeds 1 and 3: %+v", s.Gain)
	}
}

func TestFirstBelow(t *testing.T) {
	for _, c := range []struct {
		why    string
		curve  []report.Point
		level  float64
		at     float64
		passes bool
	}{
		{"half way", []report.Point{{X: 0, Y: 4}, {X: 10, Y: 2}}, 3, 5, true},
		{"on a point", []report.Point{{X: 0, Y: 4}, {X: 10, Y: 2}, {X: 20, Y: 1}}, 2, 10, true},
		{"at once", []report.Point{{X: 3, Y: 1}}, 2, 3, true},
		{"never", []report.Point{{X: 0, Y: 4}, {X: 10, Y: 2}}, 1, nan, false},
		{"the first of several", []report.Point{{X: 0, Y: 4}, {X: 1, Y: 2}, {X: 2, Y: 5}, {X: 3, Y: 0}}, 3, 0.5, true},
		{"over what is not finite", []report.Point{{X: 0, Y: 4}, {X: 5, Y: nan}, {X: nan, Y: 1}, {X: 10, Y: 2}}, 3, 5, true},
		{"no level", []report.Point{{X: 0, Y: 4}}, nan, nan, false},
		{"nothing", nil, 1, nan, false},
	} {
		if at, ok := FirstBelow(c.curve, c.level); !near(at, c.at) || ok != c.passes {
			t.Errorf("%s: %g, %v", c.why, at, ok)
		}
	}
}

// Levels are each seed's own: seed 1 reaches 2.0 at step 150 of 200, seed 2 reaches 3.0 at step 50.
func TestReach(t *testing.T) {
	base := Arm{Runs: []Run{line(1, 4, 3, 2), line(2, 5, 4, 3)}}
	arm := Arm{Runs: []Run{line(1, 4, 3, 1), line(2, 4, 2, 1)}}
	for i := range arm.Runs[0].Points {
		arm.Runs[0].Points[i].FLOPs *= 2
	}
	r := summarise(base, arm).Reach
	if r[0].Reached != 2 || !slices.EqualFunc(r[0].Each, []float64{0.75, 0.25}, near) || !near(r[0].Share.Mean, 0.5) || !near(r[0].Share.High, 0.5+12.706204736432095*0.25) || r[0].Share.Low != 0 {
		t.Errorf("steps %+v", r[0])
	}
	if !slices.EqualFunc(r[1].Each, []float64{1.5, 0.25}, near) || !slices.EqualFunc(r[2].Each, []float64{0.75, 0.25}, near) {
		t.Errorf("FLOPs %v, seconds %v", r[1].Each, r[2].Each)
	}
	if i := overShares([]float64{0.1, 1}); i.Low != 0 || i.High < 1 {
		t.Errorf("a share below 0: %+v", i)
	}
	if own := summarise(base, base).Reach[0].Share; own.Mean != 1 || own.Half() != 0 {
		t.Errorf("BASELINE reaches its own end at %+v", own)
	}
}

func TestCensored(t *testing.T) {
	s := Study{Arms: []Arm{
		{Name: "baseline", Label: "BASELINE", Runs: []Run{line(1, 4, 3, 2), line(2, 4, 3, 2), line(3, 4, 3, 2)}},
		{Name: "salt", Label: "SALT", Runs: []Run{line(1, 4, 2, 1), line(2, 4, 3, 1.5), line(3, 4, 3, 2.1)}},
		{Name: "rkd", Label: "RKD", Runs: []Run{line(1, 4, 3, 2.2), line(2, 4, 3, 2.3), line(3, 4, 3, 2.1)}},
	}}
	got := Summarise(s)[1].Reach[0]
	if got.Reached != 2 || finite(got.Share.Mean) || got.Share.Known() || !math.IsNaN(got.Each[2]) || got.those() != "50% and 83%" {
		t.Errorf("%+v, %s", got, got.those())
	}
	r := Report(s)
	want(t, r.Findings, "2 of its 3 seeds reach BASELINE's final loss, at 50% and 83% of the steps.", "None of its 3 seeds reaches BASELINE's final loss.")
	cost := r.Sections[0].Tables[1].Rows
	if c := cost[1].Cells; c[0].Text != "–" || c[4].Text != "2 of 3" || c[4].Detail != "at 50% and 83%" || finite(c[0].Value) {
		t.Errorf("%+v", c)
	}
	if c := cost[2].Cells; c[0].Text != "–" || c[4].Text != "0 of 3" {
		t.Errorf("%+v", c)
	}
}

// At 70% of 200 steps: 4 - 1.4 = 2.6, by a straight line.
func TestMatched(t *testing.T) {
	base, arm := Arm{Runs: []Run{line(1, 4, 3, 2)}}, Arm{Runs: []Run{line(1, 4, 2, 1)}}
	b, a := summarise(base, base), summarise(base, arm)
	if !near(b.EarlyLoss.Mean, 2.6) || !near(b.EarlyLead.Mean, -0.6) || !near(b.EarlyGain.Mean, 0) || !near(b.EarlyCost[1].Mean, 0.7) {
		t.Errorf("BASELINE %+v", b)
	}
	if !near(a.EarlyLoss.Mean, 1.6) || !near(a.EarlyLead.Mean, 0.4) || !near(a.EarlyGain.Mean, 1) {
		t.Errorf("the arm %+v", a)
	}
	short := Arm{Runs: []Run{line(1, 4, 3)}} // ended at step 100
	if s := summarise(base, short); finite(s.EarlyLoss.Mean) || !near(s.Cost[0].Mean, 0.5) {
		t.Errorf("an arm that ended before: %+v", s)
	}
}

// A seed without an evaluation, or without a finite one, makes a step no mean or a gap.
func TestCurve(t *testing.T) {
	a := Arm{Label: "A", Runs: []Run{line(1, 4, 3, 2, 1), line(2, 6, 5, nan), line(3, 5, 4, 3)}}
	a.Runs[1].Points[1].FLOPs = 4000
	s := a.curve(flops)
	half := 4.302652729911275 / math.Sqrt(3)
	if len(s.Points) != 3 || !near(s.Points[0].Y, 5) || !near(s.Band[0].Low, 5-half) || !near(s.Band[0].High, 5+half) {
		t.Errorf("%+v", s)
	}
	if !near(s.Points[1].X, 2000) || !math.IsNaN(s.Points[2].Y) || !math.IsNaN(s.Band[2].Low) {
		t.Errorf("%+v", s)
	}
	g := gainCurve(Arm{Runs: []Run{line(1, 5, 5, 5), line(3, 5, 5, 5), line(2, 5, 5, 5)}}, a)
	if len(g.Points) != 3 || !near(g.Points[0].Y, 0) || !near(g.Points[1].Y, 1) || !near(g.Band[1].Low, 1-half) || !math.IsNaN(g.Points[2].Y) {
		t.Errorf("%+v", g)
	}
}

func TestSweeps(t *testing.T) {
	s := invented(3)
	sweeps := s.sweeps()
	if len(sweeps) != 2 || sweeps[0].key != "distill.kd_steps" || sweeps[1].key != "distill.weight" {
		t.Fatalf("%+v", sweeps)
	}
	l := sweeps[0].lines
	if len(l) != 1 || l[0].head != 1 || !slices.Equal(l[0].values, []float64{50, 100, 200, 400, 600}) || !slices.Equal(l[0].arms, []int{5, 6, 1, 7, 8}) {
		t.Errorf("%+v", l)
	}
	if heads := s.heads(sweeps); !slices.Equal(heads, []int{0, 1, 2, 3, 4, 1, 1, 1, 1, 1, 1}) {
		t.Errorf("heads %v", heads)
	}
	charts := newPage(s).sweepCharts()
	if len(charts) != 2 || !slices.Equal(charts[0].Ticks, []float64{50, 100, 200, 400, 600}) || !charts[0].LogX || charts[1].LogX ||
		charts[0].Series[0].Name != "SALT" || !charts[0].Series[0].Bars || charts[0].Levels[0].Name != "BASELINE" {
		t.Errorf("%+v", charts)
	}
}

// What an arm sets as the job file has it, and how its method is said, makes no other arm of it; a control is no variant.
func TestSweepsOfOwnArms(t *testing.T) {
	s := invented(1)
	s.Arms = append(s.Arms, Arm{Name: "long", Label: "long", Settings: []Setting{{"distill.kd_steps", "700"}, {"distill.weight", "0.5"}}},
		Arm{Name: "mine", Label: "mine", Settings: []Setting{{"distill.kd_steps", "700"}, {"distill.teacher", "uniform"}}},
		Arm{Name: "baseline-85", Label: "85%", Settings: []Setting{{"distill.method", "baseline"}, {"llm.train.steps", "680"}}})
	sweeps := s.sweeps()
	if len(sweeps) != 2 || len(sweeps[0].lines) != 1 || !slices.Equal(sweeps[0].lines[0].values, []float64{50, 100, 200, 400, 600, 700}) {
		t.Errorf("%+v", sweeps)
	}
	if heads := s.heads(sweeps); !slices.Equal(heads[11:], []int{11, 12, 13}) { // they have names, and so stand for themselves
		t.Errorf("heads %v", heads)
	}
	s.Arms = append(s.Arms[:4], Arm{Name: "selection", Label: "selection", Settings: []Setting{{"distill.method", "salt-ds"}, {"distill.weight", "0"}}})
	if sweeps := s.sweeps(); len(sweeps) != 0 {
		t.Errorf("a control beside its method: %+v", sweeps)
	}
}

func TestAgainstEachOther(t *testing.T) {
	s := Study{Arms: []Arm{
		{Name: "baseline", Label: "BASELINE", Runs: []Run{line(1, 9, 3), line(2, 9, 4), line(3, 9, 5)}},
		{Name: "salt", Label: "SALT", Runs: []Run{line(1, 9, 2), line(2, 9, 3.1), line(3, 9, 3.9)}},
		{Name: "smoothing", Label: "smoothing", Runs: []Run{line(1, 9, 2.1), line(2, 9, 3), line(3, 9, 3.9)}},
	}}
	rows := newPage(s).pairTables()[0].Rows
	if c := rows[1].Cells; !strings.HasPrefix(c[0].Text, "+1.0") || c[1].Text != "" || c[2].Text != "(0.000)" || !near(c[0].Value, 1) {
		t.Errorf("SALT %+v", c)
	}
	if c := rows[0].Cells[1]; !strings.HasPrefix(c.Text, "−1.0") || !near(c.Low, -1-4.302652729911275*0.1/math.Sqrt(3)) {
		t.Errorf("BASELINE over SALT %+v", c)
	}
}

// The counted FLOPs of the invented runs follow 0.03 / 1.45 for each step with the teacher; the rule says 2 × 0.36 / (6 × 5.9).
func TestCostRule(t *testing.T) {
	p := newPage(invented(2))
	for i, want := range map[int]float64{
		0: 1, 1: 1 + 0.25*2*0.36/(6*5.9), 2: 1 + 2*0.36/(6*5.9), 4: 0.7, 7: 1 + 0.5*2*0.36/(6*5.9),
	} {
		if got := p.costRule(i); !near(got, want) {
			t.Errorf("%s: %g, want %g", p.Arms[i].Label, got, want)
		}
	}
	for _, c := range []struct {
		set  Setting
		want float64
	}{
		{Setting{"distill.teacher", "self"}, 1 + 0.25*2/6.0}, {Setting{"distill.teacher", "uniform"}, nan},
		{Setting{"distill.transition", "auto"}, nan}, {Setting{"distill.kd_steps", "0"}, nan}, {Setting{"distill.weight", "0"}, 1},
	} {
		q := newPage(invented(2))
		q.Arms[1].Settings = append(q.Arms[1].Settings, c.set)
		if got := q.costRule(1); !near(got, c.want) {
			t.Errorf("%v: %g, want %g", c.set, got, c.want)
		}
	}
	want(t, p.findings(), "SALT 100.5% (100.5%)", "RKD 102.1% (102.0%)")
	p.Teacher.Runs[0].Params *= 20
	want(t, p.cautions(), "RKD's counted FLOPs are 102.1% of BASELINE's, the cost rule says 140.7%")
}

// BASELINE takes 2000 FLOPs, the SLM 500 with seed 1 and 300 with seed 2; the arm is there at half way.
func TestTrainingOfTheTeacher(t *testing.T) {
	study := func(set ...Setting) page {
		teacher := Arm{Name: "slm", Label: "SLM", Runs: []Run{line(1, 4, 2), line(2, 4, 2)}}
		teacher.Runs[0].FLOPs, teacher.Runs[1].FLOPs = 500, 300
		return newPage(Study{Teacher: &teacher, Arms: []Arm{
			{Name: "baseline", Label: "BASELINE", Runs: []Run{line(1, 4, 3, 2), line(2, 4, 3, 2)}},
			{Name: "salt", Label: "SALT", Settings: set, Runs: []Run{line(1, 4, 2, 1), line(2, 4, 2, 1)}},
		}})
	}
	for _, c := range []struct {
		why  string
		set  []Setting
		want float64
	}{
		{"0.75 and 0.65", nil, 0.7},
		{"BASELINE is its teacher", []Setting{{"distill.teacher", "self"}}, 1.5},
		{"BASELINE is its teacher, and the SLM selects", []Setting{{"distill.teacher", "self"}, {"distill.method", "salt-ds"}}, 1.7},
		{"another BASELINE is its teacher", []Setting{{"distill.teacher", "self"}, {"llm.train.lr", "1"}}, nan},
		{"no teacher", []Setting{{"distill.teacher", "uniform"}}, 0.5},
		{"no teacher, and the SLM selects", []Setting{{"distill.teacher", "uniform"}, {"distill.method", "salt-ds"}}, 0.7},
		{"another SLM", []Setting{{"slm.train.steps", "9"}}, nan},
		{"plain training", []Setting{{"distill.method", "baseline"}}, 0.5},
	} {
		if got := study(c.set...).reachInAll(1).Mean; !near(got, c.want) {
			t.Errorf("%s: %g, want %g", c.why, got, c.want)
		}
	}
	p := study()
	want(t, p.findings(), "The SLM's own training took 20% of BASELINE's FLOPs and is not in those above. Counted in full, SALT is there at 70% of BASELINE's FLOPs.")
	p.Teacher.Runs = p.Teacher.Runs[:1] // one for all seeds
	if got := p.reachInAll(1).Mean; !near(got, 0.75) {
		t.Errorf("one SLM: %g", got)
	}
	p.summaries[1].Reach[1].Reached = 1
	if got := p.reachInAll(1); finite(got.Mean) {
		t.Errorf("a seed that does not get there: %+v", got)
	}
}

func TestBold(t *testing.T) {
	bold := func(s Study) (names []string) {
		for _, row := range Report(s).Sections[0].Tables[0].Rows {
			if row.Cells[0].Best {
				names = append(names, row.Name)
			}
			if row.Cells[0].Best != row.Cells[3].Best {
				t.Error("loss and perplexity differ")
			}
		}
		return names
	}
	study := func(losses ...[]float64) Study {
		var s Study
		for i, arm := range losses {
			a := Arm{Name: string(rune('a' + i))}
			for seed, loss := range arm {
				a.Runs = append(a.Runs, line(int64(seed), 9, loss))
			}
			s.Arms = append(s.Arms, a)
		}
		return s
	}
	for _, c := range []struct {
		why   string
		study Study
		want  []string
	}{
		{"apart from BASELINE", study([]float64{3, 4, 5}, []float64{2.9, 3.9, 4.89}), []string{"b"}},
		{"lower by chance", study([]float64{3, 4, 5}, []float64{2.5, 4.1, 4.9}), nil},
		{"BASELINE is best", study([]float64{3, 4, 5}, []float64{3.1, 4.1, 5.11}), []string{"a"}},
		{"one seed", study([]float64{3}, []float64{2}), nil},
		{"alone", study([]float64{3, 4, 5}), nil},
	} {
		if got := bold(c.study); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// want looks for sentences.
func want(t *testing.T, list []string, sentences ...string) {
	t.Helper()
	all := strings.Join(list, "\n")
	for _, s := range sentences {
		if !strings.Contains(all, s) {
			t.Errorf("it is not said that %q:\n%s", s, all)
		}
	}
}

func TestFindings(t *testing.T) {
	r := Report(invented(3))
	want(t, r.Findings, "SALT is better than BASELINE: its final held-out loss is lower by", "SALT_DS is worse than BASELINE: its final held-out loss is higher by",
		"It reaches BASELINE's final loss at", "At 70% of the steps: SALT (−", "still behind where BASELINE ends", "plain training overtakes the teacher",
		"Of 5 values of distill.kd_steps for SALT, from 50 to 600, 200 ends lowest")
	want(t, r.Cautions, "10 arms were compared with BASELINE, at 95% each", "to 99.5% each, Bonferroni", "chosen after its result was seen")
	for _, s := range r.Findings {
		if strings.HasPrefix(s, "SALT, n_KD") {
			t.Errorf("a value of a sweep has a finding of its own: %s", s)
		}
	}

	s := invented(3)
	for i := range s.Arms[1].Runs {
		s.Arms[1].Runs[i].Loss = s.Arms[0].Runs[i].Loss + []float64{0.1, -0.1, 0.02}[i]
	}
	want(t, Report(s).Findings, "Between SALT and BASELINE no difference is shown: a gain of −0.007 nats per token [")
	want(t, Report(odd()).Cautions, "Two seeds of SALT and RKD:", "SALT has no finite final loss with seed 2", "RKD lacks seed 1; what compares it with BASELINE rests on 2 seeds",
		"SALT_DS has no runs", "SALT, n_KD 100 has no finite final loss with any seed", "SALT, n_KD 400 has 1 parameters, BASELINE 5900000")
	alone := invented(3)
	alone.Baseline = -1
	want(t, Report(alone).Cautions, "No arm is BASELINE")
}

func TestOneSeed(t *testing.T) {
	r := Report(invented(1))
	want(t, r.Findings, "one seed, no verdict")
	want(t, r.Cautions, "One seed: no interval, no verdict.")
	for _, s := range r.Sections {
		for _, table := range s.Tables {
			for _, row := range table.Rows {
				for _, c := range row.Cells {
					if finite(c.Low) || finite(c.High) || c.Best || strings.ContainsAny(c.Detail, "±[") {
						t.Errorf("%s, %s: %+v", table.Title, row.Name, c)
					}
				}
			}
		}
		for _, c := range s.Charts {
			for _, series := range c.Series {
				for _, b := range series.Band {
					if finite(b.Low) || finite(b.High) {
						t.Fatalf("%s, %s has a band", c.Title, series.Name)
					}
				}
			}
		}
	}
	for _, f := range append(r.Findings, r.Cautions...) {
		for _, word := range []string{"better", "worse", "no difference", "Bonferroni"} {
			if strings.Contains(f, word) {
				t.Errorf("a verdict on one seed: %s", f)
			}
		}
	}
	if page := html(t, r); strings.Contains(page, `class="band`) || strings.Contains(page, `class="estimate"`) {
		t.Error("a band is drawn")
	}
}

func html(t *testing.T, r report.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever the numbers are, the page is well formed, no coordinate is NaN, and the JSON is JSON.
func TestPages(t *testing.T) {
	few, alone := invented(3), invented(3)
	few.Arms, few.Teacher, alone.Baseline = few.Arms[:2], nil, -1
	beyond := invented(2)
	beyond.Baseline = 99
	many := invented(3)
	for i, name := range []string{"selection alone", "SALT, label smoothing", "SALT, self-distillation", "mine"} {
		a := Arm{Name: name, Label: name, Note: "A control.", Settings: []Setting{{"distill.teacher", name}}}
		for seed := range int64(3) {
			a.Runs = append(a.Runs, inventedRun(seed+1, 800, 0, 0.01*float64(i), 0.02, uint64(50+i)))
		}
		many.Arms = append(many.Arms, a)
	}
	for name, s := range map[string]Study{"three": invented(3), "two": invented(2), "one": invented(1), "few": few, "many": many, "odd": odd(), "alone": alone, "beyond": beyond, "empty": {}} {
		write(t, name, s)
		r := Report(s)
		page := html(t, r)
		body := page[strings.Index(page, "<main>"):]
		if found := regexp.MustCompile(`.{0,60}(NaN|Inf|∞|%!).{0,60}`).FindString(strings.ReplaceAll(body, "kd_steps=NaN", "")); found != "" {
			t.Errorf("%s: the page has %s", name, found)
		}
		dec := xml.NewDecoder(strings.NewReader(body[:strings.Index(body, "</main>")+len("</main>")]))
		dec.Entity = xml.HTMLEntity
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: not well formed: %v", name, err)
			}
		}
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil || !json.Valid(b.Bytes()) {
			t.Errorf("%s: %v", name, err)
		}
		for _, row := range second(Table(s)) {
			if columns, _ := Table(s); len(row) != len(columns) {
				t.Errorf("%s: a row of %d for %d columns", name, len(row), len(columns))
			}
		}
	}
}

func second(_ []Column, rows [][]any) [][]any { return rows }

// Every run's every evaluation is in report.json.
func TestData(t *testing.T) {
	s := invented(2)
	var b bytes.Buffer
	if err := Report(s).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Data struct {
			Baseline string
			Arms     []struct {
				Name, Verdict string
				Settings      map[string]string
				Runs          []struct {
					Seed        int64
					Loss        float64
					Evaluations [][5]float64
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	arms := got.Data.Arms[1:] // after the teacher
	if got.Data.Baseline != "baseline" || len(arms) != len(s.Arms) || arms[2].Settings["distill.method"] != "rkd" || arms[1].Verdict != "better" {
		t.Errorf("%+v", got.Data.Baseline)
	}
	for i, a := range s.Arms {
		for j, r := range a.Runs {
			run := arms[i].Runs[j]
			if run.Loss != r.Loss || len(run.Evaluations) != len(r.Points) || run.Evaluations[3][4] != r.Points[3].Loss {
				t.Errorf("%s, seed %d: not all numbers", a.Name, r.Seed)
			}
		}
	}
}

func TestTable(t *testing.T) {
	columns, rows := Table(invented(3))
	at := func(row int, key string) any {
		return rows[row][slices.IndexFunc(columns, func(c Column) bool { return c.Key == key })]
	}
	if at(0, "arm") != "SLM" || at(1, "arm") != "BASELINE" || at(1, "gain") != nil || at(1, "steps_to_baseline_percent") != 100.0 || at(2, "verdict") != "better" ||
		at(2, "seeds") != 3 || at(4, "steps_to_baseline_percent") != nil || at(4, "seeds_to_baseline") != 0 || at(0, "steps_to_baseline_percent") != nil {
		t.Errorf("%v", rows)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{signed(0.0421, 3), "+0.042"},
		{signed(-0.0421, 3), "−0.042"},
		{signed(-0.0001, 3), "0.000"},
		{signed(0.0001, 3), "0.000"},
		{signed(nan, 3), "–"},
		{percents(0.8349, 1), "83.5%"},
		{Interval{2, 1, 3, 3}.bounds(percent), "[100%, 300%]"},
		{Interval{2, nan, nan, 1}.bounds(percent), ""},
		{and(nil), ""},
		{and([]string{"a"}), "a"},
		{and([]string{"a", "b", "c"}), "a, b and c"},
		{and([]string{"a, x", "b", "c"}), "a, x; b and c"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
