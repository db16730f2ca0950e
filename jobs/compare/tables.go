package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"saltern/jobs/report"
)

// resultTables are the arms at their ends, and what it took each to be where BASELINE ends.
func (p page) resultTables() []report.Table {
	quality := report.Table{Title: "At the end", Corner: "Arm", Columns: []string{"Loss", "Gain over BASELINE", "Verdict", "Perplexity",
		"Accuracy", "Bits per byte", "Easy third", "Medium", "Hard", "Seeds"}}
	cost := report.Table{Title: "What it takes to be where BASELINE ends", Corner: "Arm", Columns: []string{"Steps", "FLOPs", "FLOPs, teacher's training too", "Wall clock",
		"Seeds that get there", "Whole run: steps", "FLOPs", "wall clock"}}
	if p.Teacher != nil {
		quality.Rows = append(quality.Rows, p.qualityRow(summarise(Arm{}, *p.Teacher)))
		quality.Rows[0].Reference = true
		quality.Rows[0].Detail = "the teacher"
	}
	first := len(quality.Rows)
	for i, s := range p.summaries {
		quality.Rows = append(quality.Rows, p.qualityRow(s))
		if i == p.Baseline {
			row := quality.Rows[len(quality.Rows)-1].Cells
			row[1], row[2] = text(unmeasured), text(unmeasured)
		}
		cost.Rows = append(cost.Rows, p.costRow(i))
	}
	quality.Note = "Loss in nats per token on held-out text, also of the thirds that are easy, medium and hard for the SLM; perplexity is e to it." +
		p.ifSeveral(" Means over seeds; ±: 95% t-interval of the mean over seeds; [ ]: 95% t-interval of the differences to BASELINE paired by seed, by which alone arms should be compared.") +
		" –: not measured."
	if p.markBest(quality.Rows[first:]) {
		quality.Note += " Bold: the best of its column, where the paired interval sets it apart from BASELINE (BASELINE itself: from the second best)."
	}
	cost.Note = "Shares of what BASELINE's whole run took with the same seed. An arm is there when its held-out loss first passes under BASELINE's last, " +
		"between evaluations by a straight line. FLOPs include the teacher's forward passes and those of scoring; " +
		"the teacher's own training is counted in one column alone, in full, though a teacher may be at hand already or serve many students. Where not every seed gets there, no mean is given."
	tables := []report.Table{quality}
	if p.Baseline >= 0 {
		tables = append(tables, cost)
	}
	return tables
}

func (p page) qualityRow(s Summary) report.TableRow {
	row := report.TableRow{Name: s.Arm.Label, Detail: p.settingsText(s.Arm)}
	perplexity := number(Interval{math.Exp(s.Loss.Mean), math.NaN(), math.NaN(), s.Loss.N}, func(v float64) string { return decimal(v, 2) })
	verdict := text(unmeasured)
	if s.Paired > 0 {
		verdict = text(s.Gain.Verdict())
		if words, at, ok := strings.Cut(verdict.Text, " shown "); ok {
			verdict.Text, verdict.Detail = words, "shown "+at
		} else if s.Gain.N == 1 {
			verdict.Text, verdict.Detail = "no verdict", "one seed"
		}
	}
	bits := plusMinus(s.BitsPerByte, p.digits)
	bits.Detail = "" // follows the loss
	row.Cells = []report.Cell{
		plusMinus(s.Loss, p.digits), p.gainCell(s.Gain), verdict, perplexity, number(s.Accuracy, func(v float64) string { return percents(v, 1) }), bits,
	}
	for _, slice := range s.Slices {
		row.Cells = append(row.Cells, number(slice, func(v float64) string { return decimal(v, p.digits) }))
	}
	row.Cells = append(row.Cells, report.Cell{Text: fmt.Sprint(s.Loss.N), Value: float64(s.Loss.N), Low: math.NaN(), High: math.NaN()})
	return row
}

func (p page) costRow(i int) report.TableRow {
	s := p.summaries[i]
	row := report.TableRow{Name: s.Arm.Label, Cells: []report.Cell{interval(s.Reach[0].Share, percent), interval(s.Reach[1].Share, percent),
		interval(p.reachInAll(i), percent), interval(s.Reach[2].Share, percent)}}
	reached := text(unmeasured)
	if s.Paired > 0 {
		reached.Text = fmt.Sprintf("%d of %d", s.Reach[0].Reached, s.Paired)
		reached.Value = float64(s.Reach[0].Reached)
		if n := s.Reach[0].Reached; n > 0 && n < s.Paired {
			reached.Detail = "at " + s.Reach[0].those()
		}
	}
	row.Cells = append(row.Cells, reached)
	for _, c := range s.Cost {
		row.Cells = append(row.Cells, number(c, percent))
	}
	return row
}

// those are the shares of the seeds that get there.
func (r Reach) those() string {
	var words []string
	for _, v := range r.Each {
		if finite(v) {
			words = append(words, percent(v))
		}
	}
	return and(words)
}

// matchedTable is every main arm when BASELINE had done Matched of its steps.
func (p page) matchedTable() report.Table {
	t := report.Table{Title: fmt.Sprintf("At %s of BASELINE's steps", percent(Matched)), Corner: "Arm", Columns: []string{"Held-out loss",
		"Gain over BASELINE at the same step", "Gain over BASELINE at its end", "FLOPs until then", "Wall clock until then"}}
	for _, i := range p.main() {
		s := p.summaries[i]
		if !finite(s.EarlyLoss.Mean) {
			continue
		}
		same := p.gainCell(s.EarlyGain)
		if i == p.Baseline {
			same = text(unmeasured)
		}
		t.Rows = append(t.Rows, report.TableRow{Name: s.Arm.Label, Cells: []report.Cell{
			plusMinus(s.EarlyLoss, p.digits), same, p.gainCell(s.EarlyLead), number(s.EarlyCost[1], percent), number(s.EarlyCost[2], percent),
		}})
	}
	t.Note = "Interpolated between evaluations. The last two columns are shares of BASELINE's whole run. The learning rate is still on its way down at that " +
		"step for arms that go on after it, but has come to its end for an arm that was given so few steps."
	return t
}

// seedTable is every single final loss with its gain.
func (p page) seedTable() report.Table {
	t := report.Table{Title: "Final held-out loss", Corner: "Arm", Note: "Below each loss the gain over BASELINE with the same seed. report.json has every evaluation of every run."}
	seeds := p.seeds()
	for _, seed := range seeds {
		t.Columns = append(t.Columns, fmt.Sprintf("seed %d", seed))
	}
	base := p.baseline()
	for i, a := range p.Arms {
		row := report.TableRow{Name: a.Label}
		for _, seed := range seeds {
			one := Arm{Runs: slices.DeleteFunc(slices.Clone(a.Runs), func(r Run) bool { return r.Seed != seed })}
			cell := number(over(one.each(runLoss)), func(v float64) string { return decimal(v, p.digits) })
			if gain := over(differences(pairs(base, one), runLoss)); i != p.Baseline && finite(gain.Mean) {
				cell.Detail = signed(gain.Mean, p.digits)
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// pairTables are every main arm's gain over every other, as many columns a table as a page holds.
func (p page) pairTables() (tables []report.Table) {
	main := p.main()
	for columns := range slices.Chunk(main, 6) {
		t := report.Table{Title: "Gain of the row over the column", Corner: "Arm"}
		if len(tables) > 0 {
			t.Title += ", continued"
		}
		for _, j := range columns {
			t.Columns = append(t.Columns, p.Arms[j].Label)
		}
		for _, i := range main {
			row := report.TableRow{Name: p.Arms[i].Label}
			for _, j := range columns {
				row.Cells = append(row.Cells, p.pairCell(i, j))
			}
			t.Rows = append(t.Rows, row)
		}
		tables = append(tables, t)
	}
	tables[len(tables)-1].Note = "Paired by seed, in nats per token. In brackets: not told apart from zero. So many comparisons are not corrected for their number."
	return tables
}

// pairCell is arm i's gain over arm j.
func (p page) pairCell(i, j int) report.Cell {
	if i == j {
		return text("")
	}
	gain := over(differences(pairs(p.Arms[j], p.Arms[i]), runLoss))
	cell := p.gainCell(gain)
	if gain.Known() && gain.sign() == 0 {
		cell.Text = "(" + cell.Text + ")"
	}
	return cell
}

// markBest sets the best of each column of quality in bold where it is set apart: from BASELINE, or if it is BASELINE itself,
// from the second best, by the interval of the paired differences.
func (p page) markBest(rows []report.TableRow) (any bool) {
	columns := []int{0, 4, 5, 6, 7, 8} // of metrics
	for m, metric := range metrics {
		var order []int
		for i := range p.summaries {
			if finite(metric.of(&p.summaries[i]).Mean) {
				order = append(order, i)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			c := cmp.Compare(metric.of(&p.summaries[a]).Mean, metric.of(&p.summaries[b]).Mean)
			if metric.more {
				return -c
			}
			return c
		})
		if len(order) < 2 || p.Baseline < 0 {
			continue
		}
		best, rival := order[0], p.Baseline
		if best == rival {
			rival = order[1]
		}
		apart := over(differences(pairs(p.Arms[best], p.Arms[rival]), metric.value)).sign()
		if apart != 0 && (apart > 0) == metric.more {
			rows[best].Cells[columns[m]].Best, any = true, true
			if m == 0 {
				rows[best].Cells[3].Best = true // perplexity
			}
		}
	}
	return any
}

func text(s string) report.Cell {
	return report.Cell{Text: s, Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
}

// number is a mean alone.
func number(i Interval, form func(float64) string) report.Cell {
	return report.Cell{Text: form(i.Mean), Value: i.Mean, Low: i.Low, High: i.High}
}

// interval is a mean with its bounds.
func interval(i Interval, form func(float64) string) report.Cell {
	c := number(i, form)
	c.Detail = i.bounds(form)
	return c
}

func (p page) gainCell(i Interval) report.Cell {
	c := interval(i, func(v float64) string { return decimal(v, p.digits) })
	c.Text = signed(i.Mean, p.digits)
	return c
}

func plusMinus(i Interval, digits int) report.Cell {
	c := number(i, func(v float64) string { return decimal(v, digits) })
	if i.Known() {
		c.Detail = "± " + decimal(i.Half(), digits)
	}
	return c
}

// settingsText is what an arm sets otherwise than the job file, but for a method that it is named after.
func (s Study) settingsText(a Arm) string {
	first, _, _ := strings.Cut(a.Name, " ")
	var words []string
	for _, set := range a.Settings {
		if set.Value != s.value(Arm{}, set.Key) && (set.Key != methodKey || set.Value != first) {
			words = append(words, set.Key+"="+set.Value)
		}
	}
	return strings.Join(words, ", ")
}
