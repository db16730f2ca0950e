package report

import (
	"encoding/json"
	"time"
)

// The forms of a report in report.json. JSON has no NaN, so a number that was not measured is left out or null.
type (
	reportJSON struct {
		Title     string        `json:"title"`
		When      time.Time     `json:"when"`
		Device    string        `json:"device"`
		Driver    string        `json:"driver"`
		Findings  []string      `json:"findings"`
		Cautions  []string      `json:"cautions,omitempty"`
		Results   []resultJSON  `json:"results,omitempty"`
		Charts    []chartJSON   `json:"charts,omitempty"`
		Sections  []sectionJSON `json:"sections,omitempty"`
		Config    []Row         `json:"config"`
		Reproduce string        `json:"reproduce"`
		Data      any           `json:"data,omitempty"`
	}
	sectionJSON struct {
		Title  string      `json:"title"`
		Text   []string    `json:"text,omitempty"`
		Tables []tableJSON `json:"tables,omitempty"`
		Charts []chartJSON `json:"charts,omitempty"`
	}
	tableJSON struct {
		Title   string    `json:"title,omitempty"`
		Note    string    `json:"note,omitempty"`
		Columns []string  `json:"columns"`
		Rows    []rowJSON `json:"rows"`
	}
	rowJSON struct {
		Name      string     `json:"name"`
		Reference bool       `json:"reference,omitempty"`
		Cells     []cellJSON `json:"cells"`
	}
	cellJSON struct {
		Text   string   `json:"text"`
		Detail string   `json:"detail,omitempty"`
		Best   bool     `json:"best,omitempty"`
		Value  *float64 `json:"value,omitempty"`
		Low    *float64 `json:"low,omitempty"`
		High   *float64 `json:"high,omitempty"`
	}
	resultJSON struct {
		Name        string   `json:"name"`
		Reference   bool     `json:"reference"`
		Loss        *float64 `json:"loss"`
		Interval    *float64 `json:"loss_interval_95,omitempty"` // half width
		Seeds       int      `json:"seeds,omitempty"`
		Perplexity  *float64 `json:"perplexity"`
		Accuracy    *float64 `json:"accuracy"`
		BitsPerByte *float64 `json:"bits_per_byte"`
		Steps       int      `json:"steps"`
		Tokens      int64    `json:"tokens"`
		FLOPs       *float64 `json:"flops"`
		Seconds     float64  `json:"seconds"`
	}
	chartJSON struct {
		Title  string         `json:"title"`
		Note   string         `json:"note,omitempty"`
		X      string         `json:"x"`
		Y      string         `json:"y"`
		Series []Series       `json:"series,omitempty"`
		Rows   []estimateJSON `json:"rows,omitempty"`
		Levels []estimateJSON `json:"levels,omitempty"`
		Marks  []Mark         `json:"marks,omitempty"`
	}
	estimateJSON struct {
		Name  string     `json:"name"`
		Label string     `json:"label,omitempty"`
		Group string     `json:"group,omitempty"`
		Value *float64   `json:"value"`
		Low   *float64   `json:"low"`
		High  *float64   `json:"high"`
		Each  []*float64 `json:"each,omitempty"`
	}
)

func (r Report) json() reportJSON {
	out := reportJSON{Title: r.Title, When: r.When, Device: r.Device, Driver: r.Driver, Findings: r.Findings, Cautions: r.Cautions,
		Charts: chartsJSON(r.Charts), Config: r.Config, Reproduce: r.Reproduce, Data: r.Data}
	for _, s := range r.Results {
		out.Results = append(out.Results, resultJSON{
			Name: s.Name, Reference: s.Reference, Seeds: s.Seeds, Steps: s.Steps, Tokens: s.Tokens, Seconds: s.WallTime.Seconds(),
			Loss: measured(s.Loss), Interval: measured(s.Interval), Perplexity: measured(s.Perplexity()),
			Accuracy: measured(s.Accuracy), BitsPerByte: measured(s.BitsPerByte), FLOPs: measured(s.FLOPs),
		})
	}
	for _, s := range r.Sections {
		j := sectionJSON{Title: s.Title, Text: s.Text, Charts: chartsJSON(s.Charts)}
		for _, t := range s.Tables {
			j.Tables = append(j.Tables, t.json())
		}
		out.Sections = append(out.Sections, j)
	}
	return out
}

func (t Table) json() tableJSON {
	j := tableJSON{Title: t.Title, Note: t.Note, Columns: t.Columns}
	for _, row := range t.Rows {
		r := rowJSON{Name: row.Name, Reference: row.Reference}
		for _, c := range row.Cells {
			r.Cells = append(r.Cells, cellJSON{c.Text, c.Detail, c.Best, OrNull(c.Value), OrNull(c.Low), OrNull(c.High)})
		}
		j.Rows = append(j.Rows, r)
	}
	return j
}

func chartsJSON(charts []Chart) []chartJSON {
	var list []chartJSON
	for _, c := range charts {
		j := chartJSON{Title: c.Title, Note: c.Note, X: c.X, Y: c.Y, Series: c.Series}
		for _, m := range c.Marks {
			if finite(m.X) {
				j.Marks = append(j.Marks, m)
			}
		}
		for _, l := range c.Levels {
			j.Levels = append(j.Levels, estimateJSON{Name: l.Name, Value: OrNull(l.Y), Low: OrNull(l.Low), High: OrNull(l.High)})
		}
		for _, e := range c.Rows {
			row := estimateJSON{Name: e.Name, Label: e.Label, Group: e.Group, Value: OrNull(e.Value), Low: OrNull(e.Low), High: OrNull(e.High)}
			for _, v := range e.Each {
				row.Each = append(row.Each, OrNull(v))
			}
			j.Rows = append(j.Rows, row)
		}
		list = append(list, j)
	}
	return list
}

// OrNull is a number as JSON has it, which knows no NaN: null where there is none. It keeps a zero, which a difference may be.
func OrNull(v float64) *float64 {
	if !finite(v) {
		return nil
	}
	return &v
}

func measured(v float64) *float64 {
	if v == 0 || !finite(v) {
		return nil
	}
	return &v
}

// MarshalJSON writes [x, y].
func (p Point) MarshalJSON() ([]byte, error) {
	return json.Marshal([]*float64{OrNull(p.X), OrNull(p.Y)})
}

// MarshalJSON writes [x, low, high].
func (b Band) MarshalJSON() ([]byte, error) {
	return json.Marshal([]*float64{OrNull(b.X), OrNull(b.Low), OrNull(b.High)})
}
