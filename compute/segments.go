package compute

import (
	"slices"

	"saltern/compute/vk"
)

// CutAfter cuts the program where it has written one of the storages for the last time, so that this one can leave while the
// rest computes (Executable.RunSegments). It gives for each segment which of the storages, by their place in the list, are complete
// with it. A program that was cut gives the same bits as before.
func (p *Program) CutAfter(list ...*Storage) (complete [][]int) {
	last := make([]int, len(list)) // the node that writes it last
	for i, n := range p.Nodes {
		for _, t := range n.Out {
			if k := slices.Index(list, t.Storage); k >= 0 {
				last[k] = i
			}
		}
	}
	p.Segments = nil
	for _, i := range append(slices.Sorted(slices.Values(last)), len(p.Nodes)-1) {
		if end := i + 1; len(p.Segments) == 0 || end > p.Segments[len(p.Segments)-1] {
			p.Segments = append(p.Segments, end)
		}
	}
	complete = make([][]int, len(p.Segments))
	for k, i := range last {
		s, _ := slices.BinarySearch(p.Segments, i+1)
		complete[s] = append(complete[s], k)
	}
	return complete
}

// segments are the ends of the program's parts: where it is not cut, the one of the whole.
func (p *Program) segments() []int {
	if len(p.Segments) == 0 {
		return []int{len(p.Nodes)}
	}
	return p.Segments
}

// Run executes the program once and waits for it: one cgo call.
func (x *DeviceRun) Run() error {
	if err := x.recordAnew(); err != nil {
		return err
	}
	return vk.Run(x.parts...)
}

// RunSegments executes the program once, a segment at a time.
func (x *DeviceRun) RunSegments(done func(segment int) error) error {
	if err := x.recordAnew(); err != nil {
		return err
	}
	for i, c := range x.parts {
		if err := vk.Run(c); err != nil {
			return err
		}
		if err := done(i); err != nil {
			return err
		}
	}
	return nil
}

// Times are the nanoseconds of each node in the last run; only for programs loaded by Profile.
func (x *DeviceRun) Times() ([]float64, error) {
	var times []float64
	for i := range x.parts {
		part, err := x.SegmentTimes(i)
		if err != nil || part == nil {
			return nil, err
		}
		times = append(times, part...)
	}
	return times, nil
}

// SegmentTimes are those of a segment's nodes.
func (x *DeviceRun) SegmentTimes(segment int) ([]float64, error) {
	marks, err := x.parts[segment].Times()
	if err != nil || len(marks) == 0 {
		return nil, err
	}
	times := make([]float64, len(marks)-1)
	for i := range times {
		times[i] = marks[i+1] - marks[i]
	}
	return times, nil
}

// RunSegments runs the program node by node, as Run does.
func (x *referenceRun) RunSegments(done func(segment int) error) error {
	x.begin()
	defer x.end()
	first := 0
	for i, end := range x.p.segments() {
		for _, n := range x.p.Nodes[first:end] {
			x.r.step(n)
		}
		first = end
		if err := done(i); err != nil {
			return err
		}
	}
	return nil
}
