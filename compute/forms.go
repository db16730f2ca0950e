package compute

import "slices"

// form is one way to build and to launch a shader that includes shaders/wide.glsl: which of its three modules, and how wide
// a workgroup is.
type form struct {
	name, module string
	wide         bool // the module reads four elements at a time
	subgroup     bool // a workgroup is one subgroup, which needs no barrier; else formGroup invocations
	cpu          bool // of use only where the device is a CPU
}

// formGroup is the workgroup of the forms that are not one subgroup.
const formGroup = 128

// forms lists them, best guess first.
var forms = []form{
	{"texel", "texel", true, true, true},
	{"vec4", "vec4", true, false, false},
	{"vec4_subgroup", "vec4", true, true, false},
	{"subgroup", "plain", false, true, true},
	{"plain", "plain", false, false, false},
}

// formKernels makes the variants of an operation, one per form. width is the row length that must be a multiple of four
// for the wide ones.
func formKernels(width func(n *Node) int, launch func(n *Node, l *Limits, f form) []Launch) []Kernel {
	list := make([]Kernel, len(forms))
	for i, f := range forms {
		list[i] = Kernel{
			Name: f.name,
			Fits: func(n *Node, l *Limits) bool {
				if f.module == "texel" && (l.MaxTexel == 0 || !l.Int64) || f.cpu && !l.CPU {
					return false
				}
				return !f.wide || width(n)%4 == 0
			},
			Launch: func(n *Node, l *Limits) []Launch { return launch(n, l, f) },
		}
	}
	list[len(list)-1].Fits = nil
	return list
}

// lastDim is the row length of a node's first input.
func lastDim(n *Node) int { s := n.In[0].Shape; return s[len(s)-1] }

// lanes is the workgroup's size.
func (f form) lanes(l *Limits) int {
	if f.subgroup {
		return l.Subgroup
	}
	return formGroup
}

// elements is how many the module handles at a time: WIDE.
func (f form) elements() int {
	if f.wide {
		return 4
	}
	return 1
}

// stretch is how many elements a workgroup takes of what it goes through once: on a device that is a CPU so many that
// starting the workgroup costs little beside, elsewhere a few of each invocation, since many workgroups must hide each
// other's waiting.
func (f form) stretch(l *Limits) int {
	if l.CPU {
		return 4096
	}
	return 4 * f.elements() * f.lanes(l)
}

// paired is the specialization constant of shaders/runs.glsl, which only the texel module has.
func (f form) paired(width int) []uint32 {
	if f.module != "texel" {
		return nil
	}
	return []uint32{flagWord(width%f.run() == 0)}
}

// run is how many elements a lane of shaders/runs.glsl takes at once: RUN * WIDE.
func (f form) run() int {
	if f.module == "texel" {
		return 2 * f.elements()
	}
	return f.elements()
}

// rows is how many rows of so many elements a workgroup takes: a stretch of them, and a multiple of unit.
func (f form) rows(l *Limits, width, unit int) int {
	return max(1, f.stretch(l)/(width*unit)) * unit
}

// maxRange is the most elements of one binding.
func (f form) maxRange(l *Limits) int {
	if f.module == "texel" {
		return min(l.MaxRange, l.MaxTexel)
	}
	return l.MaxRange
}

// launch dispatches a number of workgroups of the shader; its own specialization constants start at 2.
func (f form) launch(l *Limits, shader string, groups int, spec, push []uint32, bind ...*Tensor) Launch {
	return Launch{
		Shader: shader + "." + f.module, Bind: bind, Push: push, Subgroup: f.subgroup,
		Spec: append([]uint32{uint32(f.lanes(l)), flagWord(f.subgroup)}, spec...), Grid: gridFor(groups, 1, l),
	}
}

// elementwise launches a shader whose tensors all have one length, a stretch of it per workgroup, over windows that the device
// can bind; its last specialization constant is shaders/runs.glsl's. It pushes the window's length and the stretch.
func (f form) elementwise(l *Limits, shader string, spec []uint32, tensors ...*Tensor) (list []Launch) {
	for _, w := range windows(tensors[0].Len(), 1, f.maxRange(l)) {
		size, chunk, bind := w[1]-w[0], f.stretch(l), make([]*Tensor, len(tensors))
		for i, t := range tensors {
			bind[i] = t.View(w[0], size)
		}
		list = append(list, f.launch(l, shader, ceilDiv(size, chunk), slices.Concat(spec, f.paired(size)), words(size, chunk), bind...))
	}
	return list
}

// words makes push constants of whole numbers.
func words(v ...int) []uint32 {
	list := make([]uint32, len(v))
	for i, x := range v {
		list[i] = uint32(x)
	}
	return list
}

// ceilDiv is the least number of parts of the given size that hold n.
func ceilDiv(n, size int) int { return (n + size - 1) / size }

func flagWord(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
