package compute

import (
	"fmt"
	"strings"
)

// DType is an element type.
type DType uint8

// The element types. F16 is IEEE 754 binary16; BF16 the upper half of a float32. Kernels read the 16-bit ones in pairs, as
// 32-bit words, so that no device needs 16-bit storage for them.
const (
	F32 DType = iota
	U32
	F16
	BF16
)

func (d DType) String() string { return [...]string{"f32", "u32", "f16", "bf16"}[d] }

// Bytes is the size of an element.
func (d DType) Bytes() int {
	if d.Half() {
		return 2
	}
	return elementBytes
}

// Half says that the elements are 16 bits wide.
func (d DType) Half() bool { return d == F16 || d == BF16 }

// elementBytes is the size of a float32, which most tensors are made of, and the unit of the arena.
const elementBytes = 4

// alignElements is the alignment, in elements of 4 bytes, of every tensor that a kernel binds: 256 bytes, the largest that
// Vulkan lets a device ask for.
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

// Storage is memory that holds one or more tensors, all of elements of one width. Programs that name the same State or
// Host storage share it.
type Storage struct {
	Name string
	Kind Kind
	Len  int  // elements
	Half bool // elements are 2 bytes wide, not 4
}

// width is the size of an element.
func (s *Storage) width() int {
	if s.Half {
		return 2
	}
	return elementBytes
}

// Bytes is the memory that the storage takes, up to where another may start.
func (s *Storage) Bytes() int64 { return int64(s.words()) * elementBytes }

// words is the same in units of the arena.
func (s *Storage) words() int { return Align((s.Len*s.width() + elementBytes - 1) / elementBytes) }

// NewStorage declares State or Host memory of n elements of 4 bytes; a backend allocates it, zeroed, when it is first used.
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
	return &Tensor{Shape: s, DType: t, Storage: &Storage{Name: name, Kind: kind, Len: s.Size(), Half: t.Half()}}
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
	if t.DType.Half() {
		name += ":"
	}
	return name + shapeOf(t.DType, t.Shape)
}

// shapeOf words a shape, with the type where it is a 16-bit one.
func shapeOf(t DType, s Shape) string {
	if t.Half() {
		return t.String() + s.String()
	}
	return s.String()
}

// bytes is what its elements take.
func (t *Tensor) bytes() int64 { return int64(t.Len() * t.Storage.width()) }

// span is the tensor's place in its storage, in bytes.
func (t *Tensor) span() (off, end int) {
	w := t.Storage.width()
	return t.Off * w, (t.Off + t.Len()) * w
}
