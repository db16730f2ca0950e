package compute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestProductGradients compares the gradients of operands and bias with finite differences, in every form, with every
// activation, for one matrix and for a batch; each is in the middle of a program and its result used twice.
func TestProductGradients(t *testing.T) {
	for i, f := range []Form{NN, NT, TN} {
		for _, batch := range []int{0, 2} {
			m := MatMul{Form: f, Bias: true, Act: Activation(i+batch/2) % 3}
			t.Run(fmt.Sprintf("%v/batch=%d", m, batch), func(t *testing.T) {
				a, b := Shape{3, 4}, Shape{4, 5}
				if f == NT {
					b = Shape{5, 4}
				} else if f == TN {
					a = Shape{4, 3}
				}
				if batch > 0 {
					a, b = append(Shape{batch}, a...), append(Shape{batch}, b...)
				}
				x, w, bias := NewTensor(State, "x", F32, a...), NewTensor(State, "w", F32, b...), NewTensor(State, "bias", F32, 5)
				gradientOf(t, []*Tensor{x, w, bias}, func(r *Recorder) *Tensor {
					y := r.Product(m, r.Add(x, x), w, bias)
					return r.Add(y, y)
				}, nil)
			})
		}
	}
}

// TestProductOfColumnsHasNoGradient: the gradient of some columns of a matrix is not one of the matrix.
func TestProductOfColumnsHasNoGradient(t *testing.T) {
	x, w := NewTensor(State, "x", F32, 3, 8), NewTensor(State, "w", F32, 5, 4)
	r := NewRecorder()
	r.Track(w, NewTensor(State, "dw", F32, 5, 4))
	r.Seed(r.Product(MatMul{Form: NT, A: Columns{4, 8}}, x, w), NewTensor(State, "seed", F32, 3, 5))
	r.Backward()
	if _, err := r.Finish(); err == nil || !strings.Contains(err.Error(), "no gradient") {
		t.Errorf("error %v", err)
	}
}

// TestProductErrors: shapes that do not fit are refused where they are recorded.
func TestProductErrors(t *testing.T) {
	for _, c := range []struct {
		why, want string
		m         MatMul
		in        []Shape
	}{
		{"inner dimensions", "inner dimensions 4 and 5 differ", MatMul{Form: NN}, []Shape{{3, 4}, {5, 6}}},
		{"columns count, not the row", "inner dimensions 2 and 4 differ", MatMul{Form: NT, A: Columns{1, 3}}, []Shape{{3, 4}, {5, 4}}},
		{"columns beyond the row", "columns 3 to 7 of [3,4]", MatMul{Form: NN, A: Columns{3, 7}}, []Shape{{3, 4}, {4, 6}}},
		{"a bias is a row", "the bias is [3], not [6]", MatMul{Form: NN, Bias: true}, []Shape{{3, 4}, {4, 6}, {3}}},
		{"a bias that was not announced", "wants 2 inputs", MatMul{Form: NN}, []Shape{{3, 4}, {4, 6}, {6}}},
		{"batches", "as many of one as of the other", MatMul{Form: NN}, []Shape{{2, 3, 4}, {3, 4, 6}}},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := NewRecorder()
			var in []*Tensor
			for _, s := range c.in {
				in = append(in, NewTensor(State, "x", F32, s...))
			}
			r.Product(c.m, in...)
			if _, err := r.Finish(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestStretchesOfKWait: where K is cut by what a device binds, each launch adds to what the one before wrote and must wait
// for it; the bias, the activation and the addend come once, at the end where there is an activation.
func TestStretchesOfKWait(t *testing.T) {
	l := &Limits{Subgroup: 8, MaxGroup: 256, MaxGridX: 65535, MaxRange: 64 * 64, MaxTexel: 64 * 64, Int64: true, CPU: true}
	n := trialNode(t, opMatMul, Case{In: []Shape{{200, 32}, {200, 36}, {36}}, Attr: MatMul{Form: TN, Bias: true, Act: GELU}, Addend: true})
	for i := range opMatMul.Kernels {
		k := &opMatMul.Kernels[i]
		if k.Fits != nil && !k.Fits(n, l) { // the packed and the split ones, which order their launches in another way
			continue
		}
		launches := k.Launch(n, l)
		if len(launches) < 2 {
			t.Errorf("%s: %d launches, want K cut", k.Name, len(launches))
		}
		for j, one := range launches {
			want := uint32(0)
			switch j {
			case 0:
			case len(launches) - 1:
				want = epilogueResume | epilogueBias | epilogueGELU | epilogueAddend
			default:
				want = epilogueAddend
			}
			if one.Spec[1] != want || one.Ordered != (j > 0) {
				t.Errorf("%s: launch %d of %d has epilogue %b, want %b; Ordered is %v", k.Name, j, len(launches), one.Spec[1], want, one.Ordered)
			}
		}
	}
}

// TestProductsThatFitAreOneLaunch: what a device binds at once is not cut, whatever the sizes divide.
func TestProductsThatFitAreOneLaunch(t *testing.T) {
	l := &Limits{Subgroup: 8, MaxGroup: 256, MaxGridX: 65535, MaxRange: 1 << 20, MaxTexel: 1 << 20, Int64: true, CPU: true}
	for _, in := range [][]Shape{{{100, 100}, {100, 100}}, {{5, 100, 100}, {5, 100, 100}}} {
		for _, f := range []Form{NN, NT, TN} {
			n := trialNode(t, opMatMul, Case{In: in, Attr: MatMul{Form: f}})
			for i := range opMatMul.Kernels {
				if k := &opMatMul.Kernels[i]; (k.Fits == nil || k.Fits(n, l)) && len(k.Launch(n, l)) != 1 {
					t.Errorf("%v %v, variant %s: %d launches", f, in, k.Name, len(k.Launch(n, l)))
				}
			}
		}
	}
}

// TestPackedAndSplitProductsWait: the product waits for the copy of B, which waits for the product before it, whose copy it
// overwrites; the sum waits for its parts. All that is written beside the result lies in the workspace.
func TestPackedAndSplitProductsWait(t *testing.T) {
	l := &Limits{Subgroup: 8, MaxGroup: 256, MaxGridX: 65535, MaxRange: 1 << 20, MaxTexel: 64 * 64, Int64: true, CPU: true}
	for _, c := range []struct {
		variant string
		in      []Shape
		form    Form
		want    []string
	}{
		{"texel_16x8_packed", []Shape{{128, 32}, {288, 32}}, NT, slices.Repeat([]string{"matmul_pack.texel", "matmul_texel.16x8"}, 6)}, // B in 3, y's rows in 2
		{"vec4_16x8_packed", []Shape{{60, 128}, {60, 64}}, TN, []string{"matmul_pack.vec4", "matmul_vec4.16x8_ta"}},
		{"texel_16x8_split", []Shape{{2, 1024}, {4, 1024}}, NT, []string{"matmul_texel.16x8", "matmul_sum"}},
	} {
		n := trialNode(t, opMatMul, Case{In: c.in, Attr: MatMul{Form: c.form}})
		k := kernelNamed(t, opMatMul, c.variant)
		if !k.Fits(n, l) {
			t.Errorf("%s does not fit %v", c.variant, c.in)
			continue
		}
		for i, one := range k.Launch(n, l) {
			if i >= len(c.want) || one.Shader != c.want[i] || one.Ordered != (i > 0) {
				t.Errorf("%s: launch %d is %s, ordered %v", c.variant, i, one.Shader, one.Ordered)
			}
		}
	}
}

func kernelNamed(t *testing.T, op *Op, name string) *Kernel {
	t.Helper()
	for i := range op.Kernels {
		if op.Kernels[i].Name == name {
			return &op.Kernels[i]
		}
	}
	t.Fatalf("%s has no kernel %s", op.Name, name)
	return nil
}

// TestWorkspaceIsPlanned: what a kernel may use besides its tensors lies in the arena, apart from all that is alive, and a
// node waits for whoever used it before.
func TestWorkspaceIsPlanned(t *testing.T) {
	x, w := NewTensor(State, "x", F32, 256, 64), NewTensor(State, "w", F32, 64, 64)
	r := NewRecorder()
	h := r.MatMul(x, w, NT)
	r.MatMul(x, w, NN)
	r.MatMul(h, w, NT)
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range p.Nodes {
		if n.Workspace == nil || n.Workspace.Len() != 64*128 {
			t.Fatalf("node %d has the workspace %v", i, n.Workspace)
		}
		ws := p.span(n.Workspace, true)
		if ws.b > p.Arena*elementBytes {
			t.Errorf("node %d: workspace to byte %d of an arena of %d words", i, ws.b, p.Arena)
		}
		for _, other := range append([]*Tensor{h}, n.Out...) {
			if s := p.span(other, true); conflict([]span{ws}, []span{s}) {
				t.Errorf("node %d: its workspace lies in %v", i, other)
			}
		}
	}
	if a, b := p.span(p.Nodes[0].Workspace, true), p.span(p.Nodes[1].Workspace, true); conflict([]span{a}, []span{b}) && !p.Barrier[1] {
		t.Error("nodes 0 and 1 share a workspace and nothing waits")
	}
}
