package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model/checkpoint"
)

// tiny is a model with grouped-query heads, an odd number of layers and sizes that divide little.
func tiny(tied bool) Config {
	return Config{Vocab: 24, Layers: 3, Width: 16, Heads: 4, KVHeads: 2, FFN: 24, Context: 12, TieEmbeddings: tied, InitStd: 0.3}.Defaults()
}

func tinyTraining() TrainConfig {
	return TrainConfig{Steps: 8, Batch: 4, Microbatch: 2, Sequence: 10, LR: 1e-2}.Defaults()
}

// randomFill draws tokens that depend on the step and the place in the batch alone; every seventh label does not count.
func randomFill(step int64, vocab, T int) Fill {
	return func(first int, ids, labels []uint32) error {
		for i := range ids {
			rng := rand.New(rand.NewPCG(uint64(step), uint64(first*T+i)))
			ids[i], labels[i] = uint32(rng.IntN(vocab)), uint32(rng.IntN(vocab))
			if i%7 == 3 {
				labels[i] = compute.Masked
			}
		}
		return nil
	}
}

// loaded is a model with initial weights and its trainer on a backend.
func loaded(t *testing.T, b compute.Backend, c Config, tc TrainConfig) (*Model, *Trainer) {
	t.Helper()
	m := New(c, "test", true)
	trainer, err := Programs(m, tc, Plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Load(b); err != nil {
		t.Fatal(err)
	}
	if err := m.Init(b, 7); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		trainer.Close()
		b.Free(m.Storages()...)
	})
	return m, trainer
}

// TestGradient compares the gradient of the whole model, through the recorded backward pass in float64, with central
// finite differences of the loss, for elements of every weight.
func TestGradient(t *testing.T) {
	for _, v := range []struct {
		tied      bool
		precision string
	}{{false, Float32}, {true, Float32}, {true, Float16}} { // in float64 a cast rounds nothing, but must pass the gradient on
		t.Run(fmt.Sprintf("tied=%v/%s", v.tied, v.precision), func(t *testing.T) {
			b, tc := compute.NewReference(), tinyTraining()
			tc.Precision = v.precision
			tc.Microbatch = tc.Batch
			m, trainer := loaded(t, b, tiny(v.tied), tc)
			fill := randomFill(0, m.Vocab, trainer.T)
			loss := func() float64 {
				if _, err := trainer.accumulate(trainer.exe, tc.Batch, 1, 0, 1, fill); err != nil {
					t.Fatal(err)
				}
				return b.Float64(trainer.stats)[compute.StatNLL] // before it is rounded
			}
			if _, err := trainer.accumulate(trainer.micro[0], trainer.Config.Batch, 1, 0, 1, fill); err != nil {
				t.Fatal(err)
			}
			checkGradient(t, b, m, 6, loss)
		})
	}
}

// checkGradient compares the model's gradient, as it lies there, with central finite differences of a loss, for some elements of every
// weight.
func checkGradient(t *testing.T, b *compute.Reference, m *Model, elements int, loss func() float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, k := range m.Buckets {
		for _, w := range k.Weights {
			p, g := b.Float64(w.Tensor), b.Float64(w.Grad)
			for range elements {
				i := rng.IntN(len(p))
				const h = 1e-5
				x := p[i]
				p[i] = x + h
				up := loss()
				p[i] = x - h
				down := loss()
				p[i] = x
				if want := (up - down) / (2 * h); math.Abs(g[i]-want) > 1e-6*math.Max(1, math.Abs(want)) {
					t.Errorf("%s[%d]: gradient %g, finite differences %g", w.Parts[0].Name, i, g[i], want)
				}
			}
		}
	}
}

// TestDeviceFollowsReference trains the same steps on the device and in float64: losses, norms and weights agree.
func TestDeviceFollowsReference(t *testing.T) {
	d, r := computetest.Device(t), compute.NewReference()
	c := tiny(true)
	c.HeadSize = 8
	md, td := loaded(t, d, c, tinyTraining())
	mr, tr := loaded(t, r, c, tinyTraining())
	for step := range int64(4) {
		fill := randomFill(step, c.Vocab, td.T)
		a, err := td.Step(step, 0, 0, 1, fill)
		if err != nil {
			t.Fatal(err)
		}
		b, err := tr.Step(step, 0, 0, 1, fill)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(a.NLL-b.NLL) > 1e-4*b.NLL || math.Abs(a.Norm-b.Norm) > 1e-3*b.Norm || a.Tokens != b.Tokens || a.Skipped || b.Skipped {
			t.Errorf("step %d: device %+v, reference %+v", step, a, b)
		}
	}
	for i, k := range md.Buckets {
		got, want := make([]float32, k.Len), make([]float32, k.Len)
		if err := d.Read(k.flat(k.P), got); err != nil {
			t.Fatal(err)
		}
		if err := r.Read(mr.Buckets[i].flat(mr.Buckets[i].P), want); err != nil {
			t.Fatal(err)
		}
		for j := range got {
			if math.Abs(float64(got[j]-want[j])) > 2e-3 { // Adam's first steps divide small gradients by themselves
				t.Fatalf("%s: weight %d is %g on the device, %g in the reference", k.Name, j, got[j], want[j])
			}
		}
	}
}

// TestLossAtStart: an untrained model knows nothing, so its loss is ln V within 2%.
func TestLossAtStart(t *testing.T) {
	d := computetest.Device(t)
	c := Config{Vocab: 512, Layers: 2, Width: 64, Heads: 4, Context: 32}.Defaults()
	m, trainer := loaded(t, d, c, TrainConfig{Steps: 1, Batch: 8, Microbatch: 8, Sequence: 32}.Defaults())
	s, err := trainer.accumulate(trainer.exe, 8, 1, 0, 1, randomFill(0, c.Vocab, 32))
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Log(float64(m.Vocab)); math.Abs(s.NLL-want) > 0.02*want {
		t.Errorf("loss %g, ln V is %g", s.NLL, want)
	}
}

// TestResumeIsBitIdentical: losses of a run that was saved and loaded in between equal those of one that never stopped.
func TestResumeIsBitIdentical(t *testing.T) {
	d := computetest.Device(t)
	c, tc, dir := tiny(false), tinyTraining(), t.TempDir()
	m, trainer := loaded(t, d, c, tc)
	steps := func(tr *Trainer, from, to int64) (losses []float64) {
		for i := from; i < to; i++ {
			s, err := tr.Step(i, 0, 0, 1, randomFill(i, c.Vocab, tr.T))
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, s.NLL, s.Norm)
		}
		return losses
	}
	steps(trainer, 0, 3)
	if _, err := m.Save(context.Background(), d, dir, 3, []byte("{}"), 23, Resume{Sample: 12, Job: json.RawMessage("{}")}, nil, checkpoint.Keep{Newest: 2}); err != nil {
		t.Fatal(err)
	}
	want := steps(trainer, 3, 6)

	again, second := loaded(t, d, c, tc)
	cp, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.LoadWeights(d, cp); err != nil {
		t.Fatal(err)
	}
	state, err := again.LoadOptimizer(d, cp)
	if err != nil || state.Sample != 12 {
		t.Fatalf("%+v %v", state, err)
	}
	for i, v := range steps(second, 3, 6) {
		if v != want[i] {
			t.Errorf("number %d after the resume is %v, was %v", i, v, want[i])
		}
	}
}

// TestSkippedStep: a gradient that is not finite leaves weights and optimizer as they were, and the next step is sound.
func TestSkippedStep(t *testing.T) {
	d := computetest.Device(t)
	m, trainer := loaded(t, d, tiny(false), tinyTraining())
	w := m.layers[1].down.Tensor
	good := make([]float32, w.Len())
	if err := d.Read(w, good); err != nil {
		t.Fatal(err)
	}
	bad := append([]float32(nil), good...)
	bad[5] = float32(math.Inf(1))
	if err := d.Write(w, bad); err != nil {
		t.Fatal(err)
	}
	before := make([]float32, m.Buckets[0].Len)
	after := make([]float32, m.Buckets[0].Len)
	if err := d.Read(m.Buckets[0].flat(m.Buckets[0].P), before); err != nil {
		t.Fatal(err)
	}
	s, err := trainer.Step(0, 0, 0, 1, randomFill(0, m.Vocab, trainer.T))
	if err != nil || !s.Skipped {
		t.Fatalf("step with an infinite weight: %+v, %v", s, err)
	}
	if err := d.Read(m.Buckets[0].flat(m.Buckets[0].P), after); err != nil {
		t.Fatal(err)
	}
	for i := range before {
		if before[i] != after[i] {
			t.Fatalf("weight %d changed in a skipped step", i)
		}
	}
	if err := d.Write(w, good); err != nil {
		t.Fatal(err)
	}
	s, err = trainer.Step(0, 0, 0, 1, randomFill(0, m.Vocab, trainer.T))
	if err != nil || s.Skipped || math.IsNaN(s.Norm) {
		t.Fatalf("step after a skipped one: %+v, %v", s, err)
	}
}

// TestPlannedMemoryIsAllocated: the plan says within 2% what loading then takes.
func TestPlannedMemoryIsAllocated(t *testing.T) {
	d := computetest.Device(t)
	c := Config{Vocab: 300, Layers: 2, Width: 64, Heads: 4, Context: 64}.Defaults()
	_, trainer := loaded(t, d, c, TrainConfig{Steps: 1, Batch: 4, Microbatch: 4, Sequence: 64}.Defaults())
	planned, got := trainer.Memory.Total(), d.Allocated()
	if diff := math.Abs(float64(planned - got)); diff > 0.02*float64(got) {
		t.Errorf("planned %d bytes, allocated %d", planned, got)
	}
}

// TestStepDoesNotAllocate: what a step allocates on the Go heap does not grow with the number of kernels.
func TestStepDoesNotAllocate(t *testing.T) {
	d := computetest.Device(t)
	// What is counted is of the whole process: a collection in the middle would add what the finalizers of earlier tests allocate.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var allocs [2]float64
	for i, layers := range []int{1, 6} {
		c := tiny(false)
		c.Layers = layers
		_, trainer := loaded(t, d, c, tinyTraining())
		fill := func(int, []uint32, []uint32) error { return nil }
		allocs[i] = testing.AllocsPerRun(5, func() {
			if _, err := trainer.Step(0, 0, 0, 1, fill); err != nil {
				t.Fatal(err)
			}
		})
	}
	if allocs[1] > allocs[0] {
		t.Errorf("a step of 1 layer allocates %v times, of 6 layers %v times", allocs[0], allocs[1])
	}
}

// TestGenerate: greedy generation follows the logits, and the window slides.
func TestGenerate(t *testing.T) {
	d := computetest.Device(t)
	m, _ := loaded(t, d, tiny(false), tinyTraining())
	g, err := NewGenerator(d, m, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var got []uint32
	if err := g.Generate(context.Background(), []uint32{1, 2}, 12, Sampling{}, func(id uint32) bool { got = append(got, id); return true }); err != nil {
		t.Fatal(err)
	}
	all := append([]uint32{1, 2}, got...)
	for i, id := range got {
		logits, err := g.Logits(all[:2+i])
		if err != nil {
			t.Fatal(err)
		}
		for v, x := range logits {
			if x > logits[id] {
				t.Fatalf("token %d: drew %d, but %d is more likely", i, id, v)
			}
		}
	}
}

// TestEvaluateText: a part of a text is taken from all over it, the whole of it to its last token.
func TestEvaluateText(t *testing.T) {
	b := compute.NewReference()
	m, _ := loaded(t, b, tiny(false), tinyTraining())
	e, err := NewEvaluator(m, 2, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Load(b); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var asked []int64
	text := spy{TokenSlice(make([]uint32, 94)), &asked} // 93 predictions: nine sequences and three more
	for _, c := range []struct{ tokens, counted, last int64 }{{1000, 93, 90}, {93, 93, 90}, {30, 30, 60}, {1, 10, 0}} {
		asked = nil
		s, err := e.EvaluateText(context.Background(), text, c.tokens)
		if err != nil {
			t.Fatal(err)
		}
		if s.Tokens != c.counted || asked[len(asked)-1] != c.last || s.NLL <= 0 {
			t.Errorf("%d tokens asked: %d counted, sequences at %v", c.tokens, s.Tokens, asked)
		}
	}
}

// spy is a text that notes what is read of it.
type spy struct {
	TokenSlice
	at *[]int64
}

func (s spy) Tokens(at int64, dst []uint32) error {
	*s.at = append(*s.at, at)
	return s.TokenSlice.Tokens(at, dst)
}
