package distill

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model"
)

// TestTargetEntropy holds the formula, which knows of q only its entropy and q(y), against the sum over the target itself.
func TestTargetEntropy(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	for _, w := range []float64{0, 0.1, 0.5, 0.9, 1} {
		for _, v := range []int{1, 2, 7, 300} {
			q, sum, y := make([]float64, v), 0.0, rng.IntN(v)
			for i := range q {
				q[i] = rng.ExpFloat64()
				sum += q[i]
			}
			want, entropy := 0.0, 0.0
			for i := range q {
				q[i] /= sum
				m := w * q[i]
				if i == y {
					m += 1 - w
				}
				want, entropy = want+plogp(m), entropy+plogp(q[i])
			}
			if got := TargetEntropy(w, entropy, -math.Log(q[y])); math.Abs(got-want) > 1e-12 {
				t.Errorf("w = %g, V = %d: %.15f, want %.15f", w, v, got, want)
			}
		}
	}
}

// TestSmoothingWeight: the target that the weight makes has the entropy that was asked for, as far as there is one.
func TestSmoothingWeight(t *testing.T) {
	for _, v := range []int{2, 50, 50000} {
		most := math.Log(float64(v))
		for _, entropy := range []float64{0, 1e-6, 0.3 * most, 0.999 * most, most, most + 1} {
			w := SmoothingWeight(entropy, v)
			if got, want := TargetEntropy(w, most, most), math.Min(entropy, most); math.Abs(got-want) > 1e-9 || w < 0 || w > 1 {
				t.Errorf("V = %d: a weight of %g gives %g nats, want %g", v, w, got, want)
			}
		}
	}
}

// smooth trains with label smoothing, or without where w < 0.
func smooth(t *testing.T, b compute.Backend, precision string, w float64) (steps []model.Step) {
	t.Helper()
	var s Smoothing
	m := model.New(shape(24), "llm", true)
	c := model.TrainConfig{Steps: 5, Batch: 4, Microbatch: 2, Sequence: 8, LR: 1e-2, Precision: precision}.Defaults()
	trainer, err := model.Programs(m, c, model.Plain, Objective(&s))
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Load(b); err != nil {
		t.Fatal(err)
	}
	defer func() {
		trainer.Close()
		b.Free(append(m.Storages(), s.Storages()...)...)
	}()
	if err := m.Init(b, 2); err != nil {
		t.Fatal(err)
	}
	objective := 1
	if w < 0 {
		objective, w = 0, 0
	}
	for step := range c.Steps {
		got, err := trainer.Step(step, objective, w, 1, func(first int, ids, labels []uint32) error {
			for i := range ids {
				ids[i], labels[i] = uint32((first*31+i*7+int(step))%28), uint32((first*13+i*5+int(step)*3)%28)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, got)
	}
	return steps
}

// TestSmoothing: the teacher is uniform, the device follows the reference in every precision, and w = 0 is plain training.
func TestSmoothing(t *testing.T) {
	want, d := smooth(t, compute.NewReference(), model.Float32, 0.3), computetest.Device(t)
	uniform := math.Log(28)
	for _, test := range []struct {
		precision string
		tol       float64
	}{{model.Float32, 1e-3}, {model.Float16, 2e-2}, {model.BFloat16, 5e-2}} {
		for i, got := range smooth(t, d, test.precision, 0.3) {
			if math.Abs(got.Entropy-uniform) > 1e-5 || math.Abs(got.Teacher-uniform) > 1e-5 {
				t.Errorf("%s: the teacher's entropy is %g, its loss %g, want %g twice", test.precision, got.Entropy, got.Teacher, uniform)
			}
			for name, pair := range map[string][2]float64{"NLL": {got.NLL, want[i].NLL}, "CE": {got.KD, want[i].KD}, "norm": {got.Norm, want[i].Norm}} {
				if math.Abs(pair[0]-pair[1]) > test.tol*math.Abs(pair[1]) {
					t.Errorf("%s, step %d: %s is %g, in the reference %g", test.precision, i, name, pair[0], pair[1])
				}
			}
		}
	}
	plain, zero := smooth(t, d, model.Float32, -1), smooth(t, d, model.Float32, 0)
	for i := range plain {
		if plain[i].NLL != zero[i].NLL || plain[i].Norm != zero[i].Norm {
			t.Errorf("step %d: %v without, %v with w = 0", i, plain[i], zero[i])
		}
		if i > 0 && plain[i].NLL == want[i].NLL {
			t.Error("smoothing changed nothing")
		}
	}
}

// TestDeciding changes each field of a Config and sees whether it counts. A new field must find its place here.
func TestDeciding(t *testing.T) {
	for _, test := range []struct {
		why  string
		c    Config
		want string // the fields that count
	}{
		{"without a teacher there is nothing to decide", Config{Method: "baseline"}, "Method"},
		{"rkd has no stages", Config{Method: "rkd"}, "Method Teacher Weight Temperature Labels"},
		{"salt has", Config{Method: "salt"}, "Method Teacher Weight Temperature KDSteps Transition Labels"},
		{"so has salt-ds", Config{Method: "salt-ds"}, "Method Teacher Weight Temperature KDSteps Transition Labels"},
		{"auto looks at windows", Config{Transition: "auto", Window: 5}, "Method Teacher Weight Temperature KDSteps Transition Window Labels"},
		{"draws have no tail", Config{Labels: "offline"}, "Method Teacher Weight Temperature KDSteps Transition Labels LabelForm LabelCount"},
		{"the likeliest have", Config{Labels: "offline", LabelForm: "top-k"}, "Method Teacher Weight Temperature KDSteps Transition Labels LabelForm LabelCount LabelTail"},
		{"no temperature makes a uniform teacher another", Config{Teacher: Uniform}, "Method Teacher Weight KDSteps Transition Labels"},
		{"one of equal entropy has the SLM's", Config{Teacher: EqualEntropy}, "Method Teacher Weight Temperature KDSteps Transition Labels"},
	} {
		c := test.c.Defaults(100)
		var counts []string
		for i := range reflect.TypeFor[Config]().NumField() {
			changed := c
			switch f := reflect.ValueOf(&changed).Elem().Field(i); f.Kind() {
			case reflect.String:
				f.SetString(f.String() + "?")
			case reflect.Float64:
				f.SetFloat(f.Float() + 0.125)
			case reflect.Int, reflect.Int64:
				f.SetInt(f.Int() + 1)
			default:
				t.Fatalf("a field of kind %v", f.Kind())
			}
			if changed.Deciding() != c.Deciding() {
				counts = append(counts, reflect.TypeFor[Config]().Field(i).Name)
			}
		}
		if got := strings.Join(counts, " "); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.why, got, test.want)
		}
	}
	zero := Config{}.Defaults(100)
	zero.Weight = 0
	hotter := zero
	hotter.Temperature = 3
	if zero.Deciding() != hotter.Deciding() {
		t.Error("with w = 0 the temperature counts")
	}
}
