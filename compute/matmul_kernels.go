package compute

import "fmt"

// matmulKernels lists the variants of the matrix product, best guess first.
//
//   - texel: both operands through texel buffers, the spread of A by subgroup broadcast, one subgroup per workgroup and no
//     barrier. Made for devices that are a CPU, where a texel fetch is vectorised and a barrier is dear.
//   - tiled: both operands staged in workgroup memory, 4x4 results per invocation. Made for GPUs.
//   - plain: one invocation per 4 results, any shape, any device.
func matmulKernels() []Kernel {
	var list []Kernel
	for _, t := range []struct{ rows, cols int }{{8, 1}, {8, 2}, {4, 2}, {4, 1}} {
		list = append(list, texelMatmul(t.rows, t.cols))
	}
	return append(list, Kernel{
		Name: "tiled", Fits: func(_ *Node, l *Limits) bool { return !l.CPU && l.MaxGroup >= 256 && l.Shared >= 16<<10 },
		Launch: func(n *Node, l *Limits) []Launch {
			f := n.Attr.(Form)
			return matmulLaunches(n, l.MaxRange, l.MaxRange, 64, 64, "matmul_tiled", []uint32{256, flagWord(f == TN), flagWord(f == NT)}, false)
		},
	}, Kernel{
		Name: "plain", Launch: func(n *Node, l *Limits) []Launch {
			f := n.Attr.(Form)
			return matmulLaunches(n, l.MaxRange, l.MaxRange, 4, 64, "matmul", []uint32{64, flagWord(f == TN), flagWord(f == NT)}, false)
		},
	})
}

// texelMatmul is the variant whose lanes each hold rows x 4 cols results.
func texelMatmul(rows, cols int) Kernel {
	return Kernel{
		Name: fmt.Sprintf("texel_%dx%d", rows, 4*cols),
		Fits: func(n *Node, l *Limits) bool {
			m, w, k, _ := n.Attr.(Form).dims(n.In[0].Shape, n.In[1].Shape)
			// Texels are four elements along each operand's rows; the lanes of a subgroup hold the texels of A.
			aligned := w%4 == 0 && n.In[0].Shape[1]%4 == 0 && n.In[1].Shape[1]%4 == 0
			return aligned && k > 0 && m > 0 && l.Subgroup >= rows && l.MaxTexel > 0
		},
		Launch: func(n *Node, l *Limits) []Launch {
			f := n.Attr.(Form)
			spec := []uint32{uint32(l.Subgroup), flagWord(f == NT)}
			shader := fmt.Sprintf("matmul_texel.%dx%d", rows, 4*cols)
			if f == TN {
				shader += "_ta"
			}
			return matmulLaunches(n, l.MaxTexel, l.MaxRange, rows, 4*cols*l.Subgroup, shader, spec, true)
		},
	}
}
