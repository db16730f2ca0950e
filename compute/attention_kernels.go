package compute

import (
	"fmt"
	"math/bits"
)

// attentionKernels lists the variants of one pass of attention. A workgroup owns a block of rows of one side and meets the
// other side's rows (shaders/attention.glsl).
//
//   - texel: a workgroup is one subgroup, which makes register tiles as the matrix product's texel kernels do, no barrier.
//     Made for devices that are a CPU.
//   - tiled: an invocation owns a row, or several share one; the others are staged in workgroup memory. Any head size, any device.
//
// Before them come those by cooperative matrices. keeps is how many vectors of a head's size a row keeps in registers. bind gives
// the tensors by binding number, but for the spans, which come next, for windows of own and of other rows; the texel variants
// also read those that are written.
func attentionKernels(shader string, coop coopPass, keeps int, written []int, bind func(n *Node, own, other [2]int) []*Tensor) []Kernel {
	bound := func(n *Node, own, other [2]int) []*Tensor {
		list := bind(n, own, other)
		if spans := spansOf(n); spans != nil {
			return append(list, spans)
		}
		return append(list, list[0]) // not read
	}
	texels := func(n *Node, own, other [2]int) []*Tensor {
		list := bound(n, own, other)
		for _, i := range written {
			list = append(list, list[i])
		}
		return list
	}
	list := coop.kernels(shader, bound)
	for _, rows := range []int{32, 16, 8} {
		list = append(list, Kernel{
			Name: fmt.Sprintf("texel_%d", rows),
			Fits: func(n *Node, l *Limits) bool {
				dh := n.Attr.(Attention).HeadSize
				// Tiles large enough to be worth their loads, and no larger than the first cache takes them, for they spill.
				fits := rows*dh <= 2048 && rows*dh > 512
				if dh < 32 {
					fits = rows == 16
				} else if dh > 128 {
					fits = rows == 8
				}
				return fits && n.In[0].DType == F32 && l.CPU && dh%4 == 0 && l.MaxTexel > 0 && l.Int64 && l.Subgroup >= 8
			},
			Launch: func(n *Node, l *Limits) []Launch {
				p := attentionPass{shader: shader + "_texel", ownKeys: coop.ownKeys, rows: rows, spanned: spansOf(n) != nil, bound: min(l.MaxRange, l.MaxTexel), subgroup: true}
				p.spec = words(l.Subgroup, n.Attr.(Attention).HeadSize, rows)
				return p.launches(n, l, texels)
			},
		})
	}
	// Where the other variants serve, a CPU is spared the minute that compiling this one for a large head takes.
	spared := func(n *Node, l *Limits) bool {
		dh := n.Attr.(Attention).HeadSize
		return n.In[0].DType == F32 && l.CPU && dh > 64 && dh%4 == 0 && l.MaxTexel > 0 && l.Int64 && l.Subgroup >= 8
	}
	return append(list, Kernel{Name: "tiled", Fits: func(n *Node, l *Limits) bool { return !spared(n, l) }, Launch: func(n *Node, l *Limits) []Launch {
		const group, shared = 64, 15 << 10 // 16 KiB are there on every device, and some are needed besides
		dh := n.Attr.(Attention).HeadSize
		perRow := 2 * 4 * elementBytes * ((dh + 3) / 4)
		kept := keeps
		if n.In[0].DType.Half() && shader == "attention_grad_q" { // which computes ds again
			kept = 3
		}
		split := invocationsOfRow(kept * dh)
		step := 1 << min(2, 8-bits.Len(uint(dh-1))) // 4 up to 64, 2 up to 128, then 1: registers, and time to compile
		if kept > 2 {                               // two products at a time: with four rows, Apple's and Qualcomm's registers do not suffice
			step = min(step, 2)
		}
		room := shared
		if split > 1 {
			room -= 2 * step * group * elementBytes // where they add up their parts
		}
		p := attentionPass{shader: shader + byWidth(n), ownKeys: coop.ownKeys, rows: group / split, spanned: spansOf(n) != nil, bound: l.MaxRange}
		p.spec = words(group, dh, min(32, room/perRow/step*step), step, split, int(halfWord(n.In[0].DType)))
		return p.launches(n, l, bound)
	}})
}

// invocationsOfRow is how many share a row that keeps so many numbers in registers: few enough for each, of which some GPUs have
// 128, to work with them besides.
func invocationsOfRow(numbers int) int {
	const most = 48 // with 64, RADV of Mesa 22.3 still spills
	split := 1
	for numbers > most*split {
		split *= 2
	}
	return split
}

// attentionPass is one variant of one pass: own rows of a workgroup, how many elements it may bind, specialization constants.
type attentionPass struct {
	shader   string
	ownKeys  bool
	spanned  bool
	rows     int
	bound    int
	spec     []uint32
	subgroup bool
}

// launches pairs each window of own rows with those windows of other rows that hold something for it, in ascending order,
// each adding to what the last one left. Windows are as small as the device's bindings and, on a CPU, its loops ask for.
func (p attentionPass) launches(n *Node, l *Limits, bind func(n *Node, own, other [2]int) []*Tensor) []Launch {
	a := n.Attr.(Attention)
	total, heads := n.In[0].Shape[0], a.Heads
	width, most, pair := max(a.width(), a.scoreWidth()), total, 1
	if n.In[0].DType.Half() { // in pairs of rows, so that a window begins where it may be bound
		width, pair = a.width(), 2
	}
	cut := func(bound int) [][2]int {
		list := windows(ceilDiv(total, pair), pair*width, bound)
		for i, w := range list {
			list[i] = [2]int{pair * w[0], min(pair*w[1], total)}
		}
		return list
	}
	if l.CPU { // loops longer than 65,535 in total end early there, silently
		most = 1 << 13
	}
	if p.ownKeys {
		heads = a.KVHeads
		most = max(1, most*a.KVHeads/a.Heads)
	}
	blocks := ceilDiv(a.T, p.rows)
	others := cut(min(p.bound, most*width))
	spec := p.spec
	if p.subgroup && p.ownKeys { // can ds be written by fours? Windows begin at multiples of four rows, sequences perhaps not
		spec = append(spec, flagWord(a.T%4 == 0 || len(others) == 1))
	}
	var list []Launch
	for _, m := range cut(p.bound) {
		begin, end := m[0]/a.T*a.T, (m[1]-1)/a.T*a.T+a.T // the rows that these may meet: those of their sequences, and if causal
		if p.ownKeys && !p.spanned {                     // queries from the own keys on, or keys up to the own queries
			begin = m[0]
		} else if !p.spanned {
			end = m[1]
		}
		ordered := false
		for _, s := range others {
			if s[1] <= begin || s[0] >= end {
				continue
			}
			seq0 := m[0] / a.T
			seqs := (m[1]-1)/a.T - seq0 + 1
			list = append(list, Launch{
				Shader: p.shader, Bind: bind(n, m, s), Subgroup: p.subgroup, Ordered: ordered, Spec: spec,
				Push: words(a.T, a.Heads, a.KVHeads, a.width(), m[0], m[1], s[0], s[1], seq0, seqs, blocks, int(flagWord(p.spanned))),
				Grid: gridFor(heads*seqs*blocks, 1, l),
			})
			ordered = true
		}
	}
	return list
}
