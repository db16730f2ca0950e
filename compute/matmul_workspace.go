package compute

// maxWorkspace bounds the memory that a matrix product may use besides its operands, in elements: 16 MiB.
const maxWorkspace = 4 << 20

// matmulWorkspace is what the packed and the split variants may use: the larger of a copy of B and of the parts of the result.
func matmulWorkspace(n *Node) int {
	p := productOf(n)
	if p.a.DType != F32 {
		return 0 // these variants read float32 only
	}
	size := 0
	if p.packs() {
		size = min(p.k*ceilDiv(p.n, maxPanel)*maxPanel, maxWorkspace)
	}
	if parts := p.parts(); parts > 1 {
		size = max(size, parts*p.m*p.n)
	}
	return size
}

// maxPanel is the widest panel of a packed B.
const maxPanel = 128

// packs says whether a copy of B may pay: there are rows enough to read it again and again.
func (p product) packs() bool { return p.batch == 1 && p.m >= 128 && p.n >= 32 && p.k >= 32 }

// The least length of a part of K, the most parts, and the largest result of which partial sums are worth their memory.
const (
	minPart     = 256
	maxParts    = 32
	maxSplitOut = maxWorkspace / 16
)

// parts is into how many stretches K may be split, by the shape alone: the order of the sums is part of the result.
func (p product) parts() int {
	if p.batch > 1 || p.m*p.n == 0 || p.m*p.n > maxSplitOut {
		return 1
	}
	return min(p.k/minPart, maxParts, maxWorkspace/(p.m*p.n))
}

// splits says whether the shader can run the product in parts, and has only few tiles else.
func (s matmulShader) splits(p product, l *Limits, few int) bool {
	return p.parts() > 1 && p.workspace != nil && ceilDiv(p.m, s.rows)*ceilDiv(p.n, s.cols) <= few &&
		p.parts()*p.m*p.n <= s.maxOut(l) && max(p.a.Len(), p.b.Len()) <= s.maxIn
}

// packed makes the dispatches of a product that first lays B out in panels as wide as the shader's tile, as much of it at a
// time as the workspace holds.
func (s matmulShader) packed(p product, l *Limits, loads string) (list []Launch) {
	room := min(p.workspace.Len(), s.maxIn)
	for _, whole := range blocks(p.Form, p.m, p.n, p.k, p.lda, p.ldb, s.maxIn, s.maxOut(l)*p.n/p.ldy, s.maxStretch(p.k, l)) {
		depth := whole.k[1] - whole.k[0]
		step := room / depth / s.cols * s.cols
		for from := whole.n[0]; from < whole.n[1]; from += step {
			b := whole
			b.n = [2]int{from, min(from+step, whole.n[1])}
			cols := b.n[1] - b.n[0]
			_, _, rows, col := p.stored(b)
			in, start := p.b.Rows(rows[0], rows[1]), 0
			if p.Form == NT { // rows of B need not start where a tensor may be bound
				in, start = p.b.Rows(whole.n[0], whole.n[1]), (from-whole.n[0])*p.ldb
			}
			pack := Launch{
				Shader: "matmul_pack." + loads, Bind: []*Tensor{in, p.workspace}, Spec: []uint32{uint32(s.group), flagWord(p.Form == NT)},
				Push: words(depth, cols, s.cols, p.ldb, start+p.B.From+col), Subgroup: s.subgroup, Ordered: len(list) > 0,
				Grid: [3]int{ceilDiv(depth, 16), ceilDiv(cols, 4*s.group), 1},
			}
			one := s.launch(p, b, 0, 1)
			one.Bind[1], one.Ordered = p.workspace, true
			one.Push[4], one.Push[7], one.Push[14] = uint32(s.cols), 0, uint32(depth*s.cols) // ldb, cb, pb
			list = append(list, pack, one)
		}
	}
	return list
}

// split makes the dispatches of a product whose parts of K are items side by side, then summed in order.
func (s matmulShader) split(p product, l *Limits) []Launch {
	parts := p.parts()
	depth := ceilDiv(ceilDiv(p.k, parts), 4) * 4
	parts = ceilDiv(p.k, depth)
	part := product{MatMul: MatMul{Form: p.Form, A: p.A, B: p.B}, batch: parts, m: p.m, n: p.n, k: p.k,
		a: p.a, b: p.b, y: p.workspace.View(0, parts*p.m*p.n), lda: p.lda, ldb: p.ldb, ldy: p.n, itemA: depth, itemB: depth, itemOut: p.m * p.n}
	if p.Form == TN {
		part.itemA *= p.lda
	}
	if p.Form != NT {
		part.itemB *= p.ldb
	}
	one := s.launch(part, block{[2]int{0, p.m}, [2]int{0, p.n}, [2]int{0, p.k}}, 0, 1)
	one.Grid[2], one.Bind[3] = parts, part.y
	one.Push[2], one.Push[13] = uint32(depth), uint32(p.k) // K, end
	whole := block{[2]int{0, p.m}, [2]int{0, p.n}, [2]int{0, p.k}}
	bind := []*Tensor{p.a, p.b, p.y, p.y, p.y, p.y}
	bits := p.epilogue(whole, bind, func(t *Tensor) *Tensor { return t })
	group := int(l.group())
	return []Launch{one, {
		Shader: "matmul_sum", Bind: append([]*Tensor{part.y}, bind[2:]...), Spec: words(group, bits), Ordered: true,
		Push: words(p.m, p.n, parts, 0, 0, p.ldy, 0, 0, 0, 0, 0, 0, 0, 0, 0), Grid: gridFor(p.m*p.n, group, l),
	}}
}
