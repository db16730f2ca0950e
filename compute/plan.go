package compute

import (
	"fmt"
	"io"
	"slices"
)

// Program is a finished recording: nodes in order and a place for each temporary.
type Program struct {
	Nodes []*Node
	// Offset is each Temp storage's place in the arena, in words of 4 bytes; Arena is the arena's size.
	Offset map[*Storage]int
	Arena  int
	// Barrier says which nodes must wait for those before them.
	Barrier []bool
	// Segments are where CutAfter cut the program: each part's end, counted in nodes, the last that of all; nil: it is not cut.
	Segments []int
}

// passes turn a recording into a plan. The order matters:
//   - fuse-gates and fuse-add first: each removes nodes and temporaries that the others would plan for;
//   - join-sums after fuse-add, which makes them add to their place;
//   - workspace after them, for what is left, and before the arena, which places it;
//   - arena before barriers: two temporaries that share memory conflict, and only the arena knows that they do.
var passes = []struct {
	name string
	run  func(*Program) error
}{
	{"fuse-gates", fuseGates},
	{"fuse-add", fuseAdd},
	{"join-sums", joinSums},
	{"workspace", addWorkspaces},
	{"arena", placeTemps},
	{"barriers", placeBarriers},
}

// fuseGates folds SwiGLU's gradient into the product of float32 that made what it starts from, which then is never stored.
func fuseGates(p *Program) error {
	uses, maker := usesOf(p.Nodes), map[*Storage]int{}
	dead := make([]bool, len(p.Nodes))
	for i, n := range p.Nodes {
		if n.Op == opSwiGLUGrad {
			j, made := maker[n.In[1].Storage]
			if made && p.Nodes[j].Op == opMatMul && p.Nodes[j].gateable() && fusable(p.Nodes, j, i, uses[n.In[1].Storage]) {
				m := *p.Nodes[j]
				attr := m.Attr.(MatMul)
				attr.Gates = true
				m.Attr, m.In, m.Out = attr, append(slices.Clone(m.In), n.In[0]), n.Out
				p.Nodes[i], dead[j] = &m, true
			}
		}
		for _, t := range p.Nodes[i].Out {
			if t.Storage.Kind == Temp {
				maker[t.Storage] = i
			}
		}
	}
	p.drop(dead)
	return nil
}

// gateable says that a product may have gates: it is one of float32 and nothing else yet.
func (n *Node) gateable() bool {
	m := n.Attr.(MatMul)
	return !m.Bias && m.Act == NoActivation && len(n.In) == 2 && n.In[0].DType == F32 && len(n.In[0].Shape) == 2
}

// usesOf counts the inputs that each storage is.
func usesOf(nodes []*Node) map[*Storage]int {
	uses := map[*Storage]int{}
	for _, n := range nodes {
		for _, t := range n.In {
			uses[t.Storage]++
		}
	}
	return uses
}

// drop takes out the nodes that are dead.
func (p *Program) drop(dead []bool) {
	kept := p.Nodes[:0:0]
	for i, n := range p.Nodes {
		if !dead[i] {
			kept = append(kept, n)
		}
	}
	p.Nodes = kept
}

// fuseAdd folds an add into the kernel that made one of its operands, where that kernel can add (Op.Addend): residuals,
// and gradients that accumulate into their place.
func fuseAdd(p *Program) error {
	uses, maker := usesOf(p.Nodes), map[*Storage]int{}
	dead := make([]bool, len(p.Nodes))
	for i, n := range p.Nodes {
		if n.Op == opAdd {
			for k := 1; k >= 0; k-- {
				j, made := maker[n.In[k].Storage]
				if !made || !fusable(p.Nodes, j, i, uses[n.In[k].Storage]) {
					continue
				}
				m := *p.Nodes[j]
				m.In = append(slices.Clone(m.In), n.In[1-k])
				m.Out = append([]*Tensor{n.Out[0]}, m.Out[1:]...)
				m.HasAddend = true
				p.Nodes[i], dead[j] = &m, true
				break
			}
		}
		for _, t := range p.Nodes[i].Out {
			if t.Storage.Kind == Temp {
				maker[t.Storage] = i
			}
		}
	}
	p.drop(dead)
	return nil
}

// fusable says whether node j may move to the place of the add at i: its result goes nowhere else, and nothing between
// writes what it reads or reads what it writes besides.
func fusable(nodes []*Node, j, i, uses int) bool {
	m := nodes[j]
	if !m.Op.Addend || m.HasAddend || uses != 1 || len(m.Out) > 0 && m.Out[0].Len() != m.Out[0].Storage.Len {
		return false
	}
	for _, n := range nodes[j+1 : i] {
		for _, w := range n.Out {
			for _, t := range append(slices.Clone(m.In), m.Out...) {
				if w.overlaps(t) {
					return false
				}
			}
		}
		for _, rd := range n.In {
			for _, t := range m.Out[1:] {
				if rd.overlaps(t) {
					return false
				}
			}
		}
	}
	return true
}

// addWorkspaces gives each node the memory that its operation's kernels may use: a temporary of that node alone, which
// mostly finds room where others are not alive.
func addWorkspaces(p *Program) error {
	for i, n := range p.Nodes {
		if n.Op.Workspace == nil {
			continue
		}
		if size := n.Op.Workspace(n); size > 0 {
			n.Workspace = NewTensor(Temp, fmt.Sprintf("workspace.%d", i), F32, size)
		}
	}
	return nil
}

type lifetime struct {
	s           *Storage
	first, last int
}

// lifetimes gives the first and last node that touch each temporary.
func lifetimes(nodes []*Node) []lifetime {
	at := map[*Storage]int{}
	var list []lifetime
	for i, n := range nodes {
		for _, t := range n.tensors() {
			if t.Storage.Kind != Temp {
				continue
			}
			k, ok := at[t.Storage]
			if !ok {
				k = len(list)
				at[t.Storage] = k
				list = append(list, lifetime{t.Storage, i, i})
			}
			list[k].last = i
		}
	}
	return list
}

// placeTemps packs the temporaries into the arena: largest first, each at the lowest offset that is free for its
// lifetime.
func placeTemps(p *Program) error {
	list := lifetimes(p.Nodes)
	slices.SortStableFunc(list, func(a, b lifetime) int { return b.s.words() - a.s.words() })
	p.Offset = map[*Storage]int{}
	var placed []lifetime // by offset
	for _, l := range list {
		off := 0
		for _, o := range placed {
			if o.last < l.first || l.last < o.first {
				continue
			}
			if off+l.s.words() <= p.Offset[o.s] {
				break
			}
			off = max(off, p.Offset[o.s]+o.s.words())
		}
		p.Offset[l.s] = off
		p.Arena = max(p.Arena, off+l.s.words())
		at, _ := slices.BinarySearchFunc(placed, off, func(o lifetime, off int) int { return p.Offset[o.s] - off })
		placed = slices.Insert(placed, at, l)
	}
	return nil
}

// span is a run of memory, in bytes: a storage of its own, or a stretch of the arena (nil).
type span struct {
	s     *Storage
	a, b  int
	write bool
}

func (p *Program) span(t *Tensor, write bool) span {
	off, end := t.span()
	if t.Storage.Kind == Temp {
		at := p.Offset[t.Storage] * elementBytes
		return span{nil, at + off, at + end, write}
	}
	return span{t.Storage, off, end, write}
}

// placeBarriers puts a barrier before each node that touches what was written, or writes what was touched, since the
// last one.
func placeBarriers(p *Program) error {
	p.Barrier = make([]bool, len(p.Nodes))
	var since []span
	for i, n := range p.Nodes {
		var mine []span
		for _, t := range n.In {
			mine = append(mine, p.span(t, false))
		}
		for _, t := range n.tensors()[len(n.In):] {
			mine = append(mine, p.span(t, true))
		}
		if conflict(since, mine) {
			p.Barrier[i], since = true, since[:0]
		}
		since = append(since, mine...)
	}
	return nil
}

func conflict(since, mine []span) bool {
	for _, a := range since {
		for _, b := range mine {
			if a.s == b.s && a.a < b.b && b.a < a.b && (a.write || b.write) {
				return true
			}
		}
	}
	return false
}

// Storages lists the State and Host storages that the program uses, in order of first use.
func (p *Program) Storages() []*Storage {
	var list []*Storage
	seen := map[*Storage]bool{}
	for _, n := range p.Nodes {
		for _, t := range append(slices.Clone(n.In), n.Out...) {
			if s := t.Storage; s.Kind != Temp && !seen[s] {
				seen[s] = true
				list = append(list, s)
			}
		}
	}
	return list
}

// Memory is what programs loaded together need, in bytes by kind.
type Memory struct {
	Arena int64 `json:"arena"`
	State int64 `json:"state"`
	Host  int64 `json:"host"`
}

// Total is the sum.
func (m Memory) Total() int64 { return m.Arena + m.State + m.Host }

// PlanMemory is the memory that programs loaded together take: they share one arena.
func PlanMemory(programs ...*Program) Memory {
	var m Memory
	seen := map[*Storage]bool{}
	for _, p := range programs {
		m.Arena = max(m.Arena, int64(p.Arena)*elementBytes)
		for _, s := range p.Storages() {
			if seen[s] {
				continue
			}
			seen[s] = true
			if n := s.Bytes(); s.Kind == Host {
				m.Host += n
			} else {
				m.State += n
			}
		}
	}
	return m
}

// Cost is the program's arithmetic and least memory traffic per run.
func (p *Program) Cost() (flops, bytes int64) {
	for _, n := range p.Nodes {
		f, b := n.Op.Cost(n)
		flops, bytes = flops+f, bytes+b
	}
	return flops, bytes
}

// Print writes the plan: a line per node, with where its outputs lie and where it must wait.
func (p *Program) Print(w io.Writer) {
	barriers := 0
	for i, n := range p.Nodes {
		mark := ' '
		if p.Barrier[i] {
			mark = '|'
			barriers++
		}
		fmt.Fprintf(w, "%4d %c %-18s", i, mark, n.Op.Name)
		for _, t := range n.In {
			fmt.Fprintf(w, " %v", t)
		}
		fmt.Fprint(w, " ->")
		for _, t := range n.Out {
			fmt.Fprintf(w, " %v", t)
			if t.Storage.Kind == Temp {
				fmt.Fprintf(w, "@%d", p.Offset[t.Storage]+t.Off*t.Storage.width()/elementBytes)
			}
		}
		if t := n.Workspace; t != nil {
			fmt.Fprintf(w, " workspace %d@%d", t.Len(), p.Offset[t.Storage])
		}
		fmt.Fprintln(w)
		if i+1 < len(p.Nodes) && slices.Contains(p.Segments, i+1) {
			fmt.Fprintln(w, "---- what is complete may leave")
		}
	}
	fmt.Fprintf(w, "%d nodes, %d barriers, arena %d words\n", len(p.Nodes), barriers, p.Arena)
}
