package jobs

import (
	"context"
	"fmt"
	"io"
	"strings"

	"saltern/compute"
)

// opResult is what the checks of one operation found.
type opResult struct {
	op              string
	variants, cases int
	leftOut         int // variants that fit neither device nor shapes
	checks          int
	failures        []checkFailure
}

// checkFailure is a kernel variant that disagreed with the reference.
type checkFailure struct {
	check string // the name
	why   string // the case is there
	err   error
}

// checkOp runs the checks, all of one operation, and tells after each.
func checkOp(ctx context.Context, d *compute.Device, checks []compute.Check, after func(op string)) (opResult, error) {
	var r opResult
	variants, cases := map[string]bool{}, map[uint64]bool{}
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("doctor stopped before %s: %w", c.Name(), err)
		}
		r.op, r.checks, r.leftOut = c.Op.Name, r.checks+1, len(c.Op.Kernels)
		variants[c.Kernel.Name], cases[c.Seed] = true, true
		if err := c.Run(d); err != nil {
			r.failures = append(r.failures, checkFailure{c.Name(), c.Case.Why, err})
		}
		after(c.Op.Name)
	}
	r.variants, r.cases = len(variants), len(cases)
	r.leftOut -= r.variants
	return r, nil
}

func (r opResult) verdict() string {
	if len(r.failures) > 0 {
		return "failed"
	}
	return "ok"
}

// opTable has a row for each operation.
func opTable(results []opResult) Table {
	t := Table{Columns: []Column{
		{Key: "operation", Title: "operation"}, {Key: "variants", Title: "variants"}, {Key: "left_out", Title: "left out"}, {Key: "cases", Title: "cases"},
		{Key: "checks", Title: "checks"}, {Key: "failed", Title: "failed"}, {Key: "result", Title: "result"},
	}}
	for _, r := range results {
		t.Rows = append(t.Rows, []any{r.op, r.variants, r.leftOut, r.cases, r.checks, len(r.failures), r.verdict()})
	}
	return t
}

// writeFailures says of each failure what was wrong and how to see it again.
func writeFailures(w io.Writer, results []opResult) error {
	var b strings.Builder
	for _, r := range results {
		for _, f := range r.failures {
			fmt.Fprintf(&b, "\n%s\n  %v%s\n  again: saltern doctor --check '%s'\n", f.check, f.err, parenthesized(f.why), f.check)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func parenthesized(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
