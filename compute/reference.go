package compute

import (
	"fmt"
	"math"

	"saltern/compute/ref"
)

// Backend runs programs: a Vulkan Device, or the Reference.
type Backend interface {
	// Load prepares programs that run one at a time and so share one arena.
	Load(programs ...*Program) ([]Executable, error)
	// Write, WriteU32, Read and ReadU32 copy a State or Host tensor to and from the backend.
	Write(t *Tensor, data []float32) error
	WriteU32(t *Tensor, data []uint32) error
	Read(t *Tensor, data []float32) error
	ReadU32(t *Tensor, data []uint32) error
	// Free gives back the memory of State and Host storages; programs that use them must be closed before.
	Free(list ...*Storage)
	Close()
}

// Executable is a loaded program.
type Executable interface {
	// Run executes the program once and waits for it.
	Run() error
	// RunSegments does the same, and calls done after each of the segments that Program.CutAfter made; what the segment wrote can
	// then be read, and the backend may be used. An error of done ends the run.
	RunSegments(done func(segment int) error) error
	Close()
}

// Reference runs programs in float64, node by node: slow and right.
type Reference struct {
	memory map[*Storage][]float64
	// Each, if set, sees every node after it ran; doctor and tests compare intermediates with it.
	Each func(n *Node, in, out []ref.Tensor)
}

// NewReference is an empty reference backend.
func NewReference() *Reference { return &Reference{memory: map[*Storage][]float64{}} }

// Close frees nothing that the garbage collector does not.
func (r *Reference) Close() {}

// Free forgets the storages.
func (r *Reference) Free(list ...*Storage) {
	for _, s := range list {
		delete(r.memory, s)
	}
}

// Load keeps the programs as they are.
func (r *Reference) Load(programs ...*Program) ([]Executable, error) {
	list := make([]Executable, len(programs))
	for i, p := range programs {
		list[i] = &referenceRun{r, p}
	}
	return list, nil
}

func (r *Reference) data(t *Tensor) []float64 {
	m, ok := r.memory[t.Storage]
	if !ok {
		m = make([]float64, t.Storage.Len)
		r.memory[t.Storage] = m
	}
	return m[t.Off : t.Off+t.Len()]
}

// Write sets a tensor from float32.
func (r *Reference) Write(t *Tensor, data []float32) error { return set(r, t, data) }

// WriteU32 sets a tensor of ids.
func (r *Reference) WriteU32(t *Tensor, data []uint32) error { return set(r, t, data) }

func set[T float32 | uint32](r *Reference, t *Tensor, data []T) error {
	dst := r.data(t)
	if len(dst) != len(data) {
		return fmt.Errorf("bug: writing %d elements to %v", len(data), t)
	}
	for i, v := range data {
		dst[i] = float64(v)
	}
	return nil
}

// Read copies a tensor out, rounded to float32.
func (r *Reference) Read(t *Tensor, data []float32) error { return get(r, t, data) }

// ReadU32 copies a tensor of ids out.
func (r *Reference) ReadU32(t *Tensor, data []uint32) error { return get(r, t, data) }

func get[T float32 | uint32](r *Reference, t *Tensor, data []T) error {
	src := r.data(t)
	if len(src) != len(data) {
		return fmt.Errorf("bug: reading %d elements from %v", len(data), t)
	}
	for i, v := range src {
		data[i] = T(v)
	}
	return nil
}

// Float64 is the tensor's live memory, for finite differences.
func (r *Reference) Float64(t *Tensor) []float64 { return r.data(t) }

type referenceRun struct {
	r *Reference
	p *Program
}

func (x *referenceRun) Close() {}

// Run executes the program node by node.
func (x *referenceRun) Run() error { return x.RunSegments(func(int) error { return nil }) }

func (x *referenceRun) begin() {
	for _, l := range lifetimes(x.p.Nodes) {
		// A temporary that a node reads before one writes it must show, so it starts as NaN.
		m := make([]float64, l.s.Len)
		for i := range m {
			m[i] = math.NaN()
		}
		x.r.memory[l.s] = m
	}
}

func (x *referenceRun) end() {
	for _, l := range lifetimes(x.p.Nodes) {
		delete(x.r.memory, l.s)
	}
}

// step runs one node. The addend is added here, after the operation, for every operation alike.
func (r *Reference) step(n *Node) {
	in, out := make([]ref.Tensor, len(n.In)), make([]ref.Tensor, len(n.Out))
	for i, t := range n.In {
		in[i] = ref.Tensor{Shape: t.Shape, Data: r.data(t)}
	}
	for i, t := range n.Out {
		out[i] = ref.Tensor{Shape: t.Shape, Data: r.data(t)}
	}
	if !n.HasAddend {
		n.Op.Ref(in, out, n.Attr)
	} else {
		result := ref.New(out[0].Shape...)
		n.Op.Ref(in[:len(in)-1], append([]ref.Tensor{result}, out[1:]...), n.Attr)
		for i, v := range in[len(in)-1].Data {
			out[0].Data[i] = result.Data[i] + v
		}
	}
	if r.Each != nil {
		r.Each(n, in, out)
	}
}
