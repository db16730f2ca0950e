package compute

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
)

// Node is one recorded operation.
type Node struct {
	Op   *Op
	In   []*Tensor
	Out  []*Tensor
	Attr any
	// HasAddend says that the last input is added to the first output (Op.Addend).
	HasAddend bool
	// Workspace is memory for the kernel's own use while the node runs (Op.Workspace); nil: none.
	Workspace *Tensor
	at        string // the recording code's file:line, for errors
}

// Inputs are the operation's own inputs, without the addend.
func (n *Node) Inputs() []*Tensor {
	if n.HasAddend {
		return n.In[:len(n.In)-1]
	}
	return n.In
}

// AddendOr is the addend if there is one, else the given tensor: what a kernel binds in its place.
func (n *Node) AddendOr(t *Tensor) *Tensor {
	if n.HasAddend {
		return n.In[len(n.In)-1]
	}
	return t
}

// tensors are all that the node touches: inputs, then what it writes.
func (n *Node) tensors() []*Tensor {
	list := append(slices.Clone(n.In), n.Out...)
	if n.Workspace != nil {
		list = append(list, n.Workspace)
	}
	return list
}

func (n *Node) String() string {
	return fmt.Sprintf("%s %v -> %v %+v", n.Op.Name, n.In, n.Out, n.Attr)
}

// Recorder collects a program. Its methods never fail at once: the first error is kept and Finish returns it.
type Recorder struct {
	nodes   []*Node
	temps   int
	grads   map[*Tensor]*Tensor // a tensor's gradient, while Backward walks
	tracked map[*Tensor]*Tensor // a parameter and where its gradient is added
	ops     map[string]*Op
	casts   map[castKey]*Tensor
	err     error
}

// NewRecorder starts an empty program.
func NewRecorder() *Recorder {
	r := &Recorder{grads: map[*Tensor]*Tensor{}, tracked: map[*Tensor]*Tensor{}, ops: map[string]*Op{}, casts: map[castKey]*Tensor{}}
	for _, op := range Table {
		r.ops[op.Name] = op
	}
	return r
}

// Track asks Backward to add the gradient of the parameter w to grad.
func (r *Recorder) Track(w, grad *Tensor) { r.tracked[w] = grad }

// GradientOf is where the gradient of a tracked parameter is added, or nil: for rules that add to it in place.
func (r *Recorder) GradientOf(w *Tensor) *Tensor { return r.tracked[w] }

// Fail keeps the first error.
func (r *Recorder) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Temp declares a tensor of the program's own, to be written by operations given it as their output.
func (r *Recorder) Temp(name string, shape ...int) *Tensor { return r.temp(name, F32, shape) }

func (r *Recorder) temp(name string, t DType, shape Shape) *Tensor {
	r.temps++
	return NewTensor(Temp, fmt.Sprintf("%s.%d", name, r.temps), t, shape...)
}

// Record adds a node of the named operation with fresh outputs, or with the given ones where they are not nil.
// (By name, since a gradient rule that named an entry of Table could not stand in Table.)
func (r *Recorder) Record(name string, attr any, in []*Tensor, out ...*Tensor) []*Tensor {
	op := r.ops[name]
	if op == nil {
		r.Fail(fmt.Errorf("bug: there is no operation %q", name))
		return make([]*Tensor, 4)
	}
	n := &Node{Op: op, In: in, Attr: attr, at: caller()}
	for _, t := range in {
		if t == nil {
			r.Fail(fmt.Errorf("bug: %s: %s: nil input", n.at, op.Name))
			return make([]*Tensor, 4)
		}
	}
	shapes, err := op.Shapes(in, attr)
	if err != nil {
		r.Fail(fmt.Errorf("bug: %s: %s %v: %w", n.at, op.Name, in, err))
		return make([]*Tensor, 4)
	}
	types := op.outTypes(in, attr, len(shapes))
	for i, s := range shapes {
		t := (*Tensor)(nil)
		if i < len(out) {
			t = out[i]
		}
		switch {
		case t == nil:
			t = r.temp(op.Name, types[i], s)
		case !t.Shape.Equal(s) || t.DType != types[i]:
			r.Fail(fmt.Errorf("bug: %s: %s gives %v %v, its output is %v %v", n.at, op.Name, types[i], s, t.DType, t))
		}
		n.Out = append(n.Out, t)
	}
	r.nodes = append(r.nodes, n)
	return n.Out
}

// caller is the first frame outside this package's own files.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if filepath.Base(filepath.Dir(f.File)) != "compute" || !more {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
}

// Seed gives a tensor its gradient from outside: a loss that computed it in its forward pass.
func (r *Recorder) Seed(t, grad *Tensor) { r.addGrad(t, grad) }

func (r *Recorder) addGrad(t, g *Tensor) {
	if g == nil {
		return
	}
	if have, ok := r.grads[t]; ok {
		g = r.Add(have, g)
	}
	r.grads[t] = g
}

// Backward records the gradients of everything recorded so far, in reverse, from the seeds to the tracked parameters.
func (r *Recorder) Backward() {
	tape := r.nodes
	for i := len(tape) - 1; i >= 0 && r.err == nil; i-- {
		n := tape[i]
		dy, any := make([]*Tensor, len(n.Out)), false
		for j, t := range n.Out {
			dy[j] = r.grads[t]
			any = any || dy[j] != nil
		}
		if !any {
			continue
		}
		if n.Op.Grad == nil {
			r.Fail(fmt.Errorf("bug: %s: %s has no gradient: %s", n.at, n.Op.Name, n.Op.NoGrad))
			return
		}
		for j, g := range n.Op.Grad(r, n, dy) {
			if g == nil {
				continue
			}
			if into, ok := r.tracked[n.In[j]]; ok {
				r.Accumulate(into, g)
			} else {
				r.addGrad(n.In[j], g)
			}
		}
	}
	r.grads = map[*Tensor]*Tensor{}
}

// Gradient is what Backward would hand to t now; tests of single operations use it between Seed and Backward.
func (r *Recorder) Gradient(t *Tensor) *Tensor { return r.grads[t] }

// Finish runs the passes and plans the memory.
func (r *Recorder) Finish() (*Program, error) {
	if r.err != nil {
		return nil, r.err
	}
	p := &Program{Nodes: r.nodes}
	for _, pass := range passes {
		if err := pass.run(p); err != nil {
			return nil, fmt.Errorf("pass %s: %w", pass.name, err)
		}
	}
	return p, nil
}
