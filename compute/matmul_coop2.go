package compute

import "fmt"

// flexible is the device's entry for matrices of a type that divide into such parts, of a subgroup or of a workgroup.
func (l *Limits) flexible(in DType, ofWorkgroup bool, m, n, k int) (FlexibleMatrix, bool) {
	for _, f := range l.Flexible {
		fits := m%f.M == 0 && n%f.N == 0 && k%f.K == 0 && max(m, n, k) <= f.MaxDimension
		if f.In == in && fits && (f.Workgroup > 0) == ofWorkgroup && f.Workgroup <= l.MaxGroup {
			return f, true
		}
	}
	return FlexibleMatrix{}, false
}

// workgroupTiles are the matrices of a workgroup that are tried, m x n results, k at a time.
var workgroupTiles = []coopTile{{m: 128, n: 256, k: 64}, {m: 128, n: 128, k: 64}, {m: 64, n: 64, k: 64}}

// subgroupTiles are those of which each subgroup owns one matrix.
var subgroupTiles = []coopTile{{128, 128, 32, 256, 1}, {64, 64, 32, 128, 1}}

// coop2Kernels lists the variants by matrices of any size (VK_NV_cooperative_matrix2), best guess first.
func coop2Kernels() (list []Kernel) {
	for _, t := range workgroupTiles {
		list = append(list, Kernel{
			Name: fmt.Sprintf("coop2_%dx%dx%d", t.m, t.n, t.k),
			Fits: func(n *Node, l *Limits) bool {
				_, ok := l.flexible(n.In[0].DType, true, t.m, t.n, t.k)
				return ok
			},
			Launch: func(n *Node, l *Limits) []Launch {
				f, _ := l.flexible(n.In[0].DType, true, t.m, t.n, t.k)
				return matmulShader{
					name: "matmul_coop2.workgroup_" + n.In[0].DType.String(), rows: t.m, cols: t.n, group: f.Workgroup, subgroup: true,
					maxIn: l.MaxRange, spec: append(transposed(n), words(t.m, t.n, t.k)...),
				}.launches(n, l)
			},
		})
	}
	for _, t := range subgroupTiles {
		list = append(list, Kernel{
			Name: fmt.Sprintf("coop2_subgroup_%dx%dx%d", t.m, t.n, t.k),
			Fits: func(n *Node, l *Limits) bool {
				m := n.Attr.(MatMul)
				if !m.A.aligned(n.In[0], 8) || !m.B.aligned(n.In[1], 8) {
					return false
				}
				_, _, ok := t.flexibleSplit(n.In[0].DType, l)
				return ok && t.shared(Matrix{}, l) <= l.Shared
			},
			Launch: func(n *Node, l *Limits) []Launch {
				wm, wn, _ := t.flexibleSplit(n.In[0].DType, l)
				return matmulShader{
					name: "matmul_coop2." + n.In[0].DType.String(), rows: t.m, cols: t.n, group: t.group(l), subgroup: true, maxIn: l.MaxRange,
					spec: append(transposed(n), words(t.m, t.n, t.k, wm, wn, t.pad)...),
				}.launches(n, l)
			},
		})
	}
	return list
}

// flexibleSplit divides a tile among the subgroups, each part one matrix.
func (t coopTile) flexibleSplit(in DType, l *Limits) (wm, wn int, ok bool) {
	f, ok := l.flexible(in, false, t.m, t.n, t.k)
	if !ok {
		return 0, 0, false
	}
	return t.split(f.Matrix, l)
}
