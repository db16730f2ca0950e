package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

var resultColumns = []string{"Held-out loss", "Perplexity", "Next-token accuracy", "Bits per byte", "Steps", "Tokens", "FLOPs", "Wall time"}

// resultTable formats the results and finds the best of each column of quality.
func resultTable(results []Result) Table {
	t := Table{Corner: "Run", Columns: resultColumns}
	averaged := false
	for _, r := range results {
		loss := number(r.Loss, "%.4f")
		if r.Interval > 0 && finite(r.Interval) && measured(r.Loss) != nil {
			loss += fmt.Sprintf(" ± %.4f", r.Interval)
		}
		averaged = averaged || r.Interval > 0
		t.Rows = append(t.Rows, TableRow{Name: r.Name, Reference: r.Reference, Cells: []Cell{
			{Text: loss}, {Text: number(r.Perplexity(), "%.2f")}, {Text: number(100*r.Accuracy, "%.2f %%")},
			{Text: number(r.BitsPerByte, "%.4f")}, {Text: whole(int64(r.Steps), func(n int64) string { return grouped(float64(n), 0) })},
			{Text: whole(r.Tokens, count)}, {Text: number(r.FLOPs, "")}, {Text: whole(int64(r.WallTime), func(n int64) string { return duration(time.Duration(n)) })},
		}})
	}
	t.Note = "Loss in nats per token. FLOPs include the teacher's."
	if markBest(results, t.Rows) {
		t.Note += " Bold: the best of its column; grey rows are not part of the comparison."
	}
	if averaged {
		t.Note += " ±: 95% interval over seeds."
	}
	t.Note += " –: not measured."
	return t
}

// markBest sets the best of each column of quality in bold, if there are several to choose from.
func markBest(results []Result, rows []TableRow) (any bool) {
	for column, value := range []func(Result) float64{ // less is better
		func(r Result) float64 { return r.Loss },
		Result.Perplexity,
		func(r Result) float64 { return -r.Accuracy },
		func(r Result) float64 { return r.BitsPerByte },
	} {
		var compared []int
		best := math.Inf(1)
		for i, r := range results {
			if v := value(r); !r.Reference && measured(v) != nil {
				compared = append(compared, i)
				best = min(best, v)
			}
		}
		for _, i := range compared {
			if len(compared) > 1 && value(results[i]) == best {
				rows[i].Cells[column].Best, any = true, true
			}
		}
	}
	return any
}

const unmeasured = "–"

// number formats what was measured; an empty format means powers of ten.
func number(v float64, format string) string {
	switch {
	case measured(v) == nil:
		return unmeasured
	case format == "" || math.Abs(v) >= 1e5:
		return short(v)
	}
	return fmt.Sprintf(format, v)
}

func whole(n int64, format func(int64) string) string {
	if n == 0 {
		return unmeasured
	}
	return format(n)
}

// numbers is the table under a chart. Few enough rows to be read; report.json has all.
type numbers struct {
	Head []string
	Rows [][]string
	All  int // points that there are, where not all are shown
}

const tableRows = 24

// makeNumbers puts lines that share their X side by side, and others one below the other.
func makeNumbers(c Chart) numbers {
	if len(c.Rows) > 0 {
		return estimateNumbers(c)
	}
	var xs []float64
	longest, total := 0, 0
	values := make([]map[float64]string, len(c.Series))
	for i, s := range c.Series {
		values[i] = seriesText(s)
		for x := range values[i] {
			xs = append(xs, x)
		}
		longest = max(longest, len(values[i]))
		total += len(values[i])
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	if len(xs) <= longest*5/4 {
		t := numbers{Head: []string{c.X}}
		for _, s := range c.Series {
			t.Head = append(t.Head, s.Name)
		}
		for _, i := range thin(len(xs), tableRows) {
			row := []string{short(xs[i])}
			for _, v := range values {
				row = append(row, cmp.Or(v[xs[i]], unmeasured))
			}
			t.Rows = append(t.Rows, row)
		}
		if len(xs) > tableRows {
			t.All = total
		}
		return t
	}
	t := numbers{Head: []string{"Line", c.X, c.Y}}
	for i, s := range c.Series {
		own := slices.Sorted(maps.Keys(values[i]))
		for _, j := range thin(len(own), tableRows/2) {
			t.Rows = append(t.Rows, []string{s.Name, short(own[j]), values[i][own[j]]})
		}
	}
	if len(t.Rows) < total {
		t.All = total
	}
	return t
}

// seriesText writes a line's values by their X, with their intervals where it has a band.
func seriesText(s Series) map[float64]string {
	band := map[float64]Band{}
	for _, b := range s.Band {
		band[b.X] = b
	}
	text := map[float64]string{}
	for _, p := range s.Points {
		if !p.finite() {
			continue
		}
		text[p.X] = short(p.Y)
		if b, ok := band[p.X]; ok && b.finite() {
			text[p.X] += fmt.Sprintf(" [%s, %s]", short(b.Low), short(b.High))
		}
	}
	return text
}

func estimateNumbers(c Chart) numbers {
	t := numbers{Head: []string{"", c.X, "from", "to", "single values"}}
	for _, e := range c.Rows {
		var each []string
		for _, v := range e.Each {
			each = append(each, short(v))
		}
		label := e.Label
		if e.Group != "" {
			label = e.Group + ", " + label
		}
		t.Rows = append(t.Rows, []string{label, short(e.Value), short(e.Low), short(e.High), cmp.Or(strings.Join(each, "; "), unmeasured)})
	}
	return t
}
