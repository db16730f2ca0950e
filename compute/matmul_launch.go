package compute

// matmulShader is a shader of the matrix product and what one of its workgroups makes.
type matmulShader struct {
	name       string
	rows, cols int // of results
	group      int // invocations
	subgroup   bool
	texel      bool     // addend and result are read as texels too; one more constant: rows can be stored by eights
	spec       []uint32 // constants from 2 on
	maxIn      int      // elements of an operand that it binds at once
}

// The bits of constant 1, what becomes of a sum; shaders/matmul.glsl has the same.
const (
	epilogueAddend = 1 << iota
	epilogueBias
	epilogueSiLU
	epilogueGELU
	epilogueResume
	epilogueGates
)

// block is a part of a matrix product whose operands a device can bind: rows m, columns n, inner k, each [from, to).
type block struct{ m, n, k [2]int }

// blocks cuts a product along M, N and K so that no storage binding exceeds maxOut (result, addend) or maxIn (operands)
// elements, given the lengths of stored rows, and no stretch of K maxK. Only the slow dimension of a stored matrix makes its
// binding smaller.
func blocks(f Form, m, n, k, lda, ldb, maxIn, maxOut, maxK int) []block {
	ms, ns, ks := maxOut/n, n, min(k, maxK)
	if f == TN {
		ks = min(ks, maxIn/lda)
	} else {
		ms = min(ms, maxIn/lda)
	}
	if f == NT {
		ns = min(ns, maxIn/ldb)
	} else {
		ks = min(ks, maxIn/ldb)
	}
	cut := func(total, step int) [][2]int {
		if step >= total {
			return [][2]int{{0, total}}
		}
		return windows(total, 1, step)
	}
	var list []block
	for _, mw := range cut(m, ms) {
		for _, nw := range cut(n, ns) {
			for _, kw := range cut(k, ks) {
				list = append(list, block{mw, nw, kw})
			}
		}
	}
	return list
}

// product is a matrix product with what its launches bind.
type product struct {
	MatMul
	batch, m, n, k        int
	a, b, y               *Tensor
	addend, bias, pre     *Tensor // nil: none
	gates                 *Tensor // nil: none; else pre is y
	lda, ldb, ldy         int     // elements of a stored row
	itemA, itemB, itemOut int     // elements of an item of the batch
	workspace             *Tensor // nil: none
}

func productOf(n *Node) product {
	m := n.Attr.(MatMul)
	p := product{MatMul: m, a: n.In[0], b: n.In[1], y: n.Out[0], addend: n.AddendOr(nil), workspace: n.Workspace}
	p.batch, p.m, p.n, p.k = m.dims(p.a.Shape, p.b.Shape)
	p.lda, p.ldb = p.a.Shape[len(p.a.Shape)-1], p.b.Shape[len(p.b.Shape)-1]
	p.ldy = p.y.Shape[len(p.y.Shape)-1]
	p.itemA, p.itemB, p.itemOut = p.a.Len()/p.batch, p.b.Len()/p.batch, p.m*p.ldy
	if m.Bias {
		p.bias = n.In[2]
	}
	if m.Act != NoActivation {
		p.pre = n.Out[1]
	}
	if m.Gates {
		p.gates, p.pre = n.In[2], p.y
	}
	return p
}

// launches makes the dispatches of a node.
func (s matmulShader) launches(n *Node, l *Limits) (list []Launch) {
	p := productOf(n)
	maxIn, maxOut, items := s.maxIn, s.maxOut(l), p.batch
	if p.batch > 1 { // as many items at once as a device binds; they may start between two alignments
		maxIn, maxOut = maxIn-alignElements, maxOut-alignElements
		items = max(1, min(items, maxIn/max(p.itemA, p.itemB), maxOut/p.itemOut, maxItems))
	}
	for z := 0; z < p.batch; z += items {
		for _, b := range blocks(p.Form, p.m, p.n, p.k, p.lda, p.ldb, maxIn, maxOut*p.n/p.ldy, s.maxStretch(p.k, l)) {
			list = append(list, s.launch(p, b, z, min(items, p.batch-z)))
		}
	}
	return list
}

// maxOut is the most elements of the result that a launch may bind.
func (s matmulShader) maxOut(l *Limits) int {
	if s.texel {
		return min(l.MaxRange, l.MaxTexel)
	}
	return l.MaxRange
}

// maxStretch is how much of K a launch may take: the gradient at the hidden states sums over the vocabulary, which is longer than
// the loops of a CPU device may be.
func (s matmulShader) maxStretch(k int, l *Limits) int {
	switch {
	case !l.CPU:
		return k
	case s.subgroup: // these take four at a time, or more
		return 4 * maxLoopTrips
	}
	return maxLoopTrips
}

// maxItems bounds the grid's z, as every Vulkan device does at least.
const maxItems = 65535

// launch is one block of items z on.
func (s matmulShader) launch(p product, b block, z, items int) Launch {
	ra, ca, rb, cb := p.stored(b)
	tileB := s.cols // from one tile's columns of B to the next
	if p.Form == NT {
		tileB *= p.ldb
	}
	at := func(t *Tensor, item, width int, rows [2]int) (*Tensor, int) {
		from, to := z*item+rows[0]*width, (z+items-1)*item+rows[1]*width
		each := alignElements * elementBytes / t.Storage.width()
		start := from / each * each
		return t.View(start, to-start), from - start
	}
	aw, a0 := at(p.a, p.itemA, p.lda, ra)
	bw, b0 := at(p.b, p.itemB, p.ldb, rb)
	yw, y0 := at(p.y, p.itemOut, p.ldy, b.m)
	l := Launch{
		Shader: s.name, Subgroup: s.subgroup, Ordered: b.k[0] > 0,
		Push: words(b.m[1]-b.m[0], b.n[1]-b.n[0], b.k[1]-b.k[0], p.lda, p.ldb, p.ldy,
			a0+p.A.From+ca, b0+p.B.From+cb, y0+b.n[0], b.n[0], p.itemA, p.itemB, p.itemOut, items*(b.k[1]-b.k[0]), tileB),
		Bind: []*Tensor{aw, bw, yw, yw, yw, yw}, // what the epilogue does not touch must be bound nevertheless
		Grid: [3]int{ceilDiv(b.m[1]-b.m[0], s.rows), ceilDiv(b.n[1]-b.n[0], s.cols), items},
	}
	out := func(t *Tensor) *Tensor { w, _ := at(t, p.itemOut, p.ldy, b.m); return w }
	l.Spec = append(words(s.group, p.epilogue(b, l.Bind, out)), s.spec...)
	if s.texel {
		l.Bind = append(l.Bind, yw)
		l.Spec = append(l.Spec, flagWord((b.n[1]-b.n[0])%8 == 0 && b.n[0]%8 == 0 && p.n%8 == 0))
	}
	return l
}

// stored is a block as a run of rows of each stored matrix plus a column offset within them.
func (p product) stored(b block) (rowsA [2]int, colA int, rowsB [2]int, colB int) {
	rowsA, colA, rowsB, colB = b.m, b.k[0], b.k, b.n[0]
	if p.Form == TN {
		rowsA, colA = b.k, b.m[0]
	}
	if p.Form == NT {
		rowsB, colB = b.n, b.k[0]
	}
	return rowsA, colA, rowsB, colB
}

// epilogue binds what becomes of the sums of a block and gives constant 1. Where K is cut, the sums of its stretches add up
// in y, or below an activation in the place of the sums that are kept.
func (p product) epilogue(b block, bind []*Tensor, out func(*Tensor) *Tensor) (bits int) {
	first, last := b.k[0] == 0, b.k[1] == p.k
	if p.pre != nil && !last {
		bind[3] = out(p.pre)
	}
	switch {
	case !first && p.pre != nil && last:
		bits |= epilogueResume
	case !first:
		bind[2] = bind[3]
		return epilogueAddend
	}
	if p.pre != nil && !last {
		return bits
	}
	if p.bias != nil {
		bind[4], bits = p.bias, bits|epilogueBias
	}
	if p.gates != nil {
		bind[2], bind[5] = out(p.gates), out(p.pre)
		return bits | epilogueGates
	}
	if p.pre != nil {
		bind[5], bits = out(p.pre), bits|map[Activation]int{SiLU: epilogueSiLU, GELU: epilogueGELU}[p.Act]
	}
	if p.addend != nil {
		bind[2], bits = out(p.addend), bits|epilogueAddend
	}
	return bits
}
