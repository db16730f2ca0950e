package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
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
		Date, ISO string
		Parts     []part
	}
	part struct {
		ID, Title string
		Text      []string
		Tables    []styledTable
		Figures   []figure
	}
	styledTable struct {
		Table
		ID     string   // of the title that names it
		Styles []string // by row; empty for one that is in no chart
	}
	figure struct {
		Chart
		Cut, Beyond bool
		Sizes       []picture // one for wide screens, one for phones; none without points
		Legend      []legend
		Numbers     numbers
	}
	legend struct{ Style, Name string }
)

func (r Report) page() page {
	p := page{Report: r}
	if !r.When.IsZero() {
		p.Date, p.ISO = r.When.Format("2 January 2006, 15:04 MST"), r.When.Format(time.RFC3339)
	}
	var sections []Section
	if len(r.Results) > 0 {
		sections = append(sections, Section{Title: "Results", Tables: []Table{resultTable(r.Results)}})
	}
	if len(r.Charts) > 0 {
		sections = append(sections, Section{Title: "Curves", Charts: r.Charts})
	}
	style, drawn := r.styles()
	charts := 0
	for i, s := range append(sections, r.Sections...) {
		part := part{ID: fmt.Sprintf("part%d", i+1), Title: s.Title, Text: s.Text}
		for j, t := range s.Tables {
			styled := styledTable{Table: t, ID: part.ID}
			if t.Title != "" {
				styled.ID = fmt.Sprintf("%s-table%d", part.ID, j+1)
			}
			for _, row := range t.Rows {
				class := ""
				if drawn[row.Name] {
					class = style[row.Name]
				}
				styled.Styles = append(styled.Styles, class)
			}
			part.Tables = append(part.Tables, styled)
		}
		for _, c := range s.Charts {
			charts++
			part.Figures = append(part.Figures, makeFigure(c, style, fmt.Sprintf("chart%d", charts)))
		}
		p.Parts = append(p.Parts, part)
	}
	return p
}

func makeFigure(c Chart, style map[string]string, id string) figure {
	f := figure{Chart: c, Numbers: makeNumbers(c)}
	s := wide
	if c.Half {
		s = half
	}
	for _, s := range []size{s, phone} {
		if picture, ok := draw(c, style, id+"-"+s.class, s); ok {
			f.Cut, f.Beyond = f.Cut || picture.cut, f.Beyond || picture.beyond
			f.Sizes = append(f.Sizes, picture)
		}
	}
	if len(f.Sizes) > 0 {
		for _, l := range f.Sizes[0].Lines {
			f.Legend = append(f.Legend, legend{l.Style, l.Name})
		}
	}
	return f
}

func (r Report) allCharts() []Chart {
	all := slices.Clone(r.Charts)
	for _, s := range r.Sections {
		all = append(all, s.Charts...)
	}
	return all
}

// styles gives every name its colour class: first those of the tables that lines have, in their order, then the lines' others,
// then those that only estimates and levels have. Lines of one chart share a colour only where there are more lines than
// colours. drawn says which names any chart has.
func (r Report) styles() (style map[string]string, drawn map[string]bool) {
	style, drawn = map[string]string{}, map[string]bool{}
	var lines, others []string
	beside := map[string][]string{} // the lines of the same charts
	for _, c := range r.allCharts() {
		var names []string
		for _, s := range c.Series {
			names = append(names, s.Name)
		}
		for _, l := range c.Levels {
			names = append(names, l.Name)
		}
		for _, name := range names {
			drawn[name] = true
			beside[name] = append(beside[name], names...)
		}
		lines = append(lines, names...)
		for _, e := range c.Rows {
			others = append(others, e.Name)
		}
	}
	add := func(name string) {
		if style[name] == "" {
			style[name] = freeColour(style, beside[name])
		}
	}
	tables := []string{}
	for _, s := range r.Results {
		tables = append(tables, s.Name)
	}
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			for _, row := range t.Rows {
				tables = append(tables, row.Name)
			}
		}
	}
	for _, name := range tables {
		if drawn[name] {
			add(name)
		}
	}
	for _, name := range append(lines, others...) {
		add(name)
		drawn[name] = true
	}
	return style, drawn
}

// freeColour is the colour that the fewest names have, of those that no name beside this one has where that leaves any.
func freeColour(style map[string]string, beside []string) string {
	var used [colours]int
	for _, class := range style {
		used[class[1]-'1']++
	}
	taken := used
	for _, name := range slices.Compact(slices.Sorted(slices.Values(beside))) {
		if class := style[name]; class != "" {
			taken[class[1]-'1'] += len(style) // more than any colour is used
		}
	}
	best := 0
	for i := range taken {
		if taken[i] < taken[best] {
			best = i
		}
	}
	class := fmt.Sprintf("c%d", best+1)
	if used[best] > 0 {
		class += " again"
	}
	return class
}
