package compare

import "strings"

// Column heads a column of the table for the terminal: jobs.Column, which this package cannot see, field by field.
type Column struct{ Key, Title, Unit, Format string }

// Table gives a study's rows as a command shows them: for the terminal and, by the keys, for programs. nil: not measured.
func Table(s Study) (columns []Column, rows [][]any) {
	columns = []Column{
		{"arm", "arm", "", ""},
		{"seeds", "seeds", "", ""},
		{"loss", "loss", "nats/token", "%.4f"},
		{"accuracy_percent", "accuracy", "%", "%.1f"},
		{"bits_per_byte", "bits/byte", "", "%.3f"},
		{"gain", "gain", "nats/token", "%+.4f"},
		{"gain_low_95", "from", "", "%+.4f"},
		{"gain_high_95", "to", "", "%+.4f"},
		{"verdict", "against BASELINE", "", ""},
		{"seeds_to_baseline", "get there", "seeds", ""},
		{"steps_to_baseline_percent", "steps", "% to there", "%.0f"},
		{"flops_to_baseline_percent", "FLOPs", "% to there", "%.0f"},
		{"seconds_to_baseline_percent", "time", "% to there", "%.0f"},
		{"flops_percent", "FLOPs", "% in all", "%.0f"},
		{"seconds_percent", "time", "% in all", "%.0f"},
	}
	s = s.tidy()
	if s.Teacher != nil {
		rows = append(rows, tableRow(summarise(Arm{}, *s.Teacher), true))
	}
	for i, sum := range Summarise(s) {
		rows = append(rows, tableRow(sum, i == s.Baseline))
	}
	return columns, rows
}

func tableRow(s Summary, alone bool) []any {
	value := func(v float64) any {
		if !finite(v) {
			return nil
		}
		return v
	}
	row := []any{s.Arm.Label, s.Loss.N, value(s.Loss.Mean), value(100 * s.Accuracy.Mean), value(s.BitsPerByte.Mean)}
	if alone || s.Paired == 0 {
		row = append(row, nil, nil, nil, nil)
	} else {
		verdict, _, _ := strings.Cut(s.Gain.Verdict(), " at ") // that many seeds
		row = append(row, value(s.Gain.Mean), value(s.Gain.Low), value(s.Gain.High), verdict)
	}
	if s.Paired == 0 {
		return append(row, nil, nil, nil, nil, nil, nil)
	}
	return append(row, s.Reach[0].Reached, value(100*s.Reach[0].Share.Mean), value(100*s.Reach[1].Share.Mean), value(100*s.Reach[2].Share.Mean),
		value(100*s.Cost[1].Mean), value(100*s.Cost[2].Mean))
}
