package compute

import (
	"cmp"
	"slices"
)

// joinSums makes one node of the sums over rows that are added to neighbours in memory: the gradients of a layer's gains. Each reads few
// numbers, so that on a CPU device a launch takes as long as what it does. What the sums read is made in one temporary, block after
// block; they move to where the last of them was, which completes the layer's gradients as before, and give the same bits.
func joinSums(p *Program) error {
	touched := map[*Storage]int{}
	for _, n := range p.Nodes {
		for _, t := range n.tensors() {
			touched[t.Storage]++
		}
	}
	joinable := make([]bool, len(p.Nodes))
	for i, n := range p.Nodes {
		joinable[i] = n.joinable(touched)
	}
	dead := make([]bool, len(p.Nodes))
	for from := range p.Nodes {
		if !joinable[from] {
			continue
		}
		run := p.neighbours(from, joinable)
		if len(run) == 1 {
			continue
		}
		last := slices.Max(run)
		p.join(run, last)
		for _, i := range run {
			joinable[i], dead[i] = false, i != last
		}
	}
	p.drop(dead)
	return nil
}

// joinable says that a node adds one block of rows, made by one node for it alone, to something in place. touched counts by storage the
// tensors of all nodes.
func (n *Node) joinable(touched map[*Storage]int) bool {
	if n.Op != opSumRows || !n.HasAddend || len(n.Out[0].Shape) != 1 || !sameMemory(n.In[1], n.Out[0]) {
		return false
	}
	x := n.In[0]
	return x.Storage.Kind == Temp && x.Storage.Len == x.Len() && touched[x.Storage] == 2
}

// sameMemory says that both are the same elements.
func sameMemory(a, b *Tensor) bool {
	return a.Storage == b.Storage && a.Off == b.Off && a.Len() == b.Len()
}

// besides says that t begins or ends where elements low to high of the storage end or begin.
func besides(t *Tensor, s *Storage, low, high int) bool {
	return t.Storage == s && (t.Off == high || t.Off+t.Len() == low)
}

// neighbours are node `from` and those after it whose sums, of the same shape, go to memory side by side with its own; in the order of that
// memory. Nothing but the sums may touch it up to the last of them.
func (p *Program) neighbours(from int, joinable []bool) []int {
	first := p.Nodes[from]
	d, run := first.Out[0].Len(), []int{from}
	low, high := first.Out[0].Off, first.Out[0].Off+d // of what the run writes
	for i := from + 1; i < len(p.Nodes); i++ {
		n := p.Nodes[i]
		switch {
		case joinable[i] && besides(n.Out[0], first.Out[0].Storage, low, high) && n.In[0].Shape.Equal(first.In[0].Shape):
			run = append(run, i)
			low, high = min(low, n.Out[0].Off), max(high, n.Out[0].Off+d)
		case slices.ContainsFunc(n.tensors(), func(t *Tensor) bool { return t.overlaps(first.Out[0].Storage.View(F32, low, high-low)) }):
			i = len(p.Nodes)
		}
	}
	slices.SortFunc(run, func(i, j int) int { return cmp.Compare(p.Nodes[i].Out[0].Off, p.Nodes[j].Out[0].Off) })
	return run
}

// join puts the sum of all that the run sums up in place of node last.
func (p *Program) join(run []int, last int) {
	lowest := p.Nodes[run[0]]
	rows, d := lowest.In[0].Shape[0], lowest.In[0].Shape[1]
	all := NewTensor(Temp, lowest.In[0].Storage.Name+".joined", F32, len(run)*rows, d)
	for k, i := range run {
		part := p.Nodes[i].In[0]
		j := slices.IndexFunc(p.Nodes, func(n *Node) bool { return slices.Contains(n.Out, part) })
		maker := *p.Nodes[j]
		maker.Out = slices.Clone(maker.Out)
		maker.Out[slices.Index(maker.Out, part)] = all.Rows(k*rows, (k+1)*rows)
		p.Nodes[j] = &maker
	}
	sum, into := *p.Nodes[last], lowest.Out[0].View(0, len(run), d)
	sum.In, sum.Out, sum.Attr = []*Tensor{all, into}, []*Tensor{into}, rows
	p.Nodes[last] = &sum
}
