package compute

import (
	"fmt"

	"saltern/compute/vk"
)

// Matrix is a shape of cooperative matrices that a device multiplies and sums in float32, one per subgroup: [M,K] by [K,N].
type Matrix struct {
	M, N, K int
	In      DType // F16 or BF16
}

// subgroupMatrices are the shapes of use here, in the driver's order, which is that of its preference. None where subgroups
// may vary in size: a matrix is spread over a whole one.
func subgroupMatrices(info vk.Info) []Matrix {
	if !info.SizeControl && info.SubgroupMin != info.SubgroupMax {
		return nil
	}
	var list []Matrix
	for _, m := range info.Matrices {
		if t, ok := halfProduct(info, m); ok && m.Scope == vk.SubgroupScope {
			list = append(list, Matrix{m.M, m.N, m.K, t})
		}
	}
	return list
}

// halfProduct is the 16-bit type that a combination multiplies and sums in float32; false if it is none of those.
func halfProduct(info vk.Info, m vk.Matrix) (DType, bool) {
	sums := m.B == m.A && m.C == vk.Float32 && m.Result == vk.Float32
	switch m.A {
	case vk.Float16:
		return F16, sums
	case vk.BFloat16:
		return BF16, sums && info.BFloat16
	}
	return 0, false
}

// FlexibleMatrix says which sizes of matrices a device multiplies beside its fixed ones: multiples of M, N and K. They belong
// to a subgroup, or to a workgroup of exactly Workgroup invocations.
type FlexibleMatrix struct {
	Matrix
	Workgroup    int
	MaxDimension int
}

// flexibleMatrices are those of use here.
func flexibleMatrices(info vk.Info) []FlexibleMatrix {
	var list []FlexibleMatrix
	for _, m := range info.Matrices2 {
		if t, ok := halfProduct(info, m); ok && (m.Scope == vk.SubgroupScope || m.Group > 0) {
			list = append(list, FlexibleMatrix{Matrix{m.M, m.N, m.K, t}, m.Group, info.Matrix2Limits.MaxDimension})
		}
	}
	return list
}

// matrix is the device's preferred shape for inputs of a type.
func (l *Limits) matrix(in DType) (Matrix, bool) {
	for _, m := range l.Matrices {
		if m.In == in {
			return m, true
		}
	}
	return Matrix{}, false
}

// coopTile is the tile of a workgroup of so many invocations: m x n results, k at a time, rows padded by pad times 16 bytes.
type coopTile struct{ m, n, k, threads, pad int }

// coopTiles are those that are tried: large ones need many results to fill a device, small ones read their operands oftener.
// What padding pays differs between drivers.
var coopTiles = []coopTile{{128, 128, 32, 256, 1}, {128, 128, 32, 256, 0}, {64, 64, 32, 128, 1}, {32, 32, 32, 64, 1}}

// coopKernels lists the variants by cooperative matrices, best guess first.
func coopKernels() []Kernel {
	list := make([]Kernel, len(coopTiles))
	for i, t := range coopTiles {
		list[i] = Kernel{
			Name: fmt.Sprintf("coop_%dx%dx%d_pad%d", t.m, t.n, t.k, t.pad),
			Fits: func(n *Node, l *Limits) bool {
				x, ok := l.matrix(n.In[0].DType)
				m := n.Attr.(MatMul)
				if !ok || !m.A.aligned(n.In[0], 8) || !m.B.aligned(n.In[1], 8) {
					return false // operands are read eight at a time
				}
				_, _, ok = t.split(x, l)
				return ok && t.shared(x, l) <= l.Shared
			},
			Launch: func(n *Node, l *Limits) []Launch {
				x, _ := l.matrix(n.In[0].DType)
				wm, wn, _ := t.split(x, l)
				return matmulShader{
					name: "matmul_coop." + n.In[0].DType.String(), rows: t.m, cols: t.n, group: t.group(l), subgroup: true, maxIn: l.MaxRange,
					spec: append(transposed(n), words(x.M, x.N, x.K, t.m, t.n, t.k, wm, wn, t.pad)...),
				}.launches(n, l)
			},
		}
	}
	return list
}

// subgroups is how many share the tile.
func (t coopTile) subgroups(l *Limits) int { return max(1, t.threads/l.Subgroup) }

func (t coopTile) group(l *Limits) int { return t.subgroups(l) * l.Subgroup }

// split divides the tile among the subgroups, as near to squares as can be, the longer side along M; false where the
// device's matrices do not fill the parts, or the sums would not fit into registers.
func (t coopTile) split(x Matrix, l *Limits) (wm, wn int, ok bool) {
	const mostSums = 128 // per invocation
	for rows := 1; rows <= t.subgroups(l); rows *= 2 {
		m, n := t.m/rows, t.n*rows/t.subgroups(l)
		if m%x.M != 0 || n%x.N != 0 || m == 0 || n == 0 || ok && m < n {
			continue
		}
		wm, wn, ok = m, n, true
	}
	return wm, wn, ok && t.k%x.K == 0 && wm*wn <= mostSums*l.Subgroup && t.group(l) <= l.MaxGroup
}

// shared is the workgroup memory of the larger form, in bytes: two slices and a matrix of each subgroup.
func (t coopTile) shared(x Matrix, l *Limits) int {
	slice := func(rows int) int { return 16 * max(rows*(t.k/8+t.pad), t.k*(rows/8+t.pad)) }
	return slice(t.m) + slice(t.n) + elementBytes*t.subgroups(l)*x.M*x.N
}
