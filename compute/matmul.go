package compute

import (
	"fmt"
	"slices"

	"saltern/compute/ref"
)

// Form is which operands of a matrix product are stored transposed.
type Form uint8

// The forms: y = A B, y = A B^T (a layer's forward), y = A^T B (a weight's gradient). A^T B^T is not needed.
const (
	NN Form = iota
	NT
	TN
)

func (f Form) String() string { return [...]string{"NN", "NT", "TN"}[f] }

// MatMul says which matrix product a node is: y = act(A B + bias) + addend. Of operands with three dimensions the first
// counts the items of a batch.
type MatMul struct {
	Form Form
	// A and B are the columns of the stored operands that take part; the zero value takes all.
	A, B Columns
	// Bias says that the third input is a row [N], added to every row of the product.
	Bias bool
	// Act is applied then. With one there is a second output, the sum before it, which its gradient needs.
	Act Activation
	// Gates says that the product is the gradient of SwiGLU's y [M,N]. The third input is SwiGLU's own, [M,2N], and the output is the
	// gradient of that: the planner makes such products of two nodes.
	Gates bool
}

// Columns are those from From to To (exclusive) of a matrix; the zero value is all of them.
type Columns struct{ From, To int }

func (m MatMul) String() string {
	s := m.Form.String()
	for i, c := range []Columns{m.A, m.B} {
		if c != (Columns{}) {
			s += fmt.Sprintf(" %c[%d:%d]", "AB"[i], c.From, c.To)
		}
	}
	if m.Bias {
		s += " bias"
	}
	if m.Act != NoActivation {
		s += " " + m.Act.String()
	}
	if m.Gates {
		s += " gates"
	}
	return s
}

// of is the shape of the columns of a stored operand, and where they start.
func (c Columns) of(s Shape) (batch, rows, width int) {
	batch, rows, width = 1, s[len(s)-2], s[len(s)-1]
	if len(s) == 3 {
		batch = s[0]
	}
	if c != (Columns{}) {
		width = c.To - c.From
	}
	return batch, rows, width
}

// dims gives the items of a batch, M, N and K from the stored shapes.
func (m MatMul) dims(a, b Shape) (batch, rows, cols, inner int) {
	batch, rows, inner = m.A.of(a)
	_, _, cols = m.B.of(b)
	if m.Form == TN {
		rows, inner = inner, rows
	}
	if m.Form == NT {
		_, cols, _ = m.B.of(b)
	}
	return batch, rows, cols, inner
}

func (m MatMul) shapes(in []*Tensor) ([]Shape, error) {
	want := 2
	if m.Bias || m.Gates {
		want = 3
	}
	if len(in) != want {
		return nil, fmt.Errorf("wants %d inputs", want)
	}
	if t := in[0].DType; t == U32 || t != in[1].DType || m.Bias && in[2].DType != F32 {
		return nil, fmt.Errorf("wants two matrices of one type of floats, and a bias of f32, not %v", in)
	}
	a, b := in[0].Shape, in[1].Shape
	if len(a) != len(b) || len(a) != 2 && len(a) != 3 || len(a) == 3 && a[0] != b[0] {
		return nil, fmt.Errorf("wants two matrices, or as many of one as of the other")
	}
	for i, c := range []Columns{m.A, m.B} {
		if s := in[i].Shape; c != (Columns{}) && (c.From < 0 || c.From >= c.To || c.To > s[len(s)-1]) {
			return nil, fmt.Errorf("columns %d to %d of %v", c.From, c.To, s)
		}
	}
	_, rows, cols, inner := m.dims(a, b)
	_, other, width := m.B.of(b)
	if m.Form == NT {
		other = width
	}
	if inner != other {
		return nil, fmt.Errorf("inner dimensions %d and %d differ", inner, other)
	}
	if m.Gates {
		if m.Bias || m.Act != NoActivation || len(a) != 2 || in[0].DType != F32 || in[2].DType != F32 || !in[2].Shape.Equal(Shape{rows, 2 * cols}) {
			return nil, fmt.Errorf("gates want one product of float32 alone, and [%d,%d] beside it, not %v", rows, 2*cols, in)
		}
		return []Shape{in[2].Shape}, nil
	}
	if m.Bias && !in[2].Shape.Equal(Shape{cols}) {
		return nil, fmt.Errorf("the bias is %v, not [%d]", in[2].Shape, cols)
	}
	y := append(append(Shape{}, a[:len(a)-2]...), rows, cols)
	if m.Act != NoActivation {
		return []Shape{y, y}, nil
	}
	return []Shape{y}, nil
}

var opMatMul = &Op{
	Name: "matmul", Doc: "y[m,n] = act(sum_k A[m,k] B[k,n] + bias[n]); NT: B stored [N,K]; TN: A stored [K,M]; or a batch of them",
	Shapes:  func(in []*Tensor, attr any) ([]Shape, error) { return attr.(MatMul).shapes(in) },
	Kernels: slices.Concat(coop2Kernels(), coopKernels(), matmulKernels()),
	Ref: func(in, out []ref.Tensor, attr any) {
		m := attr.(MatMul)
		batch, rows, cols, inner := m.dims(in[0].Shape, in[1].Shape)
		dense := func(t ref.Tensor, c Columns) []float64 {
			if c == (Columns{}) {
				return t.Data
			}
			return ref.Columns(t.Data, t.Shape[len(t.Shape)-1], c.From, c.To)
		}
		a, b, y := dense(in[0], m.A), dense(in[1], m.B), out[0].Data
		if m.Gates {
			y = make([]float64, rows*cols)
			defer func() { ref.SwiGLUGrad(in[2].Data, y, out[0].Data, cols) }()
		}
		for i := range batch {
			ref.MatMul(a[i*rows*inner:], b[i*inner*cols:], y[i*rows*cols:], rows, cols, inner, m.Form == TN, m.Form == NT)
		}
		if m.Bias {
			ref.AddRow(y, in[2].Data)
		}
		if m.Act != NoActivation {
			copy(out[1].Data, y)
			m.Act.apply(y)
		}
	},
	Grad:      matmulGrad,
	Workspace: matmulWorkspace,
	Addend:    true,
	Cost: func(n *Node) (int64, int64) {
		m := n.Attr.(MatMul)
		batch, rows, cols, inner := m.dims(n.In[0].Shape, n.In[1].Shape)
		size := batch * rows * cols
		elements := size * len(n.Out)
		if m.Bias {
			elements += cols
		}
		if m.Gates {
			elements = 4 * size
		}
		if n.HasAddend {
			elements += size
		}
		operands := batch * (rows*inner + inner*cols) * n.In[0].DType.Bytes()
		return 2 * int64(size) * int64(inner), int64(operands + elementBytes*elements)
	},
	Tol:    2e-5,
	Cases:  matmulCases,
	Random: randomMatMul,
}

// matmulGrad: with g the gradient before activation and bias, dbias = sum of g's rows, and of the operands
// NT, y = A B^T: dA = g B, dB = g^T A;  TN, y = A^T B: dA = B g^T, dB = A g;  NN: dA = g B^T, dB = A^T g.
// An operand of which only some columns take part stays as it is in the other's gradient, but has none of its own.
func matmulGrad(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
	m, a, b, g := n.Attr.(MatMul), n.In[0], n.In[1], dy[0]
	if m.Gates {
		r.Fail(fmt.Errorf("bug: %s: a product that is a gradient has none: %v", n.at, n))
		return nil
	}
	if m.A != (Columns{}) || m.B != (Columns{}) {
		r.Fail(fmt.Errorf("bug: %s: the product of some columns of a matrix has no gradient: %v", n.at, n))
		return nil
	}
	if m.Act != NoActivation {
		g = r.Record("activation_grad", m.Act, []*Tensor{n.Out[1], g})[0]
	}
	full := g
	g = r.Cast(g, a.DType)
	var list []*Tensor
	switch m.Form {
	case NT:
		list = []*Tensor{r.MatMul(g, b, NN), r.MatMul(g, a, TN)}
	case TN:
		list = []*Tensor{r.MatMul(b, g, NT), r.MatMul(a, g, NN)}
	default:
		list = []*Tensor{r.MatMul(g, b, NT), r.MatMul(a, g, TN)}
	}
	if m.Bias {
		cols := n.In[2].Len()
		list = append(list, r.sumRows(full.View(0, full.Len()/cols, cols)))
	}
	return list
}

// MatMul records the matrix product of a and b in the given form.
func (r *Recorder) MatMul(a, b *Tensor, f Form) *Tensor {
	return r.Product(MatMul{Form: f}, a, b)
}

// Product records any matrix product: in are A, B and, if m.Bias, the bias.
func (r *Recorder) Product(m MatMul, in ...*Tensor) *Tensor {
	return r.Record("matmul", m, in)[0]
}

// matmulInto records the product into a given tensor, such as the rows of a larger one.
func (r *Recorder) matmulInto(y, a, b *Tensor, f Form) {
	r.Record("matmul", MatMul{Form: f}, []*Tensor{a, b}, y)
}
