package compute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"saltern/compute/ref"
	"saltern/compute/vk"
)

// Timing is how long one kernel takes for one node, over several runs.
type Timing struct {
	Kernel *Kernel
	Runs   []time.Duration // sorted
	Least  time.Duration   // the fastest of them, had nothing else been at work (stopwatch)
}

// Median is the middle run.
func (t Timing) Median() time.Duration { return t.Runs[len(t.Runs)/2] }

// Time runs each kernel on the case, alone, runs times after one warm-up, the candidates taking turns so that a change of
// the machine's speed meets them all.
func (d *Device) Time(op *Op, c Case, kernels []*Kernel, runs int) ([]Timing, error) {
	return d.race(op, c, kernels, runs, func(int, float64) bool { return false }, func(_ *Op, _ *Kernel, run func() error) error { return run() })
}

// A run shorter than shortRun is repeated within one submission, up to maxRepeat times, since handing work to the device
// takes some 0.01 to 0.1 ms itself.
const (
	shortRun  = 500 * time.Microsecond
	maxRepeat = 64
)

// judge says after a lap, 0 being the warm-up, whether a candidate is hopeless whose fastest run so far took behind times
// as long as the best one's, both undisturbed: what disturbs a run can only make it slower.
type judge func(lap int, behind float64) bool

// race is Time with a judge: a hopeless candidate is not run again and keeps the runs that it has, be it
// the warm-up. It ends early when one is left alone. Each is loaded and run once within first.
func (d *Device) race(op *Op, c Case, kernels []*Kernel, runs int, hopeless judge, first func(op *Op, k *Kernel, run func() error) error) ([]Timing, error) {
	s, err := newScratch(op, c)
	if err != nil {
		return nil, err
	}
	defer s.free(d)
	if err := s.fill(d); err != nil {
		return nil, err
	}
	racers := make([]*racer, len(kernels))
	for i, k := range kernels {
		racers[i] = &racer{Timing: Timing{Kernel: k}}
		defer racers[i].close()
		err := first(op, k, func() error {
			if err := racers[i].load(d, s.node, 1); err != nil {
				return err
			}
			return racers[i].exe.Run() // not timed: some drivers compile in the first run
		})
		if err != nil {
			return nil, err
		}
	}
	for i := 1; i <= runs && (len(racers) == 1 || left(racers) > 1); i++ {
		if err := lap(i, racers, hopeless); err != nil {
			return nil, err
		}
		if i > 1 {
			continue
		}
		// Now that they are compiled, it shows whether one run is too short to time.
		repeat := repeats(racers)
		if repeat == 1 {
			continue
		}
		for _, r := range racers {
			if r.out {
				continue
			}
			if err := r.load(d, s.node, repeat); err != nil {
				return nil, err
			}
		}
		for again := range 2 {
			if err := lap(again, racers, hopeless); err != nil {
				return nil, err
			}
		}
	}
	list := make([]Timing, len(racers))
	for i, r := range racers {
		list[i] = r.Timing
	}
	return list, nil
}

// racer is one candidate: the node, repeat times, with its kernel.
type racer struct {
	Timing
	exe    *DeviceRun
	repeat int
	low    time.Duration // the fastest run undisturbed, the warm-up included
	out    bool
}

func (r *racer) load(d *Device, n *Node, repeat int) error {
	r.close()
	p := &Program{Offset: map[*Storage]int{}}
	for range repeat {
		p.Nodes, p.Barrier = append(p.Nodes, n), append(p.Barrier, true)
	}
	keep := d.Choose
	defer func() { d.Choose = keep }()
	d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return r.Kernel, nil }
	list, err := d.Load(p)
	if err != nil {
		return err
	}
	r.exe, r.repeat, r.Runs, r.Least, r.low = list[0].(*DeviceRun), repeat, nil, math.MaxInt64, math.MaxInt64
	return nil
}

func (r *racer) close() {
	if r.exe != nil {
		r.exe.Close()
		r.exe = nil
	}
}

// lap times one run of each candidate that is still in. The first lap after the warm-up, 1, forgets that.
func lap(number int, racers []*racer, hopeless judge) error {
	var best *racer
	for _, r := range racers {
		if r.out {
			continue
		}
		if number == 1 {
			r.Runs, r.Least = nil, math.MaxInt64
		}
		watch := startWatch(r.exe.dev.limits.CPU)
		if err := r.exe.Run(); err != nil {
			return err
		}
		took, undisturbed := watch.stop()
		undisturbed /= time.Duration(r.repeat)
		r.Runs = append(r.Runs, took/time.Duration(r.repeat))
		r.Least, r.low = min(r.Least, undisturbed), min(r.low, undisturbed)
		slices.Sort(r.Runs)
		if best == nil || r.low < best.low {
			best = r
		}
	}
	for _, r := range racers {
		if !r.out && r != best && hopeless(number, float64(r.low)/float64(max(best.low, 1))) {
			r.out = true
			r.close()
		}
	}
	return nil
}

// left is how many are still in.
func left(racers []*racer) (n int) {
	for _, r := range racers {
		if !r.out {
			n++
		}
	}
	return n
}

// repeats is how often the node must be repeated for the fastest candidate's run to be long enough to time.
func repeats(racers []*racer) int {
	fastest := shortRun
	for _, r := range racers {
		if !r.out {
			fastest = min(fastest, r.Runs[0])
		}
	}
	return min(maxRepeat, int(shortRun/max(fastest, 1)))
}

// scratch is one node on memory of its own, filled with plausible values: enough to be timed, where a trial is to be
// compared.
type scratch struct {
	op      *Op
	c       Case
	node    *Node
	tensors []*Tensor // inputs, addend, outputs that are not an input, workspace
}

func newScratch(op *Op, c Case) (*scratch, error) {
	s := &scratch{op: op, c: c}
	var err error
	s.node, err = c.node(op, func(t DType, shape Shape) *Tensor {
		x := NewTensor(State, fmt.Sprintf("%s.scratch.%d", op.Name, len(s.tensors)), t, shape...)
		s.tensors = append(s.tensors, x)
		return x
	})
	if err != nil {
		return nil, fmt.Errorf("bug: scratch for %s: %w", op.Name, err)
	}
	return s, nil
}

func (s *scratch) free(d *Device) {
	for _, t := range s.tensors {
		d.Free(t.Storage)
	}
}

// scratchBlock is how many random numbers a float32 tensor is made of, over and over: drawing each would take longer than
// the timing. It is a prime, so that the rows of a matrix differ.
const scratchBlock = 16411

// values are the inputs' elements, or the first of them, which fill repeats. An operation's Fill may set up a special case,
// as a step that is skipped: it is drawn again until every value is finite, for what usually happens is to be timed.
func (s *scratch) values() []ref.Tensor {
	var in []ref.Tensor
	for seed := range uint64(16) {
		in = s.draw(rand.New(rand.NewPCG(seed, 1)))
		if !slices.ContainsFunc(in, func(t ref.Tensor) bool { return slices.ContainsFunc(t.Data, notFinite) }) {
			break
		}
	}
	return in
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

func (s *scratch) draw(rng *rand.Rand) []ref.Tensor {
	if s.op.Fill == nil {
		return normals(rng, s.node, scratchBlock)
	}
	if s.c.hasIDs() { // ids must be as many as there are; their Fill looks at them, not at the large tensors
		in := normals(rng, s.node, scratchBlock)
		s.op.Fill(rng, in[:len(s.c.In)], s.c.Attr)
		return in
	}
	small, err := newScratch(s.op, shrink(s.op, s.c, checkElements))
	if err != nil {
		return normals(rng, s.node, scratchBlock)
	}
	if flops, _ := s.op.Cost(small.node); flops > checkFLOPs { // a Fill may be as dear as the reference
		return normals(rng, s.node, scratchBlock)
	}
	in := normals(rng, small.node, math.MaxInt)
	s.op.Fill(rng, in[:len(s.c.In)], small.c.Attr)
	return in
}

// normals draws a node's inputs, of a tensor that holds no ids no more than the first most elements.
func normals(rng *rand.Rand, n *Node, most int) []ref.Tensor {
	in := make([]ref.Tensor, len(n.In))
	for i, t := range n.In {
		size := t.Len()
		if t.DType != U32 {
			size = min(size, most)
		}
		in[i] = ref.Tensor{Shape: t.Shape, Data: make([]float64, size)}
		for j := range in[i].Data {
			in[i].Data[j] = rng.NormFloat64()
		}
	}
	return in
}

// fill writes the inputs.
func (s *scratch) fill(d *Device) error {
	in := s.values()
	for i, t := range s.node.In {
		bits := make([]uint32, t.Len())
		for j := range min(len(bits), len(in[i].Data)) {
			if v := in[i].Data[j]; t.DType == U32 {
				bits[j] = uint32(v)
			} else {
				bits[j] = bitsOf(t.DType, float32(v))
			}
		}
		for done := len(in[i].Data); done < len(bits); done *= 2 {
			copy(bits[done:], bits[:done])
		}
		if err := d.writeBits(t.Storage, bits); err != nil {
			return err
		}
	}
	return nil
}

// shrink cuts a case until its tensors take at most limit elements together, or no further cut is legal: it halves the
// slowest dimension of the largest tensor, in every input that has this extent there, else in the one alone. That leaves
// row lengths, and with them the alignment and the inner loops, as they are. An int attribute counts along that dimension
// (the elements that decay) and shrinks with it.
func shrink(op *Op, c Case, limit int) Case {
	for {
		s, err := newScratch(op, c)
		if err != nil {
			return c
		}
		total, largest := 0, 0
		for i, t := range s.tensors {
			if t == s.node.Workspace {
				continue
			}
			total += t.Len()
			if t.Len() > s.tensors[largest].Len() {
				largest = i
			}
		}
		if total <= limit {
			return c
		}
		smaller, ok := halveWith(op, c, s.tensors[largest].Shape[0], largest)
		if !ok {
			return c
		}
		c = smaller
	}
}

// affordable cuts a case further, until the reference takes no longer than checkFLOPs or no further cut is legal: the slowest dimension of any
// input, with those of the same extent or alone. A square product ends with few rows, or with short sums.
func affordable(op *Op, c Case) Case {
	for {
		s, err := newScratch(op, c)
		if err != nil {
			return c
		}
		if flops, _ := op.Cost(s.node); flops <= checkFLOPs {
			return c
		}
		smaller, ok := c, false
		for i := 0; i < len(c.In) && !ok; i++ {
			smaller, ok = halveWith(op, c, c.In[i][0], i)
		}
		if !ok {
			return c
		}
		c = smaller
	}
}

// halveWith halves the inputs with that extent, or where the operation does not take that tensor i alone, if it is an input.
func halveWith(op *Op, c Case, extent, i int) (smaller Case, ok bool) {
	smaller, ok = halve(op, c, func(j int) bool { return c.In[j][0] == extent })
	if !ok && i < len(c.In) {
		smaller, ok = halve(op, c, func(j int) bool { return j == i })
	}
	return smaller, ok
}

// halve halves the slowest dimension of the inputs so marked, to a multiple of the alignment where it is large; false if
// the operation does not take that.
func halve(op *Op, c Case, marked func(i int) bool) (Case, bool) {
	cut := c
	cut.In = nil
	any := false
	for i, shape := range c.In {
		if marked(i) && shape[0] > 1 {
			half := shape[0] / 2
			if half > alignElements {
				half = half / alignElements * alignElements
			}
			if n, ok := c.Attr.(int); ok {
				cut.Attr = min(n, half)
			}
			shape, any = append(Shape{half}, shape[1:]...), true
		}
		cut.In = append(cut.In, shape)
	}
	if !any {
		return c, false
	}
	_, err := newScratch(op, cut)
	return cut, err == nil
}

// TimeCopy copies that many bytes from one buffer to another, runs times after a warm-up: the least that moving memory
// costs on this device. Each byte is read and written.
func (d *Device) TimeCopy(bytes int64, runs int) ([]time.Duration, error) {
	bytes = bytes / 256 * 256
	from, err := d.vk.NewBuffer(bytes, vk.DeviceLocal)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := d.vk.NewBuffer(bytes, vk.DeviceLocal)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	// Not zeros, which some devices store or move in less.
	block := make([]uint32, min(bytes, 1<<20)/elementBytes)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range block {
		block[i] = rng.Uint32()
	}
	for off := int64(0); off < bytes; off += int64(len(block)) * elementBytes {
		n := min(int64(len(block)), (bytes-off)/elementBytes)
		if err := from.Upload(off, bytesOf(block[:n])); err != nil {
			return nil, err
		}
	}
	c := d.vk.NewCommands(0)
	defer c.Close()
	c.Copy(to, 0, from, 0, bytes)
	if err := c.Finish(); err != nil {
		return nil, err
	}
	var list []time.Duration
	for run := range runs + 1 {
		start := time.Now()
		if err := c.Run(); err != nil {
			return nil, err
		}
		if run > 0 {
			list = append(list, time.Since(start))
		}
	}
	slices.Sort(list)
	return list, nil
}
