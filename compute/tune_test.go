package compute

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// newTestTuner is a tuner that collects its warnings.
func newTestTuner(t *testing.T, d *Device, file string) (*Tuner, *[]string) {
	t.Helper()
	tuner, err := NewTuner(d, file)
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	tuner.Warn = func(m string) { warnings = append(warnings, m) }
	return tuner, &warnings
}

// with is the operation with more kernels before its own.
func with(op *Op, more ...Kernel) *Op {
	o := *op
	o.Kernels = append(more, op.Kernels...)
	return &o
}

// spoiled is the plain matrix product, its launches spoiled.
func spoiled(name string, spoil func(n *Node, l *Launch)) Kernel {
	plain := opMatMul.Kernels[len(opMatMul.Kernels)-1]
	return Kernel{Name: name, Launch: func(n *Node, l *Limits) []Launch {
		list := plain.Launch(n, l)
		for i := range list {
			spoil(n, &list[i])
		}
		return list
	}}
}

func nodeOf(t *testing.T, op *Op, c Case) *Node {
	t.Helper()
	s, err := newScratch(op, c)
	if err != nil {
		t.Fatal(err)
	}
	return s.node
}

var smallProduct = Case{In: []Shape{{64, 64}, {64, 64}}, Attr: MatMul{Form: NT}, Addend: true}

func TestTunerRejectsWrongKernels(t *testing.T) {
	d := openTest(t)
	for _, wrong := range []Kernel{
		spoiled("skips the last row", func(_ *Node, l *Launch) { l.Push[0]-- }),
		spoiled("skips the last column", func(_ *Node, l *Launch) { l.Push[1]-- }),
		spoiled("forgets the addend", func(_ *Node, l *Launch) { l.Spec[1] = 0 }),
		spoiled("adds another operand", func(_ *Node, l *Launch) { l.Bind[2] = l.Bind[3] }),
	} {
		t.Run(wrong.Name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tune.json")
			op := with(opMatMul, wrong)
			for _, round := range []string{"measured", "remembered"} {
				tuner, warnings := newTestTuner(t, d, file)
				tuner.All = true
				n := nodeOf(t, op, smallProduct)
				m, err := tuner.measure(n, d.fitting(n))
				if err != nil {
					t.Fatal(err)
				}
				tuner.save()
				if m.Chosen.Name == wrong.Name || m.Variants[0].Wrong == "" || m.Variants[0].Time != 0 {
					t.Errorf("%s: the wrong kernel has %+v, chosen is %s", round, m.Variants[0], m.Chosen.Name)
				}
				for _, v := range m.Variants[1:] {
					if v.Wrong != "" || v.Time <= 0 {
						t.Errorf("%s: the right kernel %s has %+v", round, v.Kernel.Name, v)
					}
				}
				want := 1 // warned when found, not at every start
				if round == "remembered" {
					want = 0
				}
				if len(*warnings) != want || want == 1 && !strings.Contains((*warnings)[0], "matmul/"+wrong.Name+" is not used on "+d.Info().Name) {
					t.Errorf("%s: warnings %q", round, *warnings)
				}
			}
		})
	}
}

// TestTunerRejectsTheFastestWhenItIsWrong: kernels are verified from the fastest on, until one is right.
func TestTunerRejectsTheFastestWhenItIsWrong(t *testing.T) {
	d := openTest(t)
	lazy := spoiled("does one tile only", func(_ *Node, l *Launch) { l.Grid = [3]int{1, 1, 1} })
	op := with(opMatMul, lazy)
	tuner, warnings := newTestTuner(t, d, "")
	n := nodeOf(t, op, Case{In: []Shape{{256, 64}, {256, 64}}, Attr: MatMul{Form: NT}})
	m, err := tuner.measure(n, d.fitting(n))
	if err != nil {
		t.Fatal(err)
	}
	if v := m.Variants[0]; m.Chosen.Name == lazy.Name || v.Wrong == "" || v.Time <= 0 || len(*warnings) != 1 {
		t.Errorf("the wrong kernel has %+v, chosen is %s, warnings %q", v, m.Chosen.Name, *warnings)
	}
}

// TestTunerChecksTheNodesOwnShapes injects kernels that are right on every fixed case and wrong on the job's shapes.
func TestTunerChecksTheNodesOwnShapes(t *testing.T) {
	d := openTest(t)
	c := Case{In: []Shape{{4096, 100}, {100, 100}}, Attr: MatMul{Form: NN}} // no fixed case has rows of 100
	wrong := spoiled("wrong", func(n *Node, l *Launch) {
		if n.In[0].Shape[1] == 100 {
			l.Push[2] -= 4
			l.Grid[0], l.Grid[1] = 1, 1 // and fast, so that it would be chosen
		}
	})
	tuner, warnings := newTestTuner(t, d, "")
	n := nodeOf(t, with(opMatMul, wrong), c)
	m, err := tuner.measure(n, d.fitting(n))
	if err != nil {
		t.Fatal(err)
	}
	if m.Chosen.Name == "wrong" || m.Variants[0].Wrong == "" || m.Variants[0].Time == 0 {
		t.Errorf("chosen %s, the wrong kernel has %+v", m.Chosen.Name, m.Variants[0])
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "matmul/wrong is not used for matmul NN [4096,100][100,100]") {
		t.Errorf("warnings %q", *warnings)
	}
}

func TestTunerWithoutARightKernelFails(t *testing.T) {
	d := openTest(t)
	op := *opMatMul
	op.Kernels = []Kernel{spoiled("wrong", func(_ *Node, l *Launch) { l.Push[0]-- }), spoiled("too", func(_ *Node, l *Launch) { l.Push[1]-- })}
	tuner, _ := newTestTuner(t, d, "")
	n := nodeOf(t, &op, smallProduct)
	if _, err := tuner.Choose(n, d.fitting(n)); err == nil || !strings.Contains(err.Error(), "run: saltern doctor --op matmul") {
		t.Errorf("two wrong kernels alone: %v", err)
	}
}

// TestTunerTakesTheFast gives it two kernels that differ by what they cost for certain.
func TestTunerTakesTheFast(t *testing.T) {
	d := openTest(t)
	slow := spoiled("slow", func(*Node, *Launch) {})
	once := slow.Launch
	slow.Launch = func(n *Node, l *Limits) (list []Launch) {
		for range 40 {
			list = append(list, once(n, l)...)
		}
		return list
	}
	op := *opMatMul
	op.Kernels = []Kernel{slow, opMatMul.Kernels[len(opMatMul.Kernels)-1]}
	tuner, _ := newTestTuner(t, d, "")
	n := nodeOf(t, &op, Case{In: []Shape{{128, 128}, {128, 128}}, Attr: MatMul{Form: NN}})
	m, err := tuner.measure(n, d.fitting(n))
	if err != nil {
		t.Fatal(err)
	}
	if m.Chosen != &op.Kernels[1] || m.Variants[0].Time < 3*m.Variants[1].Time {
		t.Errorf("chosen %s of %+v", m.Chosen.Name, m.Variants)
	}
}

// tuneProgram has three nodes of two classes, one of which has a single kernel.
func tuneProgram(t *testing.T) *Program {
	t.Helper()
	r := NewRecorder()
	x := NewTensor(State, "x", F32, 64, 64)
	w := NewTensor(State, "w", F32, 64, 64)
	h := r.MatMul(x, w, NT)
	r.MatMul(r.Add(h, h), w, NT)
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTunerCache(t *testing.T) {
	d := openTest(t)
	file := filepath.Join(t.TempDir(), "deep", "tune.json")
	p := tuneProgram(t)
	first, warnings := newTestTuner(t, d, file)
	var progress []string
	first.Progress = func(done, total int, what string) {
		if total != 2 || done > total {
			t.Errorf("progress %d of %d, want 2 classes", done, total)
		}
		progress = append(progress, what)
	}
	if err := first.Tune(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if want := []string{"matmul NT [64,64][64,64]", "add [64,64][64,64]", ""}; !slices.Equal(progress, want) {
		t.Errorf("progress %q, want %q", progress, want)
	}
	second, more := newTestTuner(t, d, file)
	d.Choose = second.Choose
	defer func() { d.Choose = nil }()
	if err := second.Tune(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if len(second.Measured()) > 0 || len(first.Measured()) != 2 {
		t.Errorf("%d classes measured first, %d with the cache", len(first.Measured()), len(second.Measured()))
	}
	if !maps.Equal(first.Choices().Kernels, second.Choices().Kernels) {
		t.Errorf("chose %v, with the cache %v", first.Choices(), second.Choices())
	}
	exes, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer exes[0].Close()
	for i, k := range exes[0].(*DeviceRun).Kernels {
		if name := first.Choices().Kernels[class(p.Nodes[i])]; k.Name != name {
			t.Errorf("node %d runs %s, chosen was %s", i, k.Name, name)
		}
	}
	again, _ := newTestTuner(t, d, file)
	again.Again = true
	if err := again.Tune(context.Background(), p); err != nil || len(again.Measured()) != 2 {
		t.Errorf("asked to measure again: %d classes, %v", len(again.Measured()), err)
	}
	if len(*warnings)+len(*more) > 0 {
		t.Errorf("warnings %q %q", *warnings, *more)
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(files) != 1 {
		t.Errorf("the cache left behind %q", files)
	}
	d.Free(p.Storages()...)
}

// TestTunerKeepsOthersKnowledge lets two tuners, as of two processes, save one after the other.
func TestTunerKeepsOthersKnowledge(t *testing.T) {
	d := openTest(t)
	file := filepath.Join(t.TempDir(), "tune.json")
	a, _ := newTestTuner(t, d, file)
	b, _ := newTestTuner(t, d, file)
	b.known.device = "another device"
	c, _ := newTestTuner(t, d, file)
	for i, tuner := range []*Tuner{a, b, c} { // all read before the first writes
		tuner.load()
		tuner.known.choose([]string{"x", "y", "z"}[i], "k")
	}
	for _, tuner := range []*Tuner{a, b, c} {
		tuner.save()
	}
	got, err := readCache(file)
	if err != nil {
		t.Fatal(err)
	}
	if mine := got.Devices[a.known.device].Choices; mine["x"] != "k" || mine["z"] != "k" || len(mine) != 2 {
		t.Errorf("this device's choices are %v", mine)
	}
	if other := got.Devices["another device"].Choices; other["y"] != "k" || len(other) != 1 {
		t.Errorf("the other device's choices are %v", other)
	}
}

// TestTunersSaveAtOnce lets many tuners, as of many processes, save at the same time: nothing that one of them knows is lost.
func TestTunersSaveAtOnce(t *testing.T) {
	d := openTest(t)
	file := filepath.Join(t.TempDir(), "tune.json")
	const tuners, rounds = 8, 10
	var all sync.WaitGroup
	for i := range tuners {
		tuner, _ := newTestTuner(t, d, file)
		tuner.load()
		all.Go(func() {
			for round := range rounds {
				tuner.known.choose(fmt.Sprintf("class %d of %d", round, i), "k")
				tuner.save()
			}
		})
	}
	all.Wait()
	got, err := readCache(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range got.Devices {
		if len(k.Choices) != tuners*rounds {
			t.Errorf("%d choices are kept of %d", len(k.Choices), tuners*rounds)
		}
	}
}

// TestTunersAgree lets two tuners choose for the same class at the same time: both then use what the first of them saved.
func TestTunersAgree(t *testing.T) {
	d := openTest(t)
	file := filepath.Join(t.TempDir(), "tune.json")
	p := tuneProgram(t)
	n := p.Nodes[0]
	fitting := d.fitting(n)
	if len(fitting) < 2 {
		t.Fatalf("%d kernels: there is nothing to choose", len(fitting))
	}
	late, _ := newTestTuner(t, d, file)
	late.load()
	chosen, err := late.choose(n, fitting)
	if err != nil {
		t.Fatal(err)
	}
	other := fitting[0]
	if other == chosen {
		other = fitting[1]
	}
	early, _ := newTestTuner(t, d, file)
	early.load()
	early.known.choose(class(n), other.Name)
	early.save()
	got, err := late.Choose(n, fitting)
	if err != nil || got != other || late.Choices().Kernels[class(n)] != other.Name {
		t.Errorf("chose %s, another process %s before that was saved: uses %v, %v", chosen.Name, other.Name, got, err)
	}
	again, _ := newTestTuner(t, d, file)
	again.Again = true
	m, err := again.measure(n, fitting)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Choose(n, fitting); err != nil || got != m.Chosen {
		t.Errorf("asked to measure again, chose %s, but uses %v, %v", m.Chosen.Name, got, err)
	}
	d.Free(p.Storages()...)
}

func TestTunerCacheIsBounded(t *testing.T) {
	d := openTest(t)
	file := filepath.Join(t.TempDir(), "tune.json")
	c := cacheFile{Format: cacheFormat, Devices: map[string]*knowledge{}}
	for i := range cacheDevices + 5 {
		c.Devices[strings.Repeat("x", i+1)] = &knowledge{Saved: time.Unix(int64(i), 0)}
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
	tuner, _ := newTestTuner(t, d, file)
	tuner.load()
	tuner.known.choose("a", "b")
	tuner.save()
	got, err := readCache(file)
	if err != nil || len(got.Devices) != cacheDevices || got.Devices[tuner.known.device] == nil || got.Devices["x"] != nil {
		t.Errorf("%d devices kept, the first among them: %v (%v)", len(got.Devices), got.Devices["x"] != nil, err)
	}
}

func TestTunerIgnoresBadCaches(t *testing.T) {
	d := openTest(t)
	for _, test := range []struct{ why, text, want string }{
		{"cut off in the middle", `{"format": "saltern ker`, "is damaged"},
		{"somebody else's JSON", `{"name": "x", "devices": {}}`, "is no cache of kernel choices"},
		{"a list", `[1, 2]`, "is damaged"},
		{"a later version's", `{"format": "saltern kernel choices, 9", "devices": {}}`, "of this version"},
		{"empty", ``, "is damaged"},
	} {
		file := filepath.Join(t.TempDir(), "tune.json")
		if err := os.WriteFile(file, []byte(test.text), 0o666); err != nil {
			t.Fatal(err)
		}
		tuner, warnings := newTestTuner(t, d, file)
		p := tuneProgram(t)
		if err := tuner.Tune(context.Background(), p); err != nil {
			t.Errorf("%s: %v", test.why, err)
		}
		if len(*warnings) != 1 || !strings.Contains((*warnings)[0], test.want) || !strings.Contains((*warnings)[0], file) {
			t.Errorf("%s: warnings %q, want one with %q", test.why, *warnings, test.want)
		}
		if _, err := readCache(file); err != nil {
			t.Errorf("%s: not replaced: %v", test.why, err)
		}
	}
	t.Run("kernels that are gone or null entries", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "tune.json")
		tuner, warnings := newTestTuner(t, d, file)
		text, err := json.Marshal(cacheFile{cacheFormat, map[string]*knowledge{
			tuner.known.device: {Choices: map[string]string{"matmul NT [64,64][64,64]": "gone"}}, "null": nil}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := tuner.Tune(context.Background(), tuneProgram(t)); err != nil || len(*warnings) > 0 {
			t.Errorf("%v, warnings %q", err, *warnings)
		}
	})
}

func TestTunerCannotWrite(t *testing.T) {
	d := openTest(t)
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	tuner, warnings := newTestTuner(t, d, filepath.Join(blocked, "tune.json")) // a file where the folder should be
	for range 2 {
		if err := tuner.Tune(context.Background(), tuneProgram(t)); err != nil {
			t.Fatal(err)
		}
	}
	if len(*warnings) == 0 || !strings.Contains((*warnings)[len(*warnings)-1], "SALTERN_CACHE") {
		t.Errorf("warnings %q", *warnings)
	}
}

func TestTunerPin(t *testing.T) {
	d := openTest(t)
	n := nodeOf(t, opMatMul, smallProduct)
	tuner, _ := newTestTuner(t, d, "")
	k, err := tuner.Choose(n, d.fitting(n))
	if err != nil {
		t.Fatal(err)
	}
	choices := tuner.Choices()
	if len(choices.Kernels) != 1 || choices.Kernels[class(n)] != k.Name {
		t.Fatalf("choices %v after choosing %s", choices, k.Name)
	}
	text, err := json.Marshal(choices)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.fitting(n) { // each in turn, so that the pin and not the clock decides
		var pinned Choices
		if err := json.Unmarshal(text, &pinned); err != nil {
			t.Fatal(err)
		}
		pinned.Kernels[class(n)] = f.Name
		later, warnings := newTestTuner(t, d, "")
		if err := later.Pin(pinned); err != nil {
			t.Fatal(err)
		}
		got, err := later.Choose(n, d.fitting(n))
		if err != nil || got != f || len(*warnings) > 0 || len(later.Measured()) > 0 {
			t.Errorf("pinned to %s, got %v (%v), warnings %q", f.Name, got.Name, err, *warnings)
		}
	}
	later, warnings := newTestTuner(t, d, "")
	if err := later.Pin(Choices{Device: choices.Device, Kernels: map[string]string{class(n): "gone"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := later.Choose(n, d.fitting(n)); err != nil || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "pinned kernel gone") {
		t.Errorf("pinned to a kernel that is gone: %v, warnings %q", err, *warnings)
	}
	if err := later.Pin(Choices{Device: "elsewhere"}); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("pinned to another device's choices: %v", err)
	}
}

func TestTunerChoosesOnce(t *testing.T) {
	d := openTest(t)
	tuner, _ := newTestTuner(t, d, "")
	var first *Kernel
	for range 3 {
		n := nodeOf(t, opMatMul, smallProduct)
		k, err := tuner.Choose(n, d.fitting(n))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && k != first {
			t.Errorf("%s, then %s for one class", first.Name, k.Name)
		}
		first = k
	}
	if n := len(tuner.Measured()); n != 1 {
		t.Errorf("measured %d times", n)
	}
}

func TestTimeNode(t *testing.T) {
	d := openTest(t)
	tuner, _ := newTestTuner(t, d, "")
	n := nodeOf(t, opMatMul, smallProduct)
	plain := &opMatMul.Kernels[len(opMatMul.Kernels)-1]
	list, err := tuner.TimeNode(n, 7, plain)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []string{tuner.Choices().Kernels[class(n)], plain.Name} {
		if l := list[i]; l.Kernel.Name != k || len(l.Runs) != 7 || !slices.IsSorted(l.Runs) {
			t.Errorf("%s has runs %v, want 7 of %s", l.Kernel.Name, l.Runs, k)
		}
	}
}

func TestShrink(t *testing.T) {
	const limit = 1 << 16
	for _, test := range []struct {
		op   *Op
		c    Case
		want []Shape
	}{
		{opMatMul, Case{In: []Shape{{1 << 12, 64}, {64, 64}}, Attr: MatMul{Form: NN}}, []Shape{{256, 64}, {64, 64}}},
		{opMatMul, Case{In: []Shape{{512, 64}, {512, 64}}, Attr: MatMul{Form: NT}}, []Shape{{128, 64}, {128, 64}}},
		{opMatMul, Case{In: []Shape{{1 << 12, 64}, {1 << 12, 64}}, Attr: MatMul{Form: TN}, Addend: true, InPlace: map[int]int{0: 2}}, []Shape{{256, 64}, {256, 64}}},
		{opMatMul, Case{In: []Shape{{32, 32}, {32, 32}}, Attr: MatMul{Form: NN}}, []Shape{{32, 32}, {32, 32}}},
		{opAdamW, adamCase("", 1<<16, 1<<16), []Shape{{1 << 13}, {1 << 13}, {1 << 13}, {1 << 13}, {8}, {4}}},
		{opEmbed, Case{In: []Shape{{1 << 14, 64}, {100}, {100}}, Types: map[int]DType{1: U32, 2: U32}}, []Shape{{512, 64}, {100}, {100}}},
	} {
		got := shrink(test.op, test.c, limit)
		total := 0
		s, err := newScratch(test.op, got)
		if err != nil {
			t.Fatalf("%s %v: %v", test.op.Name, got.In, err)
		}
		for _, x := range s.tensors {
			total += x.Len()
		}
		if total > limit || !slices.EqualFunc(got.In, test.want, Shape.Equal) {
			t.Errorf("%s %v became %v of %d elements, want %v", test.op.Name, test.c.In, got.In, total, test.want)
		}
	}
}

func TestScratchValues(t *testing.T) {
	d := openTest(t)
	s, err := newScratch(opEmbed, Case{In: []Shape{{1000, 64}, {100}, {100}}, Types: map[int]DType{1: U32, 2: U32}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.free(d)
	if err := s.fill(d); err != nil {
		t.Fatal(err)
	}
	table, ids, order := make([]float32, 64000), make([]uint32, 100), make([]uint32, 100)
	if err := d.Read(s.node.In[0], table); err != nil {
		t.Fatal(err)
	}
	for i, to := range [][]uint32{ids, order} {
		if err := d.transfer(s.node.In[1+i], bytesOf(to), false); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range table {
		if v != table[i%scratchBlock] || v == 0 {
			t.Fatalf("element %d of the table is %g", i, v)
		}
	}
	for i := range ids {
		if ids[i] >= 1000 || i > 0 && ids[order[i-1]] > ids[order[i]] {
			t.Fatalf("ids %v in order %v", ids, order)
		}
	}
}

// TestScratchOfSoftLabels: soft labels are ids in order, whole rows of them, though of their q only the first numbers are drawn.
func TestScratchOfSoftLabels(t *testing.T) {
	s, err := newScratch(opSoftmaxLoss, lossCase("", 1000, 64, 50, softmaxLoss{Teacher: sparseTeacher, Gradient: true}, true))
	if err != nil {
		t.Fatal(err)
	}
	in := s.values()
	if ids, q := in[3].Data, in[4].Data; len(ids) != 50*1000 || len(q) != scratchBlock {
		t.Errorf("%d ids and %d q", len(ids), len(q))
	} else if last := ids[50*999:]; last[0] >= 64 || !slices.IsSorted(last) {
		t.Errorf("the last row is %v", last)
	}
}

// TestScratchIsTheUsualCase: adamw's Fill makes a step to be skipped of one case in four, which is quicker.
func TestScratchIsTheUsualCase(t *testing.T) {
	for n := 1000; n < 1020; n++ {
		s, err := newScratch(opAdamW, adamCase("", n, n))
		if err != nil {
			t.Fatal(err)
		}
		if control := s.values()[5].Data; control[1] != 1 {
			t.Errorf("%d elements: control is %v", n, control)
		}
	}
}

func TestCacheFile(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"SALTERN_CACHE": "/s", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/s/tune.json"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/saltern/tune.json"},
		{map[string]string{"SALTERN_CACHE": "", "HOME": "/h"}, "/h/.cache/saltern/tune.json"},
		{nil, ""},
	} {
		if got := CacheFile(func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }); got != test.want {
			t.Errorf("%v: %q, want %q", test.env, got, test.want)
		}
	}
}

func TestTimeCopy(t *testing.T) {
	d := openTest(t)
	list, err := d.TimeCopy(3<<20+5, 5)
	if err != nil || len(list) != 5 || !slices.IsSorted(list) || list[0] <= 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestTunerChecksWithinReason: whatever device and shape, the reference that a kernel is held against before it is used takes some
// tenths of a second. That of a large product, which no fixed case stands for on a GPU with texels, took minutes.
func TestTunerChecksWithinReason(t *testing.T) {
	d := openTest(t)
	tuner, err := NewTuner(d, "")
	must(t, err)
	was := *d.Limits()
	t.Cleanup(func() { *d.Limits() = was })
	d.Limits().CPU, d.Limits().Subgroup, d.Limits().Int64, d.Limits().MaxTexel, d.Limits().MaxRange = false, 32, true, 1<<28, 1<<30
	const size, most = 4096, 4 * checkFLOPs // fixed cases are few, and some a little longer
	for _, f := range []Form{NN, NT, TN} {
		n := nodeOf(t, opMatMul, Case{In: []Shape{{size, size}, {size, size}}, Attr: MatMul{Form: f}})
		fitting := d.fitting(n)
		if len(fitting) < 3 {
			t.Fatalf("%v: %d kernels fit, want some", f, len(fitting))
		}
		for _, k := range fitting {
			for _, c := range tuner.checks(n, k) {
				s, err := newScratch(c.Op, c.Case)
				must(t, err)
				if flops, _ := c.Op.Cost(s.node); flops > most {
					t.Errorf("%v: %s is checked by %v, %d FLOPs; want at most %g", f, k.Name, c.Case.In, flops, most)
				}
			}
		}
	}
}

// TestTunerTimesWhatFits: a kernel made for many rows does not run on the few of the heat, and is timed and chosen all the same.
func TestTunerTimesWhatFits(t *testing.T) {
	d := openTest(t)
	n := trialNode(t, opMatMul, Case{In: []Shape{{512, 512}, {512, 512}}, Attr: MatMul{Form: NT}})
	tuner, err := NewTuner(d, "")
	must(t, err)
	_, err = tuner.Choose(n, d.fitting(n))
	must(t, err)
	timed := 0
	for _, v := range tuner.Measured()[0].Variants {
		if strings.HasSuffix(v.Kernel.Name, "_packed") && v.Time > 0 {
			timed++
		}
	}
	if timed == 0 {
		t.Error("no packed variant was timed, although they fit 512 rows")
	}
}

// TestTunerLeavesOutWhatEndedAProcess lets another process end in a kernel, as it does when a driver's code of it is wrong.
func TestTunerLeavesOutWhatEndedAProcess(t *testing.T) {
	d := openTest(t)
	op, node := opMatMul, nodeOf(t, opMatMul, smallProduct)
	if file := os.Getenv("SALTERN_TEST_ENDS_IN"); file != "" {
		tuner, _ := newTestTuner(t, d, file)
		tuner.load()
		err := tuner.attempt(op, d.fitting(node)[0], func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		t.Fatalf("it lives: %v", err)
	}
	file := filepath.Join(t.TempDir(), "tune.json")
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), "SALTERN_TEST_ENDS_IN="+file)
	if out, err := child.CombinedOutput(); child.ProcessState.ExitCode() != -1 {
		t.Fatalf("%v, want a signal\n%s", err, out)
	}
	ended := d.fitting(node)[0]
	for run, warned := range []int{1, 0} { // the second finds it in the cache
		tuner, warnings := newTestTuner(t, d, file)
		if k, err := tuner.Choose(node, d.fitting(node)); err != nil || k == ended {
			t.Fatalf("run %d chose %v, %v; want another than %s", run, k, err, ended.Name)
		}
		if len(*warnings) != warned || warned > 0 && !strings.Contains((*warnings)[0], "matmul/"+ended.Name+" is not used") {
			t.Errorf("run %d warned %q, want %d warnings, of %s", run, *warnings, warned, ended.Name)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "attempt-*")); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
	tuner, _ := newTestTuner(t, d, file)
	tuner.Again = true
	if _, err := tuner.Choose(node, []*Kernel{ended}); err != nil {
		t.Errorf("tried again: %v", err)
	}
}
