package compute

import (
	"errors"
	"slices"
	"time"

	"saltern/compute/vk"
)

// Bounds of what settle times: the arithmetic of a node below which it is not worth the while, and the elements of the scratch
// memory.
const (
	settleFLOPs    = 20e6
	settleElements = 4 << 20
	settleRuns     = 3
)

// settle has the pipelines of the nodes' chosen kernels made twice, and goes on with the faster ones, on a device that is a CPU. There
// it depends on chance how fast machine code runs: with lavapipe of Mesa 22.3.6 on a processor with AVX-512, some 5 of 100 copies of the
// largest matrix kernel took 1.6 to 2.7 times as long as the others, most of them run after run, while other copies, at the same
// addresses or elsewhere in the same process, did not. So it is the pages of memory behind the addresses, and samples
// show the time in two neighbouring pages of code alone. A step whose forward products had such a copy would take a sixth longer, all
// training long.
func (t *Tuner) settle(nodes []*Node) error {
	if !t.dev.limits.CPU {
		return nil
	}
	smallest, order := map[string]*Node{}, []string{} // by pipelines, which many classes share
	for _, n := range nodes {
		flops, _ := n.Op.Cost(n)
		name := t.pipelines(n, t.used[class(n)])
		if flops < settleFLOPs || t.settled[name] {
			continue
		}
		m, ok := smallest[name]
		if !ok {
			order = append(order, name)
		} else if least, _ := m.Op.Cost(m); flops >= least {
			continue
		}
		smallest[name] = n
	}
	for _, name := range order {
		n := smallest[name]
		if err := t.settleOne(n, t.used[class(n)]); errors.Is(err, vk.ErrMemory) {
			return nil // what is there serves as well
		} else if err != nil {
			return err
		}
		t.settled[name] = true
	}
	return nil
}

// settleOne settles the pipelines of a node's kernel.
func (t *Tuner) settleOne(n *Node, k *Kernel) error {
	c := shrink(n.Op, caseOf(n), settleElements)
	timed, err := newScratch(n.Op, c)
	if err != nil {
		return err
	}
	return t.dev.keepFaster(k.Launch(timed.node, &t.dev.limits), func() (time.Duration, error) {
		list, err := t.dev.Time(n.Op, c, []*Kernel{k}, settleRuns)
		if err != nil {
			return 0, err
		}
		return list[0].Least, nil
	})
}

// keepFaster has the launches' pipelines made anew, and keeps the new ones if they take less time.
func (d *Device) keepFaster(launches []Launch, took func() (time.Duration, error)) error {
	first, err := took()
	if err != nil {
		return err
	}
	var old []*vk.Pipeline
	for _, l := range launches {
		p, err := d.pipeline(l)
		if err != nil {
			return err
		}
		if !slices.Contains(old, p) {
			old = append(old, p)
		}
	}
	for _, p := range old {
		p.Retire()
	}
	second, err := took()
	if err != nil || second < first {
		return err
	}
	for _, p := range old {
		p.Restore()
	}
	return nil
}
