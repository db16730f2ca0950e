package compute

import (
	"fmt"
	"strings"
)

// DType is an element type; all are 4 bytes wide.
type DType uint8

// The element types.
const (
	F32 DType = iota
	U32
)

func (d DType) String() string { return [...]string{"f32", "u32"}[d] }

const elementBytes = 4

// alignElements is the alignment, in elements, of every tensor that a kernel binds: 256 bytes, the largest that Vulkan
// lets a device ask for.
const alignElements = 64

// Align rounds a count of elements up to where another tensor may start.
func Align(n int) int { return (n + alignElements - 1) / alignElements * alignElements }

// Shape is a tensor's extent, slowest dimension first.
type Shape []int

// Size is the number of elements.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether two shapes are the same.
func (s Shape) Equal(o Shape) bool { return s.String() == o.String() }

func (s Shape) String() string {
	return "[" + strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(s)), " ", ","), "[]") + "]"
}

// Kind is where a storage lives and for how long.
type Kind uint8

const (
	// Temp lives within one run of one program; the planner gives it a place in the arena.
	Temp Kind = iota
	// State lives on the device as long as the backend: weights, gradients, optimizer state.
	State
	// Host is memory that the host writes before a run and reads after it: token ids, scalars, losses.
	Host
)

func (k Kind) String() string { return [...]string{"temp", "state", "host"}[k] }

// Storage is memory that holds one or more tensors. Programs that name the same State or Host storage share it.
type Storage struct {
	Name string
	Kind Kind
	Len  int // elements
}

// NewStorage declares State or Host memory of n elements; a backend allocates it, zeroed, when it is first used.
func NewStorage(kind Kind, name string, n int) *Storage {
	return &Storage{Name: name, Kind: kind, Len: n}
}

// Tensor is a typed, shaped view of a storage. It holds no data.
type Tensor struct {
	Shape   Shape
	DType   DType
	Storage *Storage
	Off     int // elements from the storage's start
}

// NewTensor declares a tensor with a State or Host storage of its own.
func NewTensor(kind Kind, name string, t DType, shape ...int) *Tensor {
	s := Shape(shape)
	return &Tensor{Shape: s, DType: t, Storage: NewStorage(kind, name, s.Size())}
}

// View is the tensor of the given shape that starts at element off of s.
func (s *Storage) View(t DType, off int, shape ...int) *Tensor {
	return &Tensor{Shape: shape, DType: t, Storage: s, Off: off}
}

// View is a tensor of another shape within t, off elements in.
func (t *Tensor) View(off int, shape ...int) *Tensor {
	return &Tensor{Shape: shape, DType: t.DType, Storage: t.Storage, Off: t.Off + off}
}

// Rows is the view of rows i to j (exclusive) of a matrix, or elements i to j of a vector.
func (t *Tensor) Rows(i, j int) *Tensor {
	row := Shape(t.Shape[1:]).Size()
	return t.View(i*row, append([]int{j - i}, t.Shape[1:]...)...)
}

// Len is the number of elements.
func (t *Tensor) Len() int { return t.Shape.Size() }

func (t *Tensor) overlaps(o *Tensor) bool {
	return t.Storage == o.Storage && t.Off < o.Off+o.Len() && o.Off < t.Off+t.Len()
}

func (t *Tensor) String() string {
	name := t.Storage.Name
	if t.Off > 0 || t.Len() != t.Storage.Len {
		name = fmt.Sprintf("%s+%d", name, t.Off)
	}
	return name + t.Shape.String()
}
