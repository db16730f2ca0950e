package jobs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"saltern/compute"
)

// quantity is a line of the plan.
type quantity struct {
	key, title string
	value      func(p plan) any
	text       func(v any) string
}

// quantities lists the lines. Values of nil are left out where no training has one.
func quantities() []quantity {
	bytes := func(v any) string { return compute.Bytes(v.(int64)) }
	flops := func(v any) string { return siPrefix(v.(float64)) + "FLOP" }
	count := func(v any) string { return fmt.Sprint(v) }
	ifKD := func(p plan, v any) any {
		if !p.helped {
			return nil
		}
		return v
	}
	return []quantity{
		{"params", "parameters", func(p plan) any { return p.params }, count},
		{"steps", "steps", func(p plan) any { return p.train.Steps }, count},
		{"kd_steps", "  with teacher", func(p plan) any { return ifKD(p, p.withKD) }, count},
		{"batch", "batch, sequences", func(p plan) any { return p.train.Batch }, count},
		{"microbatch", "microbatch, sequences", func(p plan) any { return p.train.Microbatch }, count},
		{"sequence", "sequence, tokens", func(p plan) any { return p.train.Sequence }, count},
		{"tokens", "tokens in all", func(p plan) any { return p.tokens() }, count},
		{"weights_bytes", "weights", func(p plan) any { return p.weights }, bytes},
		{"gradients_bytes", "gradients", func(p plan) any { return p.gradients }, bytes},
		{"optimizer_bytes", "optimizer", func(p plan) any { return p.optimizer }, bytes},
		{"teacher_bytes", "teacher's weights", func(p plan) any {
			if p.teacher == 0 {
				return nil
			}
			return p.teacher
		}, bytes},
		{"arena_bytes", "activations (arena)", func(p plan) any { return p.memory.Arena }, bytes},
		{"host_bytes", "shared with the host", func(p plan) any { return p.memory.Host }, bytes},
		{"memory_bytes", "memory in all", func(p plan) any { return p.memory.Total() }, bytes},
		{"fits", "fits", func(p plan) any {
			if p.limit == 0 {
				return nil
			}
			return p.fits()
		}, func(v any) string { return map[bool]string{true: "yes", false: "no"}[v.(bool)] }},
		{"flops_per_token", "arithmetic per token", func(p plan) any { return p.perToken }, flops},
		{"kd_flops_per_token", "  with teacher", func(p plan) any { return ifKD(p, p.kdToken) }, flops},
		{"flops_per_step", "arithmetic per step", func(p plan) any { return p.perToken * float64(p.tokensPerStep()) }, flops},
		{"kd_flops_per_step", "  with teacher", func(p plan) any { return ifKD(p, p.kdToken*float64(p.tokensPerStep())) }, flops},
		{"scoring_flops", "arithmetic of scoring", func(p plan) any {
			if p.scoring == 0 {
				return nil
			}
			return p.scoring
		}, flops},
		{"flops", "arithmetic in all", func(p plan) any { return p.flops() }, flops},
		{"executed_flops", "  as executed", func(p plan) any { return p.executed }, flops},
		{"checkpoint_bytes", "one checkpoint", func(p plan) any { return p.checkpoint() }, bytes},
	}
}

// planTable is a row for each training as JSON, and a column for each as text.
func planTable(plans []plan, asJSON bool) Table {
	if asJSON {
		t := Table{Columns: []Column{{Key: "training"}}}
		for _, q := range quantities() {
			t.Columns = append(t.Columns, Column{Key: q.key})
		}
		for _, p := range plans {
			row := []any{p.label}
			for _, q := range quantities() {
				row = append(row, q.value(p))
			}
			t.Rows = append(t.Rows, row)
		}
		return t
	}
	t := Table{Columns: []Column{{Title: ""}}}
	for _, p := range plans {
		t.Columns = append(t.Columns, Column{Title: p.label})
	}
	for _, q := range quantities() {
		row, any := []any{q.title}, false
		for _, p := range plans {
			if v := q.value(p); v != nil {
				row, any = append(row, q.text(v)), true
			} else {
				row = append(row, nil)
			}
		}
		if any {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// siPrefix writes three figures, a space and a decimal prefix: "12.3 G".
func siPrefix(v float64) string {
	prefixes := []string{"", "K", "M", "G", "T", "P", "E", "Z", "Y"}
	i := 0
	for v >= 999.5 && i < len(prefixes)-1 {
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.3g %s", v, prefixes[i])
}

// parseBytes reads a size such as 24GiB, 24G (the same), 24GB (by the thousand) or a number of bytes; "" is 0.
func parseBytes(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "KMGTiBkmgtb ")
	v, err := strconv.ParseFloat(number, 64)
	unit := strings.ToUpper(strings.TrimSpace(text[len(number):]))
	base := 1024.0
	if len(unit) == 2 && unit[1] == 'B' {
		base = 1000
	}
	exponent := slices.Index([]string{"", "K", "M", "G", "T"}, strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "I"))
	if err != nil || exponent < 0 || !(v > 0) || v*math.Pow(base, float64(exponent)) > 1<<60 {
		return 0, errors.New(strconv.Quote(text) + " is no size; write it as 24GiB or 24GB")
	}
	return int64(v * math.Pow(base, float64(exponent))), nil
}
