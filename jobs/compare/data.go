package compare

import "saltern/jobs/report"

// The study's own numbers as report.json has them. JSON has no NaN, so what is not known is null.
type (
	armJSON struct {
		Name     string            `json:"name"`
		Label    string            `json:"label"`
		Note     string            `json:"note,omitempty"`
		Settings map[string]string `json:"settings,omitempty"`
		Verdict  string            `json:"verdict,omitempty"`
		Runs     []runJSON         `json:"runs"`
	}
	runJSON struct {
		Seed        int64         `json:"seed"`
		Loss        *float64      `json:"loss"`
		Accuracy    *float64      `json:"accuracy"`
		BitsPerByte *float64      `json:"bits_per_byte"`
		Slices      [3]*float64   `json:"loss_easy_medium_hard"`
		Steps       int64         `json:"steps"`
		Tokens      int64         `json:"tokens"`
		FLOPs       *float64      `json:"flops"`
		Seconds     *float64      `json:"seconds"`
		Params      int64         `json:"params"`
		Columns     []string      `json:"evaluation_columns"`
		Evaluations [][5]*float64 `json:"evaluations"`
	}
)

func (p page) data() any {
	var list []armJSON
	if p.Teacher != nil {
		list = append(list, dataOf(*p.Teacher))
	}
	for i, a := range p.Arms {
		j := dataOf(a)
		if i != p.Baseline && p.summaries[i].Paired > 0 {
			j.Verdict = p.summaries[i].Gain.Verdict()
		}
		list = append(list, j)
	}
	return map[string]any{"job": p.Job, "baseline": p.baseline().Name, "arms": list}
}

func dataOf(a Arm) armJSON {
	j := armJSON{Name: a.Name, Label: a.Label, Note: a.Note, Settings: map[string]string{}}
	for _, s := range a.Settings {
		j.Settings[s.Key] = s.Value
	}
	for _, r := range a.Runs {
		run := runJSON{Seed: r.Seed, Loss: report.OrNull(r.Loss), Accuracy: report.OrNull(r.Accuracy), BitsPerByte: report.OrNull(r.BitsPerByte), Steps: r.Steps, Tokens: r.Tokens,
			FLOPs: report.OrNull(r.FLOPs), Seconds: report.OrNull(r.Seconds), Params: r.Params, Columns: []string{"step", "tokens", "flops", "seconds", "loss"}}
		for i, v := range r.Slices {
			run.Slices[i] = report.OrNull(v)
		}
		for _, p := range r.Points {
			run.Evaluations = append(run.Evaluations, [5]*float64{report.OrNull(float64(p.Step)), report.OrNull(float64(p.Tokens)), report.OrNull(p.FLOPs), report.OrNull(p.Seconds), report.OrNull(p.Loss)})
		}
		j.Runs = append(j.Runs, run)
	}
	return j
}
