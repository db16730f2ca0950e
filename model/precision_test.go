package model

import (
	"math"
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
)

// TestPrecisions trains the same steps in each precision: in 16 bits the losses stay near those of float32, and the loss
// scale leaves no trace in the gradient's norm.
func TestPrecisions(t *testing.T) {
	d := computetest.Device(t)
	steps := func(precision string) (list []Step) {
		tc := tinyTraining()
		tc.Precision = precision
		_, trainer := loaded(t, d, tiny(true), tc)
		for i := range tc.Steps {
			s, err := trainer.Step(i, 0, 0, 1, randomFill(i%2, trainer.Model.Vocab, trainer.T))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		return list
	}
	want := steps(Float32)
	if last := want[len(want)-1].NLL; last > want[0].NLL-0.1 {
		t.Errorf("the loss went from %g to %g: nothing was learnt", want[0].NLL, last)
	}
	for precision, within := range map[string]float64{Float16: 2e-3, BFloat16: 2e-2} {
		same := true
		for i, s := range steps(precision) {
			if s.Skipped || math.Abs(s.NLL-want[i].NLL) > within*want[i].NLL || math.Abs(s.Norm-want[i].Norm) > 10*within*want[i].Norm {
				t.Errorf("%s, step %d: %+v, in float32 %+v", precision, i, s, want[i])
			}
			same = same && s.NLL == want[i].NLL
		}
		if same {
			t.Errorf("%s gives the losses of float32 to the last bit: nothing was rounded", precision)
		}
	}
}

// TestOverflowIsSkipped: a gradient beyond what float16 holds skips the step, leaves the weights alone and halves the scale,
// until one fits.
func TestOverflowIsSkipped(t *testing.T) {
	d, tc := computetest.Device(t), tinyTraining()
	tc.Precision = Float16
	m, trainer := loaded(t, d, tiny(true), tc)
	trainer.Scale.Value = 1 << 22
	weights := func() (all []float32) {
		for _, k := range m.Buckets {
			p := make([]float32, k.Len)
			if err := d.Read(k.flat(k.P), p); err != nil {
				t.Fatal(err)
			}
			all = append(all, p...)
		}
		return all
	}
	before, skipped := weights(), 0
	for i := range int64(24) {
		scale := trainer.Scale.Value
		s, err := trainer.Step(i, 0, 0, 1, randomFill(i, m.Vocab, trainer.T))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Skipped {
			break
		}
		skipped++
		if trainer.Scale.Value != scale/2 || !slices.Equal(weights(), before) {
			t.Fatalf("step %d was skipped: the scale went from %g to %g, weights changed: %v", i, scale, trainer.Scale.Value, !slices.Equal(weights(), before))
		}
	}
	if skipped == 0 || skipped == 24 || slices.Equal(weights(), before) {
		t.Errorf("%d steps were skipped on the way to a scale of %g; weights changed: %v", skipped, trainer.Scale.Value, !slices.Equal(weights(), before))
	}
}

func TestLossScale(t *testing.T) {
	s := newLossScale(Float16)
	for range growAfter {
		s = s.after(false)
	}
	if want := (LossScale{Value: 2 * firstLossScale}); s != want {
		t.Errorf("after %d good steps the scale is %+v, want %+v", growAfter, s, want)
	}
	if s = s.after(false).after(true); s != (LossScale{Value: firstLossScale}) {
		t.Errorf("after an overflow the scale is %+v", s)
	}
}

// TestAutoPrecision: a GPU's matrix units decide, bfloat16 before float16; a CPU's do not.
func TestAutoPrecision(t *testing.T) {
	half, brain := compute.Matrix{M: 16, N: 16, K: 16, In: compute.F16}, compute.Matrix{M: 16, N: 16, K: 16, In: compute.BF16}
	for _, v := range []struct {
		why, asked, want string
		limits           compute.Limits
	}{
		{"no matrix units", Auto, Float32, compute.Limits{}},
		{"float16 units", Auto, Float16, compute.Limits{Matrices: []compute.Matrix{half}}},
		{"both", Auto, BFloat16, compute.Limits{Matrices: []compute.Matrix{brain, half}}},
		{"a CPU", Auto, Float32, compute.Limits{Matrices: []compute.Matrix{half}, CPU: true}},
		{"what the user asked for", Float16, Float16, compute.Limits{}},
	} {
		if got := (TrainConfig{Precision: v.asked}).OnDevice(&v.limits).Precision; got != v.want {
			t.Errorf("%s: %s, want %s", v.why, got, v.want)
		}
	}
}
