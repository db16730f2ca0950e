package report

import (
	"encoding/json"
	"time"
)

// The forms of a report in report.json. JSON has no NaN, so a number that was not measured is left out or null.
type (
	reportJSON struct {
		Title     string       `json:"title"`
		When      time.Time    `json:"when"`
		Device    string       `json:"device"`
		Driver    string       `json:"driver"`
		Findings  []string     `json:"findings"`
		Results   []resultJSON `json:"results"`
		Charts    []chartJSON  `json:"charts"`
		Config    []Row        `json:"config"`
		Reproduce string       `json:"reproduce"`
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
		Title  string   `json:"title"`
		Note   string   `json:"note,omitempty"`
		X      string   `json:"x"`
		Y      string   `json:"y"`
		Series []Series `json:"series"`
		Marks  []Mark   `json:"marks,omitempty"`
	}
)

func (r Report) json() reportJSON {
	out := reportJSON{r.Title, r.When, r.Device, r.Driver, r.Findings, nil, nil, r.Config, r.Reproduce}
	for _, s := range r.Results {
		out.Results = append(out.Results, resultJSON{
			Name: s.Name, Reference: s.Reference, Seeds: s.Seeds, Steps: s.Steps, Tokens: s.Tokens, Seconds: s.WallTime.Seconds(),
			Loss: measured(s.Loss), Interval: measured(s.Interval), Perplexity: measured(s.Perplexity()),
			Accuracy: measured(s.Accuracy), BitsPerByte: measured(s.BitsPerByte), FLOPs: measured(s.FLOPs),
		})
	}
	for _, c := range r.Charts {
		j := chartJSON{Title: c.Title, Note: c.Note, X: c.X, Y: c.Y, Series: c.Series}
		for _, m := range c.Marks {
			if finite(m.X) {
				j.Marks = append(j.Marks, m)
			}
		}
		out.Charts = append(out.Charts, j)
	}
	return out
}

func measured(v float64) *float64 {
	if v == 0 || !finite(v) {
		return nil
	}
	return &v
}

// MarshalJSON writes [x, y].
func (p Point) MarshalJSON() ([]byte, error) {
	var pair [2]*float64
	for i, v := range []float64{p.X, p.Y} {
		if finite(v) {
			pair[i] = &v
		}
	}
	return json.Marshal(pair)
}
