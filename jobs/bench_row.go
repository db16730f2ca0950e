package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"saltern/compute"
)

// row is one measurement of the benchmark: every table and --json hold rows and nothing else of their own.
type row struct {
	suite, op, kernel string // kernel is empty for several in one
	dtype             compute.DType
	dims              dims  // all that it takes to do the same elsewhere
	flops, bytes      int64 // of one run; 0: not what it is measured by
	tokens            int64 // of a training step
	spread
	limit   string  // the ceiling that share is of: "matmul" or "copy"; empty: none
	ceiling float64 // that ceiling, measured right before and after, in GFLOP/s or GB/s
	cached  float64 // GB/s of the same operation's fastest run where its data stay in a CPU's caches; 0: not measured
}

// dim is a named extent, dims are those of a workload in reading order.
type dim struct {
	name string
	n    int
}
type dims []dim

func (d dims) String() string {
	var words []string
	for _, x := range d {
		words = append(words, fmt.Sprintf("%s=%d", x.name, x.n))
	}
	return strings.Join(words, " ")
}

func (d dims) without(others dims) dims {
	return slices.DeleteFunc(slices.Clone(d), func(x dim) bool { return slices.Contains(others, x) })
}

// MarshalJSON writes an object with the names in their order.
func (d dims) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, x := range d {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "%q:%d", x.name, x.n)
	}
	return append(text, '}'), nil
}

// rate is what the row achieves of its ceiling's unit.
func (r row) rate() float64 {
	if r.limit == "copy" {
		return r.spread.rate(r.bytes)
	}
	return r.spread.rate(r.flops)
}

// MarshalJSON writes the row under keys that stay the same from version to version. What was not counted is left out.
func (r row) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Suite  string   `json:"suite"`
		Op     string   `json:"op"`
		DType  string   `json:"dtype"`
		Kernel string   `json:"kernel,omitempty"`
		Dims   dims     `json:"dims"`
		Median float64  `json:"ms"`
		Min    float64  `json:"ms_min"`
		Max    float64  `json:"ms_max"`
		FLOPs  int64    `json:"flops,omitempty"`
		Bytes  int64    `json:"bytes,omitempty"`
		GFLOPS float64  `json:"gflops,omitempty"`
		GBytes float64  `json:"gbytes,omitempty"`
		Tokens float64  `json:"tokens_per_second,omitempty"`
		Limit  string   `json:"ceiling,omitempty"`
		Rate   float64  `json:"ceiling_rate,omitempty"`
		Share  *float64 `json:"share"`
		Cached float64  `json:"cache_gbytes,omitempty"`
	}{r.suite, r.op, r.dtype.String(), r.kernel, r.dims, r.median, r.min, r.max, r.flops, r.bytes,
		r.spread.rate(r.flops), r.spread.rate(r.bytes), 1000 * float64(r.tokens) / r.median, r.limit, r.ceiling, r.share(), r.cached})
}

// share is the row's rate as a part of its ceiling; nil where there is none.
func (r row) share() *float64 {
	if r.ceiling == 0 {
		return nil
	}
	s := r.rate() / r.ceiling
	return &s
}

// bound says which ceiling is the lower one, the copy's or that of the operation's own instructions, and how much of the latter the row
// reaches; empty where only one was measured. What it does from memory its instructions allow, however short the launches on few rows.
func (r row) bound() string {
	own := max(r.cached, r.rate())
	switch {
	case r.cached == 0:
		return ""
	case own < r.ceiling:
		return fmt.Sprintf("instructions, %.0f%%", 100*r.rate()/own)
	}
	return "memory"
}

// common are the extents that all rows have alike.
func common(rows []row) dims {
	var list dims
	for _, x := range rows[0].dims {
		if !slices.ContainsFunc(rows, func(r row) bool { return !slices.Contains(r.dims, x) }) {
			list = append(list, x)
		}
	}
	return list
}

// rowTable shows rows of one suite, without the extents that all have in common and columns that are empty in all.
func rowTable(rows []row) Table {
	alike := common(rows)
	t := Table{Columns: []Column{
		{Key: "op", Title: "operation"}, {Key: "kernel", Title: "kernel"}, {Key: "dims", Title: "size"},
		{Key: "ms", Title: "median", Unit: "ms", Format: "%.3f"}, {Key: "ms_min", Title: "min", Unit: "ms", Format: "%.3f"},
		{Key: "ms_max", Title: "max", Unit: "ms", Format: "%.3f"},
		{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"}, {Key: "gbytes", Title: "traffic", Unit: "GB/s", Format: "%.2f"},
		{Key: "tokens", Title: "tokens", Unit: "1/s", Format: "%.0f"},
		{Key: "share", Title: "share", Unit: "%", Format: "%.0f"}, {Key: "of", Title: "of"}, {Key: "cached", Title: "in cache", Unit: "GB/s", Format: "%.2f"}, {Key: "bound", Title: "bound"},
	}}
	for _, r := range rows {
		of := any(nil)
		switch r.limit {
		case "matmul":
			of = fmt.Sprintf("matmul, %.4g GFLOP/s", r.ceiling)
		case "copy":
			of = fmt.Sprintf("copy, %.4g GB/s", r.ceiling)
		}
		t.Rows = append(t.Rows, []any{
			r.op, orNil(r.kernel), orNil(r.dims.without(alike).String()), r.median, r.min, r.max,
			orNone(r.spread.rate(r.flops)), orNone(r.spread.rate(r.bytes)), orNone(1000 * float64(r.tokens) / r.median),
			percent(r.rate(), r.ceiling), of, orNone(r.cached), orNil(r.bound()),
		})
	}
	return t.withoutEmpty()
}

func orNone(v float64) any {
	if v == 0 {
		return nil
	}
	return v
}

// percent shows a share; what it is of is unknown where of is 0.
func percent(part, of float64) any {
	if of == 0 || math.IsNaN(part) {
		return nil
	}
	return 100 * part / of
}

// spread is the median of some runs between their ends, in milliseconds.
type spread struct{ median, min, max float64 }

func spreadOf(runs []time.Duration) spread {
	slices.Sort(runs)
	return spread{ms(runs[len(runs)/2]), ms(runs[0]), ms(runs[len(runs)-1])}
}

// rate is that of the median: GFLOP/s of FLOPs, GB/s of bytes.
func (s spread) rate(work int64) float64 { return float64(work) / s.median / 1e6 }

// add measures a row between two looks at its ceiling and keeps it. measure gives the runs and the kernel, if it was one.
func (b *bench) add(ctx context.Context, r row, measure func() ([]time.Duration, string, error)) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	before, err := b.ceiling(r)
	if err != nil {
		return err
	}
	runs, kernel, err := measure()
	if err != nil {
		return err
	}
	after, err := b.ceiling(r)
	if err != nil {
		return err
	}
	r.spread, r.kernel = spreadOf(runs), kernel
	r.ceiling = (before + after) / 2
	b.rows = append(b.rows, r)
	return nil
}

// ceiling measures what the row's share is of, as it is now: for arithmetic the best product of the row's own type.
func (b *bench) ceiling(r row) (float64, error) {
	if r.limit == "copy" {
		runs, err := b.device.TimeCopy(b.sizes.copyBytes, 3)
		if err != nil {
			return 0, err
		}
		return spreadOf(runs).rate(2 * b.sizes.copyBytes), nil
	}
	best, err := b.product(r.dtype)
	if err != nil {
		return 0, err
	}
	return best.rate(3)
}

// cost takes of a work what its ceiling counts.
func (r row) cost(flops, bytes int64) row {
	if r.limit == "copy" {
		r.bytes = bytes
	} else {
		r.flops = flops
	}
	return r
}

// addNode measures a single node with its chosen kernel, or the given one.
func (b *bench) addNode(ctx context.Context, r row, n *compute.Node, k ...*compute.Kernel) error {
	return b.add(ctx, r.cost(n.Op.Cost(n)), func() ([]time.Duration, string, error) {
		list, err := b.tuner.TimeNode(n, b.runs, k...)
		if err != nil {
			return nil, "", err
		}
		last := list[len(list)-1]
		return last.Runs, last.Kernel.Name, nil
	})
}

// addProgram measures a whole program, as the host sees it; write gives its inputs their values, once.
func (b *bench) addProgram(ctx context.Context, r row, p *compute.Program, write func() error) error {
	defer b.device.Free(p.Storages()...)
	if err := b.tuner.Tune(ctx, p); err != nil {
		return err
	}
	exes, err := b.device.Load(p)
	if err != nil {
		return err
	}
	defer exes[0].Close()
	if err := write(); err != nil {
		return err
	}
	return b.add(ctx, r.cost(p.Cost()), func() ([]time.Duration, string, error) {
		runs, err := timeRuns(exes[0], b.runs)
		return runs, "", err
	})
}

// timeRuns times a loaded program after a warm-up.
func timeRuns(x compute.Executable, runs int) ([]time.Duration, error) {
	var list []time.Duration
	for i := range runs + 1 {
		start := time.Now()
		if err := x.Run(); err != nil {
			return nil, err
		}
		if i > 0 {
			list = append(list, time.Since(start))
		}
	}
	return list, nil
}
