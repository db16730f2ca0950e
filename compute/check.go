package compute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"saltern/compute/ref"
)

// Check is one kernel variant of one operation on one case: what the tests, the tuner and doctor run.
type Check struct {
	Op     *Op
	Kernel *Kernel
	Case   Case
	Seed   uint64 // of the input values
}

// Name selects the check again: operation/variant/shapes/seed.
func (c Check) Name() string {
	shapes := make([]string, len(c.Case.In))
	for i, s := range c.Case.In {
		shapes[i] = shapeOf(c.Case.Types[i], s)
	}
	attr := ""
	if c.Case.Attr != nil {
		attr = strings.ReplaceAll(fmt.Sprintf("%+v/", c.Case.Attr), " ", ",")
	}
	if c.Case.Addend {
		attr += "addend/"
	}
	return fmt.Sprintf("%s/%s/%s%s/seed=%d", c.Op.Name, c.Kernel.Name, attr, strings.Join(shapes, ""), c.Seed)
}

// Checks lists every case of the operation, the fixed ones and the given number of random ones, with every kernel that
// fits.
func (d *Device) Checks(op *Op, random int) []Check {
	var list []Check
	for i, c := range op.Cases {
		list = append(list, d.variants(op, c, uint64(i))...)
	}
	if op.Random != nil {
		for i := range random {
			list = append(list, d.random(op, firstRandom+uint64(i))...)
		}
	}
	return list
}

// firstRandom is the seed of the first random case; smaller ones number the fixed cases.
const firstRandom = 1000

// random makes the case of a seed, with every kernel that fits.
func (d *Device) random(op *Op, seed uint64) []Check {
	return d.variants(op, op.Random(rand.New(rand.NewPCG(seed, 0))), seed)
}

// variants is the case with every kernel that fits.
func (d *Device) variants(op *Op, c Case, seed uint64) []Check {
	probe, err := newTrial(op, c, seed)
	if err != nil { // shown when it is run
		return []Check{{op, &op.Kernels[len(op.Kernels)-1], c, seed}}
	}
	var list []Check
	for _, k := range d.fitting(probe.program.Nodes[0]) {
		list = append(list, Check{op, k, c, seed})
	}
	return list
}

// CheckNamed is the check of one of the operations that has that Name on this device.
func (d *Device) CheckNamed(ops []*Op, name string) (Check, error) {
	_, number, _ := strings.Cut(name, "/seed=")
	seed, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Check{}, fmt.Errorf("%q is no name of a check; those end in /seed= and a number, as doctor prints them", name)
	}
	for _, op := range ops {
		var list []Check
		switch {
		case !strings.HasPrefix(name, op.Name+"/"):
		case seed < uint64(len(op.Cases)):
			list = d.variants(op, op.Cases[seed], seed)
		case seed >= firstRandom && op.Random != nil:
			list = d.random(op, seed)
		}
		for _, c := range list {
			if c.Name() == name {
				return c, nil
			}
		}
	}
	return Check{}, fmt.Errorf("%s has no check %q; the name may come from another device or another version", d.vk.Name, name)
}

// Run compares the kernel with the reference: results within the operation's tolerance, the same bits in three runs, no
// word written outside the outputs, no input changed. The error names the first element that disagrees.
func (c Check) Run(d *Device) error {
	t, err := newTrial(c.Op, c.Case, c.Seed)
	if err != nil {
		return err
	}
	defer t.free(d)
	keep := d.Choose
	defer func() { d.Choose = keep }()
	d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return c.Kernel, nil }
	if err := t.upload(d); err != nil {
		return err
	}
	exes, err := d.Load(t.program)
	if err != nil {
		return err
	}
	defer exes[0].Close()
	t.reference()
	var first [][]uint32
	for run := range 3 {
		if run > 0 {
			if err := t.upload(d); err != nil {
				return err
			}
		}
		if err := exes[0].Run(); err != nil {
			return err
		}
		got, err := t.download(d)
		if err != nil {
			return err
		}
		if run == 0 {
			first = got
			if err := t.compare(got); err != nil {
				return err
			}
			continue
		}
		for i := range got {
			for j := range got[i] {
				if got[i][j] != first[i][j] {
					return fmt.Errorf("run %d gives other bits than run 1 at element %d of tensor %d", run+1, j-guard, i)
				}
			}
		}
	}
	return nil
}

// trial is a one-node program whose tensors each lie between guards, with the values that go in and must come out.
type trial struct {
	op      *Op
	c       Case
	program *Program
	tensors []*Tensor // inputs, addend, outputs that are not an input, workspace
	in, out []ref.Tensor
	outAt   []int      // index in tensors of each output
	before  [][]uint32 // bits of every element of each tensor's storage, guards included
}

// Guards are as many elements, so wide as a binding's alignment asks for with the narrowest of them.
const (
	guard     = 2 * alignElements
	guardBits = 0xdeadbeef
)

func newTrial(op *Op, c Case, seed uint64) (*trial, error) {
	t := &trial{op: op, c: c}
	n, err := c.node(op, func(typ DType, s Shape) *Tensor {
		x := NewTensor(State, fmt.Sprintf("%s.%d", op.Name, len(t.tensors)), typ, guard+2*Align(s.Size())+guard).View(guard, s...)
		t.tensors = append(t.tensors, x)
		return x
	})
	if err != nil {
		return nil, fmt.Errorf("bug: case of %s: %w", op.Name, err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	t.in = normals(rng, n, math.MaxInt)
	if op.Fill != nil {
		op.Fill(rng, t.in[:len(c.In)], c.Attr)
	}
	for i, v := range t.in { // both sides start from the same values; ids are exact as they are
		for j, x := range v.Data {
			if typ := n.In[i].DType; typ != U32 {
				v.Data[j] = float64(fromBits(typ, bitsOf(typ, float32(x))))
			}
		}
	}
	for _, y := range n.Out {
		t.outAt = append(t.outAt, slices.Index(t.tensors, y))
	}
	t.program = &Program{Nodes: []*Node{n}, Offset: map[*Storage]int{}, Barrier: []bool{false}}
	return t, nil
}

func (t *trial) free(d *Device) {
	for _, x := range t.tensors {
		d.Free(x.Storage)
	}
}

// upload fills every tensor and its guards; outputs start as NaN.
func (t *trial) upload(d *Device) error {
	t.before = nil
	for i, x := range t.tensors {
		bits := make([]uint32, x.Storage.Len)
		mask := ^uint32(0) >> (32 - 8*x.DType.Bytes())
		for j := range bits {
			bits[j] = guardBits & mask
		}
		for j := range x.Len() {
			switch {
			case i >= len(t.in):
				bits[guard+j] = ^uint32(0) & mask // NaN in every type; no id
			case x.DType == U32:
				bits[guard+j] = uint32(t.in[i].Data[j])
			default:
				bits[guard+j] = bitsOf(x.DType, float32(t.in[i].Data[j]))
			}
		}
		t.before = append(t.before, bits)
		if err := d.writeBits(x.Storage, bits); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) download(d *Device) ([][]uint32, error) {
	var list [][]uint32
	for _, x := range t.tensors {
		bits, err := d.readBits(x.Storage)
		if err != nil {
			return nil, err
		}
		list = append(list, bits)
	}
	return list, nil
}

// writeBits sets all of a storage from the bits of its elements.
func (d *Device) writeBits(s *Storage, bits []uint32) error {
	if !s.Half {
		return d.transfer(s.View(U32, 0, s.Len), bytesOf(bits), true)
	}
	half := make([]uint16, len(bits))
	for i, b := range bits {
		half[i] = uint16(b)
	}
	return d.transfer(s.View(F16, 0, s.Len), bytesOf(half), true)
}

// readBits is its opposite.
func (d *Device) readBits(s *Storage) ([]uint32, error) {
	bits := make([]uint32, s.Len)
	if !s.Half {
		return bits, d.transfer(s.View(U32, 0, s.Len), bytesOf(bits), false)
	}
	half := make([]uint16, s.Len)
	err := d.transfer(s.View(F16, 0, s.Len), bytesOf(half), false)
	for i, h := range half {
		bits[i] = uint32(h)
	}
	return bits, err
}

// reference computes what must come out, on copies of the inputs.
func (t *trial) reference() {
	var in []ref.Tensor
	for _, v := range t.in {
		in = append(in, ref.Tensor{Shape: v.Shape, Data: append([]float64(nil), v.Data...)})
	}
	t.out = nil
	for i, x := range t.program.Nodes[0].Out {
		if j, ok := t.c.InPlace[i]; ok && !(t.c.Addend && i == 0) {
			t.out = append(t.out, in[j])
		} else {
			t.out = append(t.out, ref.New(x.Shape...))
		}
	}
	own := in
	if t.c.Addend {
		own = in[:len(in)-1]
	}
	t.op.Ref(own, t.out, t.c.Attr)
	if t.c.Addend {
		for i, v := range in[len(in)-1].Data {
			t.out[0].Data[i] += v
		}
	}
}

// compare holds what came out against the reference, the guards and the inputs.
func (t *trial) compare(got [][]uint32) error {
	written := map[int]int{}
	for o, i := range t.outAt {
		written[i] = o
	}
	for i, x := range t.tensors {
		o, isOut := written[i]
		var largest float64
		if isOut {
			for _, v := range t.out[o].Data {
				if !notFinite(v) {
					largest = max(largest, math.Abs(v))
				}
			}
		}
		between := 0.0
		if t.op.Rounds {
			between = 2 * t.tensors[0].DType.ulp()
		}
		bound := (t.op.Tol + x.DType.ulp() + between) * max(largest, 1e-3)
		for j, w := range got[i] {
			k := j - guard
			if k >= 0 && k < x.Len() && isOut {
				want, have := t.out[o].Data[k], float64(fromBits(x.DType, w))
				if x.DType == U32 { // every id is exact, beyond what float32 can hold too
					have = float64(w)
				}
				if t.op.Partial && math.IsNaN(want) {
					continue
				}
				if diff := math.Abs(have - want); !(diff <= bound) && have != want && !(math.IsNaN(have) && math.IsNaN(want)) {
					return fmt.Errorf("output %d of shape %v: element %d is %g, the reference says %g (allowed difference %.2g)", o, x.Shape, k, have, want, bound)
				}
			} else if w != t.before[i][j] && (x != t.program.Nodes[0].Workspace || k < 0 || k >= x.Len()) {
				if k >= 0 && k < x.Len() {
					return fmt.Errorf("input %d of shape %v was changed at element %d", i, x.Shape, k)
				}
				return fmt.Errorf("wrote outside tensor %d of shape %v, at element %d", i, x.Shape, k)
			}
		}
	}
	return nil
}
