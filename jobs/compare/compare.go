// Package compare says what a comparison of several methods over several seeds shows, and how sure that is: the statistics,
// the tables, the charts and the words of the page that "saltern compare" writes.
//
// It trains nothing and reads no file: jobs runs the arms and fills a [Study], jobs/report draws.
//
// The order of use: fill a Study; [Report] for report.html and report.json; [Table] for the terminal. Files by what they hold:
// interval.go means and their t-intervals; curve.go from evaluations to curves; summary.go an arm against BASELINE; sweep.go
// arms that vary one key; tables.go, charts.go and findings.go what the page shows of them; cost.go the cost rule.
//
// What a sceptic may rely on:
//  1. Whatever is compared with BASELINE is paired by seed, and its interval is that of the paired differences (TestPaired).
//  2. A single seed has no interval, no band and no verdict (TestOneSeed).
//  3. Where a seed does not reach BASELINE's loss, no mean is made of those that do: they are counted (TestCensored).
//  4. Bold is only what a paired interval sets apart from BASELINE (TestBold).
//  5. Findings name losses and gains in the same words, and how many comparisons were made (TestFindings).
//
// Source of the t-interval and of pairing: Student, "The probable error of a mean", Biometrika 6 (1908).
package compare

import (
	"cmp"
	"slices"

	"saltern/jobs/report"
)

// Report makes the page of a study.
func Report(s Study) report.Report {
	p := newPage(s)
	return report.Report{
		Title: p.Title, When: p.When, Device: p.Device, Driver: p.Driver, Findings: p.findings(), Cautions: p.cautions(),
		Sections: p.sections(), Config: p.Config, Reproduce: p.Reproduce, Data: p.data(),
	}
}

// page is a study with all that was computed from it.
type page struct {
	Study
	summaries []Summary
	sweeps    []sweep
	heads     []int // see Study.heads
	digits    int   // after the point, of a loss
}

func newPage(s Study) page {
	p := page{Study: s.tidy()}
	p.summaries, p.sweeps = Summarise(p.Study), p.Study.sweeps()
	p.heads = p.Study.heads(p.sweeps)
	var halves []float64
	for _, s := range p.summaries {
		if s.Gain.Half() > 0 {
			halves = append(halves, s.Gain.Half())
		}
	}
	p.digits = 4
	if len(halves) > 0 {
		slices.Sort(halves)
		p.digits = max(3, report.Digits(halves[len(halves)/2]))
	}
	return p
}

// tidy sorts the runs by seed, the first of each, and gives an arm whose label another one has its name in its place.
func (s Study) tidy() Study {
	if s.Baseline >= len(s.Arms) {
		s.Baseline = -1
	}
	labels := map[string]bool{}
	if s.Baseline >= 0 {
		labels[s.Arms[s.Baseline].Label] = true
	}
	s.Arms = slices.Clone(s.Arms)
	for i := range s.Arms {
		a := &s.Arms[i]
		if a.Label == "" || labels[a.Label] && i != s.Baseline {
			a.Label = a.Name
		}
		labels[a.Label] = true
		a.Runs = slices.Clone(a.Runs)
		slices.SortStableFunc(a.Runs, func(x, y Run) int { return cmp.Compare(x.Seed, y.Seed) })
		a.Runs = slices.CompactFunc(a.Runs, func(x, y Run) bool { return x.Seed == y.Seed })
	}
	return s
}

// main are the arms that stand for themselves, not for a value of a sweep.
func (p page) main() (list []int) {
	for i, head := range p.heads {
		if i == head {
			list = append(list, i)
		}
	}
	return list
}

// methods are the main arms that are a method as the job file has it, without the controls; all main arms where there are none.
func (p page) methods() (list []int) {
	for _, i := range p.main() {
		if p.Arms[i].Name == p.method(p.Arms[i]) {
			list = append(list, i)
		}
	}
	if len(list) < 2 { // BASELINE alone
		return p.main()
	}
	return list
}

// others are all arms but BASELINE.
func (p page) others() (list []int) {
	for i := range p.Arms {
		if i != p.Baseline {
			list = append(list, i)
		}
	}
	return list
}

// seeds are all that any arm was run with.
func (s Study) seeds() []int64 {
	var list []int64
	for _, a := range s.Arms {
		for _, r := range a.Runs {
			list = append(list, r.Seed)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (p page) sections() []report.Section {
	list := []report.Section{{Title: "Results", Tables: p.resultTables(), Charts: p.gainChart()}}
	if t := p.matchedTable(); len(t.Rows) > 0 {
		list = append(list, report.Section{Title: "Before the end", Tables: []report.Table{t}})
	}
	list = append(list, report.Section{Title: "Curves", Charts: p.curves()})
	if len(p.main()) > 2 {
		list = append(list, report.Section{Title: "Against each other", Tables: p.pairTables()})
	}
	if c := p.sliceChart(); len(c.Rows) > 0 {
		list = append(list, report.Section{Title: "Easy, medium and hard text", Charts: []report.Chart{c}})
	}
	if c := p.sweepCharts(); len(c) > 0 {
		list = append(list, report.Section{Title: "One setting at a time", Charts: c, Text: []string{
			"Bars, and BASELINE's area, are 95% intervals of the means over seeds. They are not paired; the paired gains are among the results. " +
				"Whichever value ends lowest was found by looking at these very results: on new seeds its gain is likely to be less."}})
	}
	return append(list,
		report.Section{Title: "Every seed", Tables: []report.Table{p.seedTable()}},
		report.Section{Title: "What each arm is for", Text: p.notes()},
		report.Section{Title: "How it was measured", Text: p.howMeasured()})
}
