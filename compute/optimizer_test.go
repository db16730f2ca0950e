package compute

import (
	"math"
	"testing"
)

// optimizer is a program of GradNorm over two gradient buckets and AdamW on the first, on the device.
type optimizer struct {
	d                             *Device
	run                           Executable
	p, g, g2, m, v, norm, adam, c *Tensor
}

const optimizerSize, optimizerDecayed = 5000, 4098

func newOptimizer(t *testing.T, k string) *optimizer {
	t.Helper()
	state := func(name string, n int) *Tensor { return NewTensor(State, name, F32, n) }
	o := &optimizer{
		d: openTest(t), p: state("p", optimizerSize), g: state("g", optimizerSize), m: state("m", optimizerSize), v: state("v", optimizerSize),
		g2: state("g2", squaresChunk+3), norm: NewTensor(Host, "norm", F32, 4), adam: NewTensor(Host, "adam", F32, 8),
	}
	// The named variant where it fits, else the first that does.
	o.d.Choose = func(_ *Node, list []*Kernel) (*Kernel, error) {
		for _, one := range list {
			if one.Name == k {
				return one, nil
			}
		}
		return list[0], nil
	}
	r := NewRecorder()
	o.c = NewTensor(Host, "control", F32, 4)
	r.GradNorm(o.c, o.norm, []*Tensor{o.g, o.g2})
	r.AdamW(o.p, o.g, o.m, o.v, o.adam, o.c, optimizerDecayed)
	program, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	exes, err := o.d.Load(program)
	if err != nil {
		t.Fatal(err)
	}
	o.run = exes[0]
	t.Cleanup(o.run.Close)
	return o
}

func (o *optimizer) write(t *testing.T, x *Tensor, f func(i int) float32) []float32 {
	t.Helper()
	data := make([]float32, x.Len())
	for i := range data {
		data[i] = f(i)
	}
	if err := o.d.Write(x, data); err != nil {
		t.Fatal(err)
	}
	return data
}

func (o *optimizer) read(t *testing.T, x *Tensor) []float32 {
	t.Helper()
	data := make([]float32, x.Len())
	if err := o.d.Read(x, data); err != nil {
		t.Fatal(err)
	}
	return data
}

func (o *optimizer) fill(t *testing.T) (p, m, v []float32) {
	o.write(t, o.adam, func(i int) float32 { return []float32{0.01, 0.9, 0.99, 1e-8, 0.1, 10, 100, 0}[i] }) // t = 1
	o.write(t, o.g, func(i int) float32 { return float32(math.Sin(float64(i))) })
	o.write(t, o.g2, func(i int) float32 { return float32(math.Cos(float64(3 * i))) })
	p = o.write(t, o.p, func(i int) float32 { return 1 + float32(i)/1000 })
	return p, o.write(t, o.m, func(int) float32 { return 0 }), o.write(t, o.v, func(int) float32 { return 0 })
}

// TestOptimizerStep: the norm runs over all buckets; clipping and scale reach the step. At t = 1 from zero moments the step
// is lr (sign g + wd p), whatever the gradient's size.
func TestOptimizerStep(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			o := newOptimizer(t, f.name)
			p, _, _ := o.fill(t)
			var sum float64
			for i := range o.g.Len() {
				sum += math.Pow(math.Sin(float64(i)), 2)
			}
			for i := range o.g2.Len() {
				sum += math.Pow(math.Cos(float64(3*i)), 2)
			}
			const scale, clip = 0.5, 2
			norm := scale * math.Sqrt(sum)
			multiplier := scale * clip / norm
			o.write(t, o.norm, func(i int) float32 { return []float32{scale, clip, 0, 0}[i] })
			if err := o.run.Run(); err != nil {
				t.Fatal(err)
			}
			c := o.read(t, o.c)
			if c[1] != 1 || math.Abs(float64(c[2])/norm-1) > 1e-5 || math.Abs(float64(c[0])/multiplier-1) > 1e-5 {
				t.Errorf("control is %v, want multiplier %g and norm %g", c, multiplier, norm)
			}
			got, m, g := o.read(t, o.p), o.read(t, o.m), o.read(t, o.g)
			for i := range got {
				grad := multiplier * math.Sin(float64(i))
				step := grad / (math.Abs(grad) + 1e-8)
				if i < optimizerDecayed {
					step += 0.1 * float64(p[i])
				}
				want := float64(p[i]) - 0.01*step
				if math.Abs(float64(got[i])-want) > 2e-6*math.Abs(want) || math.Abs(float64(m[i])-0.1*grad) > 1e-5*math.Abs(grad)+1e-9 {
					t.Fatalf("element %d: p is %g, want %g; m is %g, want %g", i, got[i], want, m[i], 0.1*grad)
				}
				if g[i] != 0 {
					t.Fatalf("the gradient at %d is left at %g", i, g[i])
				}
			}
		})
	}
}

// TestSkippedStep: a gradient that is inf, NaN or beyond what can be squared leaves p, m and v bit-identical and itself zero.
func TestSkippedStep(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			o := newOptimizer(t, f.name)
			o.write(t, o.norm, func(i int) float32 { return []float32{1, 1, 0, 0}[i] })
			for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), 3e38} {
				before := [3][]float32{}
				before[0], before[1], before[2] = o.fill(t)
				o.write(t, o.g, func(i int) float32 {
					if i == 4999 {
						return float32(bad)
					}
					return 1
				})
				if err := o.run.Run(); err != nil {
					t.Fatal(err)
				}
				if c := o.read(t, o.c); c[0] != 0 || c[1] != 0 || c[3] != 0 || !(math.IsNaN(float64(c[2])) || math.IsInf(float64(c[2]), 1)) {
					t.Errorf("%g: control is %v", bad, c)
				}
				for k, x := range []*Tensor{o.p, o.m, o.v} {
					for i, v := range o.read(t, x) {
						if math.Float32bits(v) != math.Float32bits(before[k][i]) {
							t.Fatalf("%g: %v changed at %d from %g to %g", bad, x, i, before[k][i], v)
						}
					}
				}
				for i, v := range o.read(t, o.g) {
					if v != 0 {
						t.Fatalf("%g: the gradient at %d is left at %g", bad, i, v)
					}
				}
			}
		})
	}
}
