package compute

import (
	"slices"
	"time"
)

// caseOf describes a recorded node so that it can be run alone on scratch memory.
func caseOf(n *Node) Case {
	c := Case{Attr: n.Attr, Addend: n.HasAddend, InPlace: map[int]int{}}
	for i, t := range n.Inputs() {
		c.In = append(c.In, t.Shape)
		if t.DType == U32 {
			c.U32 = append(c.U32, i)
		}
	}
	for o, y := range n.Out {
		for i, x := range n.In {
			if x.overlaps(y) {
				c.InPlace[o] = i
			}
		}
	}
	return c
}

// Timing is how long one kernel takes for one node, over several runs.
type Timing struct {
	Kernel *Kernel
	Runs   []time.Duration // sorted
}

// Median is the middle run.
func (t Timing) Median() time.Duration { return t.Runs[len(t.Runs)/2] }

// Time runs each kernel on the case, alone, runs times after one warm-up, the candidates taking turns so that a change of
// the machine's speed meets them all.
func (d *Device) Time(op *Op, c Case, kernels []*Kernel, runs int) ([]Timing, error) {
	t, err := newTrial(op, c, 1)
	if err != nil {
		return nil, err
	}
	defer t.free(d)
	if err := t.upload(d); err != nil {
		return nil, err
	}
	keep := d.Choose
	defer func() { d.Choose = keep }()
	list := make([]Timing, len(kernels))
	exes := make([]Executable, len(kernels))
	for i, k := range kernels {
		d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return k, nil }
		x, err := d.Load(t.program)
		if err != nil {
			return nil, err
		}
		exes[i], list[i].Kernel = x[0], k
		defer exes[i].Close()
	}
	for run := range runs + 1 {
		for i, x := range exes {
			start := time.Now()
			if err := x.Run(); err != nil {
				return nil, err
			}
			if run > 0 {
				list[i].Runs = append(list[i].Runs, time.Since(start))
			}
		}
	}
	for i := range list {
		slices.Sort(list[i].Runs)
	}
	return list, nil
}
