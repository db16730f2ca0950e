package jobs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"saltern/compute"
)

// profile is what the kernels of traced steps took, all numbers per step.
type profile struct {
	step, device time.Duration // as the host sees them: the step; in it the programs, from submission until they are known to be done
	kernels      time.Duration // between the device's timestamps around each kernel
	list         []kernelTime  // the dearest first
}

// kernelTime is what one kernel of one operation takes of a step.
type kernelTime struct {
	op, kernel   string
	launches     float64
	took         time.Duration
	flops, bytes float64
}

// profile sums up what was traced; nil where nothing was.
func (t *tracer) profile() *profile {
	if t.steps == 0 {
		return nil
	}
	n := time.Duration(t.steps)
	p := &profile{step: t.took / n, device: t.device / n}
	at := map[[2]string]int{}
	for _, k := range t.kernel {
		key := [2]string{label(k.node), k.kernel.Name}
		i, ok := at[key]
		if !ok {
			i, at[key] = len(p.list), len(p.list)
			p.list = append(p.list, kernelTime{op: key[0], kernel: key[1]})
		}
		flops, bytes := k.node.Op.Cost(k.node)
		x := &p.list[i]
		x.launches, x.took = x.launches+1/float64(n), x.took+k.took
		x.flops, x.bytes = x.flops+float64(flops)/float64(n), x.bytes+float64(bytes)/float64(n)
	}
	for i := range p.list {
		p.list[i].took /= n
		p.kernels += p.list[i].took
	}
	slices.SortStableFunc(p.list, func(a, b kernelTime) int { return cmp.Compare(b.took, a.took) })
	return p
}

// attributed is the part of the device's time that the named kernels account for. The device's time is the host's clock from
// submission until it knows of the end, which is more than the kernels can have taken: what is missing is the driver's.
func (p *profile) attributed() float64 { return float64(p.kernels) / float64(p.device) }

func (p *profile) String() string {
	return fmt.Sprintf("a step of %.1f ms, of which its programs take %.1f ms (%.1f%%) from submission to their end; kernels account for %.1f%% of that",
		ms(p.step), ms(p.device), 100*float64(p.device)/float64(p.step), 100*p.attributed())
}

// table has a row for each kernel. peak is the matrix product's GFLOP/s that rates are compared with; 0: nothing is.
func (p *profile) table(peak float64) Table {
	t := Table{Columns: []Column{
		{Key: "op", Title: "operation"}, {Key: "kernel", Title: "kernel"}, {Key: "launches", Title: "launches", Format: "%.0f"},
		{Key: "ms", Title: "time", Unit: "ms", Format: "%.3f"}, {Key: "share", Title: "of device", Unit: "%", Format: "%.1f"},
		{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"}, {Key: "of_matmul", Title: "of matmul", Unit: "%", Format: "%.0f"},
		{Key: "gbytes", Title: "traffic", Unit: "GB/s", Format: "%.2f"},
	}}
	add := func(k kernelTime) {
		ns := float64(k.took)
		t.Rows = append(t.Rows, []any{k.op, orNil(k.kernel), k.launches, ms(k.took), percent(ns, float64(p.device)),
			k.flops / ns, percent(k.flops/ns, peak), k.bytes / ns})
	}
	total := kernelTime{op: "all kernels"}
	for _, k := range p.list {
		add(k)
		total.launches, total.took = total.launches+k.launches, total.took+k.took
		total.flops, total.bytes = total.flops+k.flops, total.bytes+k.bytes
	}
	add(total)
	return t.withoutEmpty()
}

// MarshalJSON writes the times in milliseconds and the kernels as rows.
func (p *profile) MarshalJSON() ([]byte, error) {
	type kernel struct {
		Op       string  `json:"op"`
		Kernel   string  `json:"kernel"`
		Launches float64 `json:"launches"`
		MS       float64 `json:"ms"`
		Share    float64 `json:"share"`
		GFLOPS   float64 `json:"gflops"`
		GBytes   float64 `json:"gbytes"`
	}
	list := []kernel{}
	for _, k := range p.list {
		ns := float64(k.took)
		list = append(list, kernel{k.op, k.kernel, k.launches, ms(k.took), ns / float64(p.device), k.flops / ns, k.bytes / ns})
	}
	return json.Marshal(struct {
		Step       float64  `json:"step_ms"`
		Device     float64  `json:"device_ms"`
		Attributed float64  `json:"attributed"`
		Kernels    []kernel `json:"kernels"`
	}{ms(p.step), ms(p.device), p.attributed(), list})
}

// label names a node's operation, with the form of a matrix product, and its type where that is not float32.
func label(n *compute.Node) string {
	name := n.Op.Name
	if m, ok := n.Attr.(compute.MatMul); ok {
		name += " " + m.Form.String()
		if t := n.In[0].DType; t != compute.F32 {
			name += " " + t.String()
		}
	}
	return name
}

// shapesOf words a node's inputs.
func shapesOf(n *compute.Node) string {
	text := ""
	for _, t := range n.Inputs() {
		text += t.Shape.String()
	}
	return text
}
