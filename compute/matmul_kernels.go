package compute

import "fmt"

// matmulKernels lists the variants of the matrix product, best guess first.
//
//   - texel: both operands through texel buffers, A handed round by subgroup shuffle, one subgroup per workgroup and no
//     barrier. Made for devices that are a CPU, where a texel fetch is vectorised and a barrier is dear.
//   - vec4: the same tile from storage buffers, for the drivers that vectorise those loads.
//   - packed: one of these on a copy of B in panels as wide as its tile, which reads memory in one run where rows of B fall
//     into the same few sets of a cache, and spares B^T its strided reads.
//   - split: one of these on parts of K side by side, where the result has too few tiles for the cores; then their sum.
//   - tiled: both operands staged in workgroup memory, 4x4 results per invocation. Made for GPUs.
//   - plain: a 4x4 register tile per invocation, any shape, any device.
func matmulKernels() []Kernel {
	var list []Kernel
	for _, t := range []struct{ rows, cols int }{{16, 2}, {32, 1}, {32, 2}, {8, 2}, {8, 1}} {
		list = append(list, subgroupMatmul("texel", t.rows, t.cols))
	}
	list = append(list, packedMatmul("texel", 16, 2), splitMatmul("texel", 16, 2), splitMatmul("texel", 8, 1))
	list = append(list, subgroupMatmul("vec4", 8, 2), subgroupMatmul("vec4", 16, 2), packedMatmul("vec4", 16, 2), splitMatmul("vec4", 8, 2))
	return append(list, Kernel{
		Name: "tiled", Fits: func(_ *Node, l *Limits) bool { return !l.CPU && l.MaxGroup >= 256 && l.Shared >= 16<<10 },
		Launch: func(n *Node, l *Limits) []Launch {
			return matmulShader{name: "matmul_tiled" + byWidth(n), rows: 64, cols: 64, group: 256, spec: anyType(n), maxIn: l.MaxRange}.launches(n, l)
		},
	}, Kernel{
		Name: "plain", Launch: func(n *Node, l *Limits) []Launch {
			group := l.tileGroup()
			return matmulShader{name: "matmul" + byWidth(n), rows: 4, cols: 4 * group, group: group, spec: anyType(n), maxIn: l.MaxRange}.launches(n, l)
		},
	})
}

// subgroupShader is the shader, by texel or vec4 loads, whose lanes each hold rows x 4 cols results.
func subgroupShader(n *Node, l *Limits, loads string, rows, cols int) matmulShader {
	s := matmulShader{
		name: fmt.Sprintf("matmul_%s.%dx%d", loads, rows, 4*cols), rows: rows, cols: 4 * cols * l.Subgroup,
		group: l.Subgroup, subgroup: true, texel: loads == "texel", spec: transposed(n)[:1], maxIn: l.MaxRange,
	}
	if n.Attr.(MatMul).Form == TN {
		s.name += "_ta"
	}
	if s.texel {
		s.maxIn = l.MaxTexel
	}
	return s
}

// fitsSubgroup says whether such a shader can run the node: loads take four elements along each operand's rows; eight
// lanes hold the texels of eight rows of A.
func fitsSubgroup(n *Node, l *Limits, loads string, rows, cols int) bool {
	m := n.Attr.(MatMul)
	// A CPU's driver spills to its first-level cache; a GPU has 128 to 255 registers for an invocation, and memory far away.
	registers := l.CPU || rows*4*cols <= 64
	_, _, width, k := m.dims(n.In[0].Shape, n.In[1].Shape)
	aligned := width%4 == 0 && m.A.aligned(n.In[0], 4) && m.B.aligned(n.In[1], 4)
	return n.In[0].DType == F32 && aligned && registers && n.Out[0].Len() > 0 && k > 0 && l.Subgroup >= 8 && (loads != "texel" || l.MaxTexel > 0 && l.Int64)
}

func subgroupMatmul(loads string, rows, cols int) Kernel {
	return Kernel{
		Name: fmt.Sprintf("%s_%dx%d", loads, rows, 4*cols),
		Fits: func(n *Node, l *Limits) bool { return fitsSubgroup(n, l, loads, rows, cols) },
		Launch: func(n *Node, l *Limits) []Launch {
			return subgroupShader(n, l, loads, rows, cols).launches(n, l)
		},
	}
}

// packedMatmul is subgroupMatmul on a copy of B, made by another launch, that suits it.
func packedMatmul(loads string, rows, cols int) Kernel {
	return Kernel{
		Name: fmt.Sprintf("%s_%dx%d_packed", loads, rows, 4*cols),
		Fits: func(n *Node, l *Limits) bool {
			p, s := productOf(n), subgroupShader(n, l, loads, rows, cols)
			return fitsSubgroup(n, l, loads, rows, cols) && p.packs() && p.workspace != nil && s.cols <= maxPanel && min(p.workspace.Len(), s.maxIn) >= p.k*s.cols
		},
		Launch: func(n *Node, l *Limits) []Launch {
			s := subgroupShader(n, l, loads, rows, cols)
			s.spec = []uint32{0} // the copy is not transposed
			return s.packed(productOf(n), l, loads)
		},
	}
}

// splitMatmul is subgroupMatmul over parts of a long K, for results of few tiles.
func splitMatmul(loads string, rows, cols int) Kernel {
	return Kernel{
		Name: fmt.Sprintf("%s_%dx%d_split", loads, rows, 4*cols),
		Fits: func(n *Node, l *Limits) bool {
			p, s := productOf(n), subgroupShader(n, l, loads, rows, cols)
			return fitsSubgroup(n, l, loads, rows, cols) && s.splits(p, l, 16)
		},
		Launch: func(n *Node, l *Limits) []Launch {
			return subgroupShader(n, l, loads, rows, cols).split(productOf(n), l)
		},
	}
}

// aligned says that the columns of a matrix are whole groups of so many elements.
func (c Columns) aligned(t *Tensor, group int) bool {
	_, _, width := c.of(t.Shape)
	return width%group == 0 && c.From%group == 0 && t.Shape[len(t.Shape)-1]%group == 0
}

// byWidth is the suffix of the module that reads operands of the node's type.
func byWidth(n *Node) string {
	if n.In[0].DType.Half() {
		return ".half"
	}
	return ".float"
}

// anyType are the constants from 2 on of a module that comes for operands of each type.
func anyType(n *Node) []uint32 { return append(transposed(n), halfWord(n.In[0].DType)) }

// transposed are the shaders' constants 2 and 3: is B, is A stored transposed?
func transposed(n *Node) []uint32 {
	f := n.Attr.(MatMul).Form
	return []uint32{flagWord(f == NT), flagWord(f == TN)}
}

// tileGroup is the workgroup of the plain register tile: a subgroup's worth on a CPU, which gains nothing from more.
func (l *Limits) tileGroup() int {
	if l.CPU {
		return l.Subgroup
	}
	return 64
}
