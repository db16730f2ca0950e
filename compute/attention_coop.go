package compute

import "slices"

// coopPass is a pass of attention by cooperative matrices (shaders/attention_coop.glsl).
type coopPass struct {
	ownKeys bool
	sums    int // rows of a head that a subgroup sums up in registers for each own row
	held    int // rows of a head that it keeps there as operands
	// shared is the workgroup memory for so many rows met at once, in bytes.
	shared func(t coopRows) int
}

// coopRows are the sizes of a workgroup: coopSubgroups of them own rows rows and meet step at once.
type coopRows struct {
	Matrix
	rows, step, dh int
}

const coopSubgroups = 4

var coopForward = coopPass{sums: 1, held: 1, shared: func(t coopRows) int {
	return t.heads(max(t.rows, t.step)) + t.scores() + t.between()
}}

// The passes of the gradient stage rows of two heads, and keep scores and products as float32.
var (
	coopGradQ = coopPass{sums: 1, held: 2, shared: func(t coopRows) int {
		return t.heads(max(t.rows, 2*t.step)) + 2*t.scores() + t.between()
	}}
	coopGradKV = coopPass{ownKeys: true, sums: 2, held: 1, shared: func(t coopRows) int {
		return t.heads(t.rows+2*t.step) + 2*t.scores() + 2*t.between() + 4*elementBytes*t.step
	}}
)

// scores is the memory of a product of own and other rows.
func (t coopRows) scores() int { return elementBytes * t.rows * (max(t.step, t.N) + 4) }

// heads is the memory of rows of a head, padded by 16 bytes each.
func (t coopRows) heads(rows int) int { return rows * 16 * (t.dh/8 + 1) }

// between is that of a matrix of 16-bit numbers between two products.
func (t coopRows) between() int { return elementBytes * t.rows * (t.step/2 + 4) }

// sizes picks how a device's workgroup works, with as many rows at once as its memory holds; false where it cannot.
func (p coopPass) sizes(n *Node, l *Limits) (t coopRows, ok bool) {
	a := n.Attr.(Attention)
	x, ok := l.matrix(n.In[0].DType)
	// Of each invocation; with the other operands, what is fetched ahead and addresses, NVK's and RADV's compilers just do
	// without spills. Operands take on 64 lanes as many as on 32, since some devices hold them twice, and some copies besides.
	const mostRegisters = 176
	if !ok || a.HeadSize < 32 || a.HeadSize%16 != 0 || a.HeadSize%x.N != 0 || a.HeadSize%x.K != 0 || x.K%8 != 0 || x.N%8 != 0 {
		return t, false
	}
	lanes := l.Subgroup
	registers := x.M * a.HeadSize * p.sums / lanes
	registers += x.M * a.HeadSize * p.held * 3 / 4 / min(lanes, 32)
	if lanes%x.M != 0 || registers > mostRegisters || coopSubgroups*lanes > l.MaxGroup {
		return t, false
	}
	t = coopRows{Matrix: x, rows: coopSubgroups * x.M, dh: a.HeadSize}
	steps := []int{64, 32, 16}
	if l.CPU || a.HeadSize > 128 { // a CPU's compiler takes minutes for the others, a GPU has no registers left to fetch them
		steps = steps[2:]
	}
	for _, t.step = range steps {
		if t.step%x.N == 0 && t.step%x.K == 0 && t.step%(2*lanes/x.M) == 0 && p.shared(t) <= l.Shared {
			return t, true
		}
	}
	return t, false
}

// kernels is the variant.
func (p coopPass) kernels(shader string, bind func(n *Node, own, other [2]int) []*Tensor) []Kernel {
	heads := func(a Attention) int {
		if p.ownKeys {
			return a.KVHeads
		}
		return a.Heads
	}
	return []Kernel{{
		Name: "coop",
		Fits: func(n *Node, l *Limits) bool {
			t, ok := p.sizes(n, l)
			a := n.Attr.(Attention)
			if !ok || l.CPU && ceilDiv(a.T, t.step)*a.Heads/heads(a) > maxLoopTrips {
				return false
			}
			for _, x := range slices.Concat(n.In, n.Out) { // all are bound whole
				if x.bytes() > elementBytes*int64(l.MaxRange) {
					return false
				}
			}
			return true
		},
		Launch: func(n *Node, l *Limits) []Launch {
			t, _ := p.sizes(n, l)
			a, rows := n.Attr.(Attention), n.In[0].Shape[0]
			blocks, seqs, whole := ceilDiv(a.T, t.rows), rows/a.T, [2]int{0, rows}
			return []Launch{{
				Shader: shader + "_coop." + n.In[0].DType.String(), Subgroup: true, Bind: bind(n, whole, whole),
				Spec: append(words(coopSubgroups*l.Subgroup, a.HeadSize, t.M, t.N, t.K, t.step), halfWord(n.In[0].DType)),
				Push: words(a.T, a.Heads, a.KVHeads, a.width(), 0, rows, 0, rows, 0, seqs, blocks, int(flagWord(spansOf(n) != nil))),
				Grid: gridFor(heads(a)*seqs*blocks, 1, l),
			}}
		},
	}}
}
