package compute

import (
	"fmt"
	"math/bits"
)

// attentionKernels lists the variants of one pass of attention. An invocation owns rows of one side; the other side's rows
// are staged for the whole workgroup (shaders/attention.glsl).
//
//   - texel: a workgroup is one subgroup, rows staged in its registers through texel buffers, no barrier. Made for devices
//     that are a CPU.
//   - tiled: rows staged in workgroup memory. Any head size, any device.
//
// bind gives the tensors by binding number for windows of own and of other rows.
func attentionKernels(shader string, ownKeys bool, bind func(n *Node, own, other [2]int) []*Tensor) []Kernel {
	var list []Kernel
	for _, v := range []struct{ rows, step int }{{2, 2}, {1, 4}, {1, 1}} {
		list = append(list, Kernel{
			Name: fmt.Sprintf("texel_%dx%d", v.rows, v.step),
			Fits: func(n *Node, l *Limits) bool {
				dh := n.Attr.(Attention).HeadSize
				// All loops but one are unrolled: a larger product takes a CPU's driver minutes to compile.
				return l.CPU && dh%4 == 0 && v.rows*v.step*dh <= MaxHeadSize && l.Subgroup >= v.step && l.MaxTexel > 0
			},
			Launch: func(n *Node, l *Limits) []Launch {
				p := attentionPass{shader + ".texel", ownKeys, l.Subgroup, v.step, v.step, v.rows, min(l.MaxRange, l.MaxTexel), true}
				return p.launches(n, l, bind)
			},
		})
	}
	// Where the other variant serves, a CPU is spared the minute that compiling this one for a large head takes.
	spared := func(n *Node, l *Limits) bool {
		dh := n.Attr.(Attention).HeadSize
		return l.CPU && dh > 64 && dh%4 == 0 && l.MaxTexel > 0
	}
	return append(list, Kernel{Name: "tiled", Fits: func(n *Node, l *Limits) bool { return !spared(n, l) }, Launch: func(n *Node, l *Limits) []Launch {
		const shared = 15 << 10 // 16 KiB are there on every device, and some are needed besides
		dh := n.Attr.(Attention).HeadSize
		perRow := 2 * 4 * elementBytes * ((dh + 3) / 4)
		step := 1 << min(2, 8-bits.Len(uint(dh-1))) // 4 up to 64, 2 up to 128, then 1: registers, and time to compile
		p := attentionPass{shader + ".tiled", ownKeys, 64, min(32, shared/perRow/step*step), step, 1, l.MaxRange, false}
		return p.launches(n, l, bind)
	}})
}

// attentionPass is one variant of one pass: its workgroup size, rows staged and met at once, own rows per invocation, and
// how many elements it may bind.
type attentionPass struct {
	shader                   string
	ownKeys                  bool
	group, stage, step, rows int
	bound                    int
	subgroup                 bool
}

// launches pairs each window of own rows with those windows of other rows that hold something for it, in ascending order,
// each adding to what the last one left. Windows are as small as the device's bindings and, on a CPU, its loops ask for.
func (p attentionPass) launches(n *Node, l *Limits, bind func(n *Node, own, other [2]int) []*Tensor) []Launch {
	a := n.Attr.(Attention)
	total, width, heads := n.In[0].Shape[0], a.width(), a.Heads
	most := total
	if l.CPU { // loops longer than 65,535 in total end early there, silently
		most = 1 << 13
	}
	if p.ownKeys {
		heads = a.KVHeads
		most = max(1, most*a.KVHeads/a.Heads)
	}
	blocks := (a.T + p.group*p.rows - 1) / (p.group * p.rows)
	var list []Launch
	for _, m := range windows(total, width, p.bound) {
		begin, end := m[0]/a.T*a.T, m[1] // the rows that these meet: keys from the sequence's start, or
		if p.ownKeys {                   // queries up to its end
			begin, end = m[0], (m[1]-1)/a.T*a.T+a.T
		}
		ordered := false
		for _, s := range windows(total, width, min(p.bound, most*width)) {
			if s[1] <= begin || s[0] >= end {
				continue
			}
			seq0 := m[0] / a.T
			seqs := (m[1]-1)/a.T - seq0 + 1
			list = append(list, Launch{
				Shader: p.shader, Bind: bind(n, m, s), Subgroup: p.subgroup, Ordered: ordered,
				Spec: []uint32{uint32(p.group), uint32(a.HeadSize), uint32(p.stage), uint32(p.step), uint32(p.rows)},
				Push: []uint32{
					uint32(a.T), uint32(a.Heads), uint32(a.KVHeads), uint32(width),
					uint32(m[0]), uint32(m[1]), uint32(s[0]), uint32(s[1]), uint32(seq0), uint32(seqs), uint32(blocks),
				},
				Grid: gridFor(heads*seqs*blocks, 1, l),
			})
			ordered = true
		}
	}
	return list
}
