package distill

import (
	"errors"
	"math"
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model"
)

func shape(width int) model.Config {
	return model.Config{Vocab: 28, Layers: 2, Width: width, Heads: 2, FFN: 32, Context: 8, InitStd: 0.3}.Defaults()
}

func train(t *testing.T, b compute.Backend, objective int, w, temperature float64) (losses []float64, weights []float32) {
	t.Helper()
	losses, weights, _ = trainAuto(t, b, objective, w, temperature, &Auto{Factors: whole, Lasting: 1})
	return losses, weights
}

// trainAuto is train with what Auto decided, for objective 2, and gives the sums of the last microbatch too.
func trainAuto(t *testing.T, b compute.Backend, objective int, w, temperature float64, auto *Auto) (losses []float64, weights []float32, sums Sums) {
	t.Helper()
	teacher := model.New(shape(16), "slm", false)
	student := model.New(shape(24), "llm", true)
	c := model.TrainConfig{Steps: 5, Batch: 4, Microbatch: 2, Sequence: 8, LR: 1e-2}.Defaults()
	adaptive := &Adaptive{Source: Online{teacher}}
	trainer, err := model.Programs(student, c, model.Plain, Objective(Online{teacher}), adaptive.Objective)
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Load(b); err != nil {
		t.Fatal(err)
	}
	defer func() {
		trainer.Close()
		b.Free(slices.Concat(student.Storages(), teacher.Storages(), adaptive.Storages())...)
	}()
	if err := errors.Join(adaptive.SetPolicy(b, auto), teacher.Init(b, 1)); err != nil {
		t.Fatal(err)
	}
	if err := student.Init(b, 2); err != nil {
		t.Fatal(err)
	}
	for step := range c.Steps {
		s, err := trainer.Step(step, objective, w, temperature, func(first int, ids, labels []uint32) error {
			for i := range ids {
				ids[i], labels[i] = uint32((first*31+i*7+int(step))%28), uint32((first*13+i*5+int(step)*3)%28)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, s.NLL, s.Norm)
	}
	if objective == 2 {
		if err := adaptive.Collect(b, c.Sequence, auto, Rule{Weight: w, Vocab: 28}, &sums); err != nil {
			t.Fatal(err)
		}
	}
	head := student.Head()
	weights = make([]float32, head.Len())
	if err := b.Read(head, weights); err != nil {
		t.Fatal(err)
	}
	return losses, weights, sums
}

// whole weighs all tokens alike.
var whole = [Buckets]float64{1, 1, 1, 1, 1, 1, 1, 1}

// TestZeroWeightIsPlain: w = 0 with a teacher trains bit for bit as no teacher does.
func TestZeroWeightIsPlain(t *testing.T) {
	d := computetest.Device(t)
	plain, a := train(t, d, 0, 0, 1)
	zero, b := train(t, d, 1, 0, 1)
	for i := range plain {
		if plain[i] != zero[i] {
			t.Errorf("number %d: %v without a teacher, %v with w = 0", i, plain[i], zero[i])
		}
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("weight %d: %v without a teacher, %v with w = 0", i, a[i], b[i])
		}
	}
}

// TestDeviceFollowsReferenceWithTeacher trains with a teacher on the device and in float64.
func TestDeviceFollowsReferenceWithTeacher(t *testing.T) {
	got, _ := train(t, computetest.Device(t), 1, 0.5, 2)
	want, _ := train(t, compute.NewReference(), 1, 0.5, 2)
	plain, _ := train(t, compute.NewReference(), 0, 0, 1)
	for i := range got {
		if math.Abs(got[i]-want[i]) > 2e-3*math.Abs(want[i]) {
			t.Errorf("number %d: %g on the device, %g in the reference", i, got[i], want[i])
		}
	}
	if got[len(got)-2] == plain[len(plain)-2] {
		t.Error("the teacher changed nothing")
	}
}

// TestAdaptiveIsTheObjective: where every bucket has its whole weight, a training that may be weighed by buckets has the bits of one
// that has one weight; where every bucket has ended, those of plain training.
func TestAdaptiveIsTheObjective(t *testing.T) {
	d := computetest.Device(t)
	ended := &Auto{Edges: []float64{1, 2}}
	for _, test := range []struct {
		why       string
		auto      *Auto
		objective int
	}{{"whole weight", &Auto{Edges: []float64{2.5, 2.9}, Factors: whole, Lasting: 1}, 1}, {"no weight", ended, 0}} {
		losses, weights, sums := trainAuto(t, d, 2, 0.5, 1.5, test.auto)
		wantLosses, want := train(t, d, test.objective, 0.5, 1.5)
		if !slices.Equal(losses, wantLosses) || !slices.Equal(weights, want) {
			t.Errorf("%s: other losses or weights: %v, want %v", test.why, losses, wantLosses)
		}
		if sums.Tokens != 16 || sums.NLL.Count != 2 {
			t.Errorf("%s: the sums have %g tokens of %g sequences", test.why, sums.Tokens, sums.NLL.Count)
		}
	}
	_, weights, _ := trainAuto(t, d, 2, 0.5, 1.5, &Auto{Edges: []float64{2.9}, Factors: [Buckets]float64{0, 1}, Lasting: 1})
	for objective := range 2 {
		if _, other := train(t, d, objective, 0.5, 1.5); slices.Equal(weights, other) {
			t.Errorf("a weight in one bucket trains as objective %d does: the comparison cannot fail", objective)
		}
	}
}
