package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"saltern/compute/vk"
)

// Tuner chooses kernels by measuring: of those that fit a node, the fastest on the node's shapes among those that have
// reproduced the reference on this very device. What it learns is kept in a cache file. Its Choose is for Device.Choose;
// Tune does all the work of some programs beforehand.
//
// Nodes of one operation, attribute, shapes and addend are one class and share a choice: shapes are taken as they are,
// since a job has few and a rim or an alignment can change the winner.
type Tuner struct {
	// Warn, if set, is told of kernels that were dropped and of caches that cannot be used.
	Warn func(message string)
	// Progress, if set, is told by Tune which class is next, and at the end once with done = total.
	Progress func(done, total int, what string)
	// Again measures even what the cache knows.
	Again bool
	// All verifies every kernel that fits, not only the fastest ones until one is right.
	All bool

	dev      *Device
	file     string
	known    knowledge
	pinned   map[string]string
	used     map[string]*Kernel // by class, in this process
	survived map[string]bool    // operation/kernel: it ran in this process
	settled  map[string]bool    // by pipelines
	tuned    map[string]*Tuned  // measured in this process
}

// Choices says which kernel was chosen for each class of nodes, and on what. A run that goes on with the same choices on
// the same device gives the same bits.
type Choices struct {
	Device  string            `json:"device"`
	Kernels map[string]string `json:"kernels"`
}

// Tuned is what was measured of one class of nodes.
type Tuned struct {
	Class        string
	Node         *Node // one of them
	FLOPs, Bytes int64 // of the node
	Cut          bool  // measured on fewer rows, as the node does not fit into scratchLimit; Time is scaled to the node
	Variants     []Variant
	Chosen       *Kernel
}

// Variant is one kernel's part in a Tuned.
type Variant struct {
	Kernel *Kernel
	Time   time.Duration // of the fastest run; 0: not timed, since wrong or the only one
	Wrong  string        // how it disagrees with the reference; empty: it does not
}

// NewTuner makes a tuner for the device with its cache file; without a file nothing is kept. A cache that cannot be used
// is reported by Warn at the first choice and replaced.
func NewTuner(d *Device, cacheFile string) (*Tuner, error) {
	id, err := identity(d)
	if err != nil {
		return nil, err
	}
	return &Tuner{
		dev: d, file: cacheFile, known: knowledge{device: id}, used: map[string]*Kernel{}, survived: map[string]bool{}, settled: map[string]bool{}, tuned: map[string]*Tuned{},
	}, nil
}

// Pin makes the tuner keep to choices of an earlier run, where it has them. On another device, driver or build they would
// not give the same bits: then nothing is pinned and the error says what differs.
func (t *Tuner) Pin(c Choices) error {
	if c.Device != t.known.device {
		return fmt.Errorf("the kernels were chosen on another device, driver or build, so results may differ in their last bits: they were chosen on %s; this is %s", c.Device, t.known.device)
	}
	t.pinned = c.Kernels
	return nil
}

// Choices are the choices of this process so far.
func (t *Tuner) Choices() Choices {
	c := Choices{Device: t.known.device, Kernels: map[string]string{}}
	for class, k := range t.used {
		c.Kernels[class] = k.Name
	}
	return c
}

// Measured are the classes measured in this process, in order of their names.
func (t *Tuner) Measured() []*Tuned {
	var list []*Tuned
	for _, class := range slices.Sorted(maps.Keys(t.tuned)) {
		list = append(list, t.tuned[class])
	}
	return list
}

// Tune makes the choices for all nodes of the programs, before their memory is taken, and saves the cache. A canceled context
// ends it between two classes.
func (t *Tuner) Tune(ctx context.Context, programs ...*Program) error {
	var nodes []*Node
	seen := map[string]bool{}
	for _, p := range programs {
		for _, n := range p.Nodes {
			if c := class(n); !seen[c] {
				seen[c] = true
				nodes = append(nodes, n)
			}
		}
	}
	progress := t.Progress
	if progress == nil || !slices.ContainsFunc(nodes, t.unknown) {
		progress = func(int, int, string) {}
	}
	for i, n := range nodes {
		if ctx.Err() != nil {
			t.save() // what is known already need not be measured again
			return context.Cause(ctx)
		}
		progress(i, len(nodes), class(n))
		fitting := t.dev.fitting(n)
		if len(fitting) == 0 {
			return fmt.Errorf("%s: no kernel for %v fits %s", n.at, n, t.dev.vk.Name)
		}
		if _, err := t.choose(n, fitting); err != nil {
			return err
		}
	}
	progress(len(nodes), len(nodes), "")
	t.save()
	for _, n := range nodes {
		if _, err := t.choose(n, t.dev.fitting(n)); err != nil { // where another process was first
			return err
		}
	}
	return t.settle(nodes)
}

// Choose picks the kernel for a node among those that fit, measuring where nothing is known of the node's class.
func (t *Tuner) Choose(n *Node, fitting []*Kernel) (*Kernel, error) {
	if _, err := t.choose(n, fitting); err != nil {
		return nil, err
	}
	t.save()
	return t.choose(n, fitting) // which another process may have been first to choose
}

// TimeNode runs a node's chosen kernel, and others beside it in turns, each runs times on scratch memory of the node's
// whole size.
func (t *Tuner) TimeNode(n *Node, runs int, beside ...*Kernel) ([]Timing, error) {
	k, err := t.Choose(n, t.dev.fitting(n))
	if err != nil {
		return nil, err
	}
	if err := t.settle([]*Node{n}); err != nil {
		return nil, err
	}
	return t.dev.Time(n.Op, caseOf(n), append([]*Kernel{k}, beside...), runs)
}

// class names what a choice is made for: operation, attribute, types and shapes of the inputs, addend.
func class(n *Node) string {
	name := n.Op.Name
	if n.Attr != nil {
		name += fmt.Sprintf(" %+v", n.Attr)
	}
	name += " "
	for _, x := range n.Inputs() {
		name += shapeOf(x.DType, x.Shape)
	}
	if n.HasAddend {
		name += " addend"
	}
	return name
}

func (t *Tuner) choose(n *Node, fitting []*Kernel) (*Kernel, error) {
	c := class(n)
	if k, ok := t.used[c]; ok {
		return k, nil
	}
	t.load()
	for _, name := range []string{t.pinned[c], t.remembered(c)} {
		for _, k := range fitting {
			if k.Name != name {
				continue
			}
			v := Variant{Kernel: k}
			if err := t.verify(n, &v); err != nil {
				return nil, err
			}
			if v.Wrong == "" {
				t.used[c] = k
				return k, nil
			}
		}
	}
	if name := t.pinned[c]; name != "" {
		t.warn("%s: the pinned kernel %s cannot be used here any more; another is chosen, so results may differ in their last bits", c, name)
	}
	m, err := t.measure(n, fitting)
	if err != nil {
		return nil, err
	}
	return m.Chosen, nil
}

// unknown says that nothing was chosen for the node's class yet, in this process, an earlier one, or by Pin.
func (t *Tuner) unknown(n *Node) bool {
	c := class(n)
	t.load()
	return t.used[c] == nil && t.pinned[c] == "" && t.remembered(c) == ""
}

// remembered is the cache's choice for a class.
func (t *Tuner) remembered(class string) string {
	if t.Again {
		return ""
	}
	return t.known.Choices[class]
}

// tie is how much slower than the fastest a kernel may be to be preferred by its place in Op.Kernels: differences below
// it are the clock's, and choices should not depend on them.
const tie = 1.03

// tuneRuns is how many timed runs a candidate has, unless it is hopeless; those that are close then have up to closeRuns.
const (
	tuneRuns  = 5
	closeRuns = 20
	raceTime  = 2 * time.Second // after which a race ends that has had its first laps
)

// hopeless ends a candidate's runs early: at first only if it is far behind, later if it is behind by more than noise
// explains. What counts is the fastest run, since a disturbance, of which a busy machine has many, can only make one slower.
func hopeless(lap int, behind float64) bool {
	return lap > 0 && behind > []float64{8, 3, 1.6, 1.3, 1.1}[min(lap, tuneRuns)-1]
}

// hopelessInHeat is the judge of the heat, on few rows, where a kernel made for many may be at a disadvantage.
func hopelessInHeat(lap int, behind float64) bool {
	return lap == 1 && behind > 30 || lap > 1 && behind > 10
}

// scratchLimit bounds the memory, in elements, on which a node is timed: 256 MiB.
const scratchLimit = 256 << 20 / elementBytes

// measure times the kernels that fit the node and chooses the fastest that is right.
func (t *Tuner) measure(n *Node, fitting []*Kernel) (*Tuned, error) {
	t.load()
	m := &Tuned{Class: class(n), Node: n}
	m.FLOPs, m.Bytes = n.Op.Cost(n)
	var right []*Variant
	m.Variants = make([]Variant, len(fitting))
	for i, k := range fitting {
		m.Variants[i].Kernel = k
		if why := t.known.Crashed[n.Op.Name+"/"+k.Name]; why != "" {
			m.Variants[i].Wrong = why
		} else if t.All {
			if err := t.verifyAll(m, &m.Variants[i]); err != nil {
				return nil, err
			}
		}
		if m.Variants[i].Wrong == "" {
			right = append(right, &m.Variants[i])
		}
	}
	if len(right) > 1 {
		if err := t.time(m, right); err != nil {
			return nil, err
		}
	}
	for _, v := range right { // the one to choose first; most others are never needed, and compiling their cases takes long
		if !t.All {
			if err := t.verifyAll(m, v); err != nil {
				return nil, err
			}
		}
		if v.Wrong == "" {
			m.Chosen = v.Kernel
			break
		}
	}
	if m.Chosen == nil {
		return nil, fmt.Errorf("no kernel of %s gives right results on %s (%s); run: saltern doctor --op %s", n.Op.Name, t.dev.vk.Name, t.dev.vk.Driver, n.Op.Name)
	}
	t.used[m.Class], t.tuned[m.Class] = m.Chosen, m
	t.known.choose(m.Class, m.Chosen.Name)
	return m, nil
}

// time fills in the times of the kernels, and puts the one to choose first and the others after it by time. Those that
// are far behind on few rows already, in the heat, are timed on these alone: variants made for other devices can be a
// hundred times slower, and would take nearly all the time.
func (t *Tuner) time(m *Tuned, right []*Variant) error {
	op, c := m.Node.Op, caseOf(m.Node)
	heat, full := shrink(op, c, checkElements), shrink(op, c, scratchLimit)
	small, err := t.fit(op, right, heat) // one made for many rows may not take few; it has no heat
	if err != nil {
		return err
	}
	lost, err := t.race(m, small, heat, 3, hopelessInHeat)
	if err != nil {
		return err
	}
	in, err := t.fit(op, right, full)
	if err != nil {
		return err
	}
	in = slices.DeleteFunc(in, func(v *Variant) bool { return slices.Contains(lost, v) })
	for _, v := range right {
		if !slices.Contains(in, v) && !slices.Contains(lost, v) {
			lost = append(lost, v)
		}
	}
	m.Cut = !sameShapes(c, full)
	start := time.Now()
	late := func(lap int, behind float64) bool {
		return hopeless(lap, behind) || lap >= tuneRuns && time.Since(start) > raceTime
	}
	if _, err := t.race(m, in, full, closeRuns, late); err != nil {
		return err
	}
	best := fastest(in)
	chosen := in[slices.IndexFunc(in, func(v *Variant) bool { return float64(v.Time) <= tie*float64(best) })]
	rank := func(v *Variant) int {
		switch {
		case v == chosen:
			return 0
		case slices.Contains(lost, v):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(right, func(a, b *Variant) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Time, b.Time)) })
	return nil
}

// fit are those of the variants that can run the case.
func (t *Tuner) fit(op *Op, list []*Variant, c Case) ([]*Variant, error) {
	s, err := newScratch(op, c)
	if err != nil {
		return nil, err
	}
	fitting := t.dev.fitting(s.node)
	return slices.DeleteFunc(slices.Clone(list), func(v *Variant) bool { return !slices.Contains(fitting, v.Kernel) }), nil
}

func fastest(list []*Variant) time.Duration {
	return slices.MinFunc(list, func(a, b *Variant) int { return cmp.Compare(a.Time, b.Time) }).Time
}

func sameShapes(a, b Case) bool { return slices.EqualFunc(a.In, b.In, Shape.Equal) }

// race times the variants on a case, scaled to the node, and lists the hopeless ones.
func (t *Tuner) race(m *Tuned, list []*Variant, c Case, runs int, hopeless judge) (lost []*Variant, err error) {
	kernels := make([]*Kernel, len(list))
	for i, v := range list {
		kernels[i] = v.Kernel
	}
	times, err := t.dev.race(m.Node.Op, c, kernels, runs, hopeless, t.attempt)
	if errors.Is(err, vk.ErrMemory) {
		t.warn("%s: too little memory is left to time the kernels on; they are taken in their usual order", m.Class)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	most := 0
	for _, l := range times {
		most = max(most, len(l.Runs))
	}
	for i, l := range times {
		list[i].Time = time.Duration(float64(l.Least) * m.scale(c))
		if len(l.Runs) < most {
			lost = append(lost, list[i])
		}
	}
	return lost, nil
}

// scale is how much more the node costs than the case that was timed in its place.
func (m *Tuned) scale(timed Case) float64 {
	s, err := newScratch(m.Node.Op, timed)
	if err != nil || sameShapes(timed, caseOf(m.Node)) {
		return 1
	}
	flops, bytes := m.Node.Op.Cost(s.node)
	if m.FLOPs > 8*m.Bytes {
		return float64(m.FLOPs) / float64(max(flops, 1))
	}
	return float64(m.Bytes) / float64(max(bytes, 1))
}

// verifyAll holds the kernel against the reference on the fixed cases and on the node's own shapes.
func (t *Tuner) verifyAll(m *Tuned, v *Variant) error {
	if err := t.verify(m.Node, v); err != nil || v.Wrong != "" {
		return err
	}
	var err error
	v.Wrong, err = t.verifyHere(m, v.Kernel)
	return err
}

// verify holds the kernel against the reference on every fixed case that runs the same pipelines as the node, once per
// device; v.Wrong then says how it disagrees, empty if it does not.
func (t *Tuner) verify(n *Node, v *Variant) error {
	name := n.Op.Name + "/" + v.Kernel.Name
	if v.Wrong = t.known.Crashed[name]; v.Wrong != "" {
		return nil
	}
	known := name + " " + t.pipelines(n, v.Kernel)
	if wrong, ok := t.known.Checked[known]; ok {
		v.Wrong = wrong
		return nil
	}
	checks := t.checks(n, v.Kernel)
	if len(checks) == 0 { // what nothing has checked is not used
		v.Wrong = "no case small enough to be checked runs it"
	}
	for _, c := range checks {
		err := t.attempt(c.Op, c.Kernel, func() error { return c.Run(t.dev) })
		if errors.Is(err, vk.ErrMemory) || errors.Is(err, vk.ErrLost) {
			return err // the one says nothing of the kernel, after the other nothing can be done
		}
		if err != nil {
			v.Wrong = fmt.Sprintf("%s: %s", c.Name(), err)
			t.warn("%s is not used on %s (%s): %s", name, t.dev.vk.Name, t.dev.vk.Driver, v.Wrong)
			break
		}
	}
	t.known.check(known, v.Wrong)
	return nil
}

// pipelines names what the kernel runs for the node: shaders with their specialization constants, which are what a driver
// compiles, and so what may be wrong.
func (t *Tuner) pipelines(n *Node, k *Kernel) string {
	var list []string
	for _, l := range k.Launch(n, &t.dev.limits) {
		if p := fmt.Sprint(l.Shader, l.Spec); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return strings.Join(list, " ")
}

// Bounds of the check on a node's own shapes, so that the reference takes some hundredths of a second.
const (
	checkElements = 64 << 10
	checkFLOPs    = 100e6
)

// verifyHere holds the kernel against the reference on the node's own shapes, cut to fewer rows where they are large: the
// fixed cases cannot know how long a job's rows and sums are, and drivers are seen to go wrong beyond some length. Shapes
// too dear for the reference even so rest on the fixed cases.
func (t *Tuner) verifyHere(m *Tuned, k *Kernel) (wrong string, err error) {
	op := m.Node.Op
	c := Check{Op: op, Kernel: k, Case: shrink(op, caseOf(m.Node), checkElements), Seed: 1}
	s, err := newScratch(op, c.Case)
	if err != nil {
		return "", err
	}
	if flops, _ := op.Cost(s.node); flops > checkFLOPs || !slices.Contains(t.dev.fitting(s.node), k) {
		return "", nil
	}
	err = t.attempt(op, k, func() error { return c.Run(t.dev) })
	if err == nil || errors.Is(err, vk.ErrMemory) || errors.Is(err, vk.ErrLost) {
		return "", err
	}
	wrong = fmt.Sprintf("%s: %s", c.Name(), err)
	t.warn("%s/%s is not used for %s on %s (%s): %s", op.Name, k.Name, m.Class, t.dev.vk.Name, t.dev.vk.Driver, wrong)
	return wrong, nil
}

// checks are the fixed cases that run the kernel's pipelines for the node; if there is none, the node's own shapes, cut to
// what the reference does quickly.
func (t *Tuner) checks(n *Node, k *Kernel) []Check {
	var list []Check
	want := t.pipelines(n, k)
	for i, c := range n.Op.Cases {
		s, err := newScratch(n.Op, c)
		if err == nil && slices.Contains(t.dev.fitting(s.node), k) && t.pipelines(s.node, k) == want {
			list = append(list, Check{n.Op, k, c, uint64(i)})
		}
	}
	own := affordable(n.Op, shrink(n.Op, caseOf(n), checkElements))
	if s, err := newScratch(n.Op, own); len(list) == 0 && err == nil && slices.Contains(t.dev.fitting(s.node), k) {
		list = append(list, Check{n.Op, k, own, 1})
	}
	return list
}

func (t *Tuner) warn(format string, args ...any) {
	if t.Warn != nil {
		t.Warn(fmt.Sprintf(format, args...))
	}
}
