package compute

import "slices"

// maxVocabulary bounds the rows of the operations on the vocabulary: with any more, loops of the variants that run
// everywhere would be longer than maxLoopTrips.
const maxVocabulary = 1 << 19

// maxLoopTrips is how many iterations the loops of one invocation may make together: a CPU device counts them and leaves
// the shader, silently, at 65535, and was seen to do so earlier.
const maxLoopTrips = 16 << 10

// rowForm is one way to build and to launch a shader that includes shaders/wide.glsl and gives each long row a workgroup.
type rowForm struct {
	name, module string
	width        int  // elements at a time, WIDE
	subgroup     bool // the workgroup is one subgroup, which needs no barrier: for devices that are a CPU
}

// rowForms lists them, best guess first.
//
//   - texel: one subgroup per row, four elements at a time as shaders/wide.glsl has them for texels.
//   - subgroup: the same with single loads, for an odd row length.
//   - workgroup_vec4, workgroup: a wide workgroup per row. For GPUs, and for rows too long for one subgroup; the last one
//     runs everywhere.
var rowForms = []rowForm{
	{"texel", "texel", 4, true},
	{"subgroup", "plain", 1, true},
	{"workgroup_vec4", "vec4", 4, false},
	{"workgroup", "plain", 1, false},
}

// rowKernels makes the variants of an operation on the rows of its first input, one per form. trips is how many iterations
// the loops of an invocation make at most, where one pass over a row takes it steps iterations.
func rowKernels(trips func(n *Node, f rowForm, l *Limits, steps int) int, launch func(n *Node, l *Limits, f rowForm) []Launch) []Kernel {
	list := make([]Kernel, len(rowForms))
	for i, f := range rowForms {
		list[i] = Kernel{
			Name: f.name,
			Fits: func(n *Node, l *Limits) bool {
				rows, v := n.In[0].Shape[0], lastDim(n)
				if v%f.width != 0 || f.module == "texel" && (!l.Int64 || min(rows, alignElements)*v > f.maxRange(l)) {
					return false
				}
				return !f.subgroup || l.CPU && trips(n, f, l, ceilDiv(v, f.width*l.Subgroup)) <= maxLoopTrips
			},
			Launch: func(n *Node, l *Limits) []Launch { return launch(n, l, f) },
		}
	}
	list[len(list)-1].Fits = nil
	return list
}

// lanes is the workgroup's size: every device allows 128, most 256.
func (f rowForm) lanes(l *Limits) int {
	switch {
	case f.subgroup:
		return l.Subgroup
	case l.MaxGroup >= 256:
		return 256
	}
	return 128
}

// maxRange is the most elements of one binding.
func (f rowForm) maxRange(l *Limits) int {
	if f.module == "texel" {
		return min(l.MaxRange, l.MaxTexel)
	}
	return l.MaxRange
}

// launches covers the node's rows in windows that a device can bind. spec are the specialization constants from 2 on, push the
// push constants after N and V, and bind gives the tensors of rows i to j.
func (f rowForm) launches(n *Node, l *Limits, shader string, spec, push []uint32, bind func(i, j int) []*Tensor) (list []Launch) {
	rows, widest := n.In[0].Shape[0], 1
	for _, t := range slices.Concat(n.In, n.Out) {
		if t.Shape[0] == rows {
			widest = max(widest, Shape(t.Shape[1:]).Size())
		}
	}
	for _, w := range windows(rows, widest, f.maxRange(l)) {
		list = append(list, Launch{
			Shader: shader + "." + f.module, Subgroup: f.subgroup, Bind: bind(w[0], w[1]), Grid: gridFor(w[1]-w[0], 1, l),
			Spec: append([]uint32{uint32(f.lanes(l)), flagWord(f.subgroup)}, spec...),
			Push: append(words(w[1]-w[0], lastDim(n)), push...),
		})
	}
	return list
}
