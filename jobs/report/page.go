package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

// colours is how many the style has. Lines beyond them take the colours again, dashed.
const colours = 6

// WriteHTML writes report.html.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Parse(pageText)
	if err != nil {
		return fmt.Errorf("bug: the report's template: %w", err)
	}
	return page.Execute(w, r.page())
}

// The page as the template shows it: text only, nothing left to decide.
type (
	page struct {
		Report
		Date     string
		ISO      string
		Columns  []string
		Rows     []resultRow
		HasBest  bool
		Averaged bool
		Pictures []figure
	}
	resultRow struct {
		Style     string // empty for a run that is in no chart
		Reference bool
		Name      string
		Cells     []cell
	}
	cell struct {
		Text string
		Best bool
	}
	figure struct {
		Chart
		Cut    bool
		Sizes  []picture // one for wide screens, one for phones; none without points
		Legend []legend
		Table  table
	}
	legend struct{ Style, Name string }
)

func (r Report) page() page {
	style := styles(r)
	p := page{Report: r, Columns: columns}
	if !r.When.IsZero() {
		p.Date, p.ISO = r.When.Format("2 January 2006, 15:04 MST"), r.When.Format(time.RFC3339)
	}
	charted := map[string]bool{}
	for _, c := range r.Charts {
		for _, s := range c.Series {
			charted[s.Name] = true
		}
	}
	p.Rows, p.HasBest = resultRows(r.Results)
	for i, s := range r.Results {
		if charted[s.Name] {
			p.Rows[i].Style = style[s.Name]
		}
		p.Averaged = p.Averaged || s.Interval > 0
	}
	for i, c := range r.Charts {
		f := figure{Chart: c, Table: makeTable(c)}
		s := wide
		if c.Half {
			s = half
		}
		for _, s := range []size{s, phone} {
			if picture, cut, ok := draw(c, style, fmt.Sprintf("chart%d-%s", i+1, s.class), s); ok {
				f.Cut = f.Cut || cut
				f.Sizes = append(f.Sizes, picture)
			}
		}
		if len(f.Sizes) > 0 {
			for _, l := range f.Sizes[0].Lines {
				f.Legend = append(f.Legend, legend{l.Style, l.Name})
			}
		}
		p.Pictures = append(p.Pictures, f)
	}
	return p
}

// styles gives every name its colour class: first those in the results, in their order, then those that only charts have.
func styles(r Report) map[string]string {
	style := map[string]string{}
	add := func(name string) {
		if _, ok := style[name]; ok {
			return
		}
		n := len(style)
		style[name] = fmt.Sprintf("c%d", n%colours+1)
		if n >= colours {
			style[name] += " again"
		}
	}
	charted := map[string]bool{}
	for _, c := range r.Charts {
		for _, s := range c.Series {
			charted[s.Name] = true
		}
	}
	for _, s := range r.Results {
		if charted[s.Name] {
			add(s.Name)
		}
	}
	for _, c := range r.Charts {
		for _, s := range c.Series {
			add(s.Name)
		}
	}
	return style
}

var columns = []string{"Held-out loss", "Perplexity", "Next-token accuracy", "Bits per byte", "Steps", "Tokens", "FLOPs", "Wall time"}

// resultRows formats the results and finds the best of each column of quality.
func resultRows(results []Result) (out []resultRow, hasBest bool) {
	quality := []func(Result) float64{ // less is better
		func(r Result) float64 { return r.Loss },
		Result.Perplexity,
		func(r Result) float64 { return -r.Accuracy },
		func(r Result) float64 { return r.BitsPerByte },
	}
	for _, r := range results {
		loss := number(r.Loss, "%.4f")
		if r.Interval > 0 && finite(r.Interval) && measured(r.Loss) != nil {
			loss += fmt.Sprintf(" ± %.4f", r.Interval)
		}
		out = append(out, resultRow{Name: r.Name, Reference: r.Reference, Cells: []cell{
			{Text: loss}, {Text: number(r.Perplexity(), "%.2f")}, {Text: number(100*r.Accuracy, "%.2f %%")},
			{Text: number(r.BitsPerByte, "%.4f")}, {Text: whole(int64(r.Steps), func(n int64) string { return grouped(float64(n), 0) })},
			{Text: whole(r.Tokens, count)}, {Text: number(r.FLOPs, "")}, {Text: whole(int64(r.WallTime), func(n int64) string { return duration(time.Duration(n)) })},
		}})
	}
	for column, value := range quality {
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
				out[i].Cells[column].Best, hasBest = true, true
			}
		}
	}
	return out, hasBest
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

// table is a chart's numbers. Few enough to be read; report.json has all.
type table struct {
	Head []string
	Rows [][]string
	All  int // points that there are, where not all are shown
}

const tableRows = 24

// makeTable puts lines that share their X side by side, and others one below the other.
func makeTable(c Chart) table {
	var xs []float64
	longest, total := 0, 0
	values := make([]map[float64]float64, len(c.Series))
	for i, s := range c.Series {
		values[i] = map[float64]float64{}
		for _, p := range s.Points {
			if p.finite() {
				xs = append(xs, p.X)
				values[i][p.X] = p.Y
			}
		}
		longest = max(longest, len(values[i]))
		total += len(values[i])
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	if len(xs) <= longest*5/4 {
		t := table{Head: []string{c.X}}
		for _, s := range c.Series {
			t.Head = append(t.Head, s.Name)
		}
		for _, i := range thin(len(xs), tableRows) {
			row := []string{short(xs[i])}
			for _, v := range values {
				y, ok := v[xs[i]]
				if !ok {
					y = math.NaN()
				}
				row = append(row, short(y))
			}
			t.Rows = append(t.Rows, row)
		}
		if len(xs) > tableRows {
			t.All = total
		}
		return t
	}
	t := table{Head: []string{"Line", c.X, c.Y}}
	for i, s := range c.Series {
		own := make([]float64, 0, len(values[i]))
		for x := range values[i] {
			own = append(own, x)
		}
		slices.Sort(own)
		for _, j := range thin(len(own), tableRows/2) {
			t.Rows = append(t.Rows, []string{s.Name, short(own[j]), short(values[i][own[j]])})
		}
	}
	if len(t.Rows) < total {
		t.All = total
	}
	return t
}
