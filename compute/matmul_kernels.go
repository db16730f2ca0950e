package compute

import "fmt"

// matmulKernels lists the variants of the matrix product, best guess first.
//
//   - texel: both operands through texel buffers, A handed round by subgroup shuffle, one subgroup per workgroup and no
//     barrier. Made for devices that are a CPU, where a texel fetch is vectorised and a barrier is dear.
//   - vec4: the same tile from storage buffers, for the drivers that vectorise those loads.
//   - tiled: both operands staged in workgroup memory, 4x4 results per invocation. Made for GPUs.
//   - plain: a 4x4 register tile per invocation, any shape, any device.
func matmulKernels() []Kernel {
	var list []Kernel
	for _, t := range []struct{ rows, cols int }{{16, 2}, {32, 1}, {32, 2}, {8, 2}, {8, 1}} {
		list = append(list, subgroupMatmul("texel", t.rows, t.cols))
	}
	list = append(list, subgroupMatmul("vec4", 8, 2), subgroupMatmul("vec4", 16, 2))
	return append(list, Kernel{
		Name: "tiled", Fits: func(_ *Node, l *Limits) bool { return !l.CPU && l.MaxGroup >= 256 && l.Shared >= 16<<10 },
		Launch: func(n *Node, l *Limits) []Launch {
			return matmulLaunches(n, l.MaxRange, l.MaxRange, 64, 64, "matmul_tiled"+byWidth(n), anyTypeSpec(n, 256), false)
		},
	}, Kernel{
		Name: "plain", Launch: func(n *Node, l *Limits) []Launch {
			return matmulLaunches(n, l.MaxRange, l.MaxRange, 4, 4*int(l.tileGroup()), "matmul"+byWidth(n), anyTypeSpec(n, int(l.tileGroup())), false)
		},
	})
}

// byWidth is the suffix of the module that reads operands of the node's type.
func byWidth(n *Node) string {
	if n.In[0].DType.Half() {
		return ".half"
	}
	return ".float"
}

// anyTypeSpec are the constants of a module that comes for operands of each type.
func anyTypeSpec(n *Node, group int) []uint32 {
	f := n.Attr.(Form)
	return []uint32{uint32(group), flagWord(f == TN), flagWord(f == NT), halfWord(n.In[0].DType)}
}

// subgroupMatmul is the variant, by texel or vec4 loads, whose lanes each hold rows x 4 cols results.
func subgroupMatmul(loads string, rows, cols int) Kernel {
	return Kernel{
		Name: fmt.Sprintf("%s_%dx%d", loads, rows, 4*cols),
		Fits: func(n *Node, l *Limits) bool {
			m, w, k, _ := n.Attr.(Form).dims(n.In[0].Shape, n.In[1].Shape)
			// Loads take four elements along each operand's rows; eight lanes hold the texels of eight rows of A.
			aligned := w%4 == 0 && n.In[0].Shape[1]%4 == 0 && n.In[1].Shape[1]%4 == 0
			return n.In[0].DType == F32 && aligned && k > 0 && m > 0 && l.Subgroup >= 8 && l.MaxTexel > 0
		},
		Launch: func(n *Node, l *Limits) []Launch {
			f := n.Attr.(Form)
			spec := []uint32{uint32(l.Subgroup), flagWord(f == NT)}
			shader := fmt.Sprintf("matmul_%s.%dx%d", loads, rows, 4*cols)
			if f == TN {
				shader += "_ta"
			}
			maxIn := l.MaxRange
			if loads == "texel" {
				maxIn = l.MaxTexel
			}
			return matmulLaunches(n, maxIn, l.MaxRange, rows, 4*cols*l.Subgroup, shader, spec, true)
		},
	}
}

// tileGroup is the workgroup of the plain register tile: a subgroup's worth on a CPU, which gains nothing from more.
func (l *Limits) tileGroup() uint32 {
	if l.CPU {
		return uint32(l.Subgroup)
	}
	return 64
}
