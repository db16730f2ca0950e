package compute

import (
	"math/rand/v2"

	"saltern/compute/ref"
)

// Op is one operation: everything that is known of it, in one place. The planner, the tuner, both executors, the tests,
// the benchmarks and doctor all read this entry.
type Op struct {
	Name string // the stem of its shader, Go, reference and test files
	Doc  string // one line with the equation

	// Shapes checks the inputs and gives the outputs' shapes.
	Shapes func(in []*Tensor, attr any) ([]Shape, error)
	// OutTypes gives the outputs' element types; nil means that all are F32.
	OutTypes func(in []*Tensor, attr any) []DType
	// Kernels in order of preference before anything is measured; the last one runs on every device and shape.
	Kernels []Kernel
	// Ref computes the outputs in float64. An output may be the same memory as an input of the same index in InPlace.
	Ref func(in, out []ref.Tensor, attr any)
	// Grad records the gradients of the inputs, given those of the outputs; nil entries mean none.
	Grad func(r *Recorder, n *Node, dy []*Tensor) []*Tensor
	// Partial says that an output may hold anything where the reference gives NaN: nothing reads it there.
	Partial bool
	// NoGrad says why there is no Grad.
	NoGrad string
	// Workspace is how many float32 elements the node's kernels may use as they like while it runs, by its shapes alone, so that
	// a plan knows it before a device chooses a kernel; nil: none. A kernel that needs more than Node.Workspace must not fit.
	Workspace func(n *Node) int
	// Addend says that the kernels take one more input, of the first output's shape, and add it to the result.
	Addend bool
	// Cost is the arithmetic and the least memory traffic of one run.
	Cost func(n *Node) (flops, bytes int64)
	// Tol bounds |device - reference| by Tol times the largest reference magnitude of the tensor (at least 1e-3).
	Tol float64
	// Rounds says that kernels may round what they compute in between to the 16-bit type of the first input.
	Rounds bool
	// Cases are shapes worth checking, each with its reason; Random adds others.
	Cases []Case
	// Random makes a case from a seed, odd sizes included.
	Random func(rng *rand.Rand) Case
	// Fill gives the inputs values that make sense; nil means standard normal numbers.
	Fill func(rng *rand.Rand, in []ref.Tensor, attr any)
}

// outTypes is OutTypes with its default, for n outputs.
func (op *Op) outTypes(in []*Tensor, attr any, n int) []DType {
	if op.OutTypes == nil {
		return make([]DType, n)
	}
	return op.OutTypes(in, attr)
}

// Kernel is one way to run an operation on a device.
type Kernel struct {
	Name string // of the variant, unique within the operation
	// Fits says whether the variant can run this node on such a device; nil means always.
	Fits func(n *Node, l *Limits) bool
	// Launch gives the dispatches, in order; those of one node may write the same output one after the other.
	Launch func(n *Node, l *Limits) []Launch
}

// Launch is one dispatch of a shader.
type Launch struct {
	Shader   string    // the SPIR-V module's name
	Bind     []*Tensor // by binding number
	Spec     []uint32  // specialization constants 0, 1, 2, ...; 0 is the workgroup size by convention
	Push     []uint32
	Grid     [3]int
	Subgroup bool // subgroups must be whole, of Limits.Subgroup lanes
	Ordered  bool // must wait for the node's launches before it: it adds to what they wrote
}

// Limits is what a kernel needs to know of a device.
type Limits struct {
	Subgroup int      // lanes
	Shared   int      // bytes of workgroup memory
	MaxGroup int      // invocations of a workgroup
	MaxGridX int      // workgroups along x
	MaxRange int      // elements of a storage binding
	MaxTexel int      // elements of a texel binding
	CPU      bool     // the device is a processor: barriers are dear
	Int64    bool     // shaders have 64-bit integers
	Memory   int64    // bytes
	Matrices []Matrix // cooperative matrices of a subgroup, in order of preference
	Flexible []FlexibleMatrix
}
