package compute

import (
	"fmt"
	"testing"
)

// TestRopeGradient rotates in the middle of a program and compares with central differences. The heads that are not
// rotated must pass their gradient on.
func TestRopeGradient(t *testing.T) {
	checkMidGraph(t, NewReference(), 6, 12, 12, func(r *Recorder, x *Tensor) *Tensor {
		return r.Rope(x, Rope{Heads: 2, HeadSize: 4, T: 3, Start: 5, Theta: 100})
	})
}

// TestRopeRefusesWhatIsNone: a zero theta must not become NaN angles on the device.
func TestRopeRefusesWhatIsNone(t *testing.T) {
	for _, a := range []Rope{
		{Heads: 1, HeadSize: 4, T: 4},                                                // no theta
		{Heads: 1, HeadSize: 3, T: 4, Theta: 1e4},                                    // no pairs
		{Heads: 3, HeadSize: 4, T: 4, Theta: 1e4},                                    // more than the row
		{Heads: 1, HeadSize: 4, Theta: 1e4},                                          // no positions
		{Heads: 1, HeadSize: 4, T: 4, Theta: 0.99},                                   // frequencies would rise
		{Heads: 1, HeadSize: 4, T: 4, Theta: 1e4, Scaling: RopeScaling{Factor: 0.5}}, // frequencies would rise
		{Heads: 1, HeadSize: 4, T: 4, Theta: 1e4, Scaling: RopeScaling{Factor: 2, Original: 10, Low: 1, High: 1}}, // no line between
		{Heads: 1, HeadSize: 512, T: 4, Theta: 1e4},                                                               // more pairs than the shader's powers reach
	} {
		r := NewRecorder()
		r.Rope(NewTensor(State, "x", F32, 4, 8), a)
		if _, err := r.Finish(); err == nil {
			t.Errorf("%+v was recorded", a)
		}
	}
}

// BenchmarkRope times every variant in gigabytes per second.
func BenchmarkRope(b *testing.B) {
	d := openTest(b)
	for _, a := range []Rope{{Heads: 8, HeadSize: 32, T: 256, Theta: 1e4}, {Heads: 10, HeadSize: 64, T: 256, Theta: 1e4}} {
		r := NewRecorder()
		r.Rope(NewTensor(State, "x", F32, 2048, (a.Heads+2)*a.HeadSize), a)
		p, err := r.Finish()
		if err != nil {
			b.Fatal(err)
		}
		for i := range opRope.Kernels {
			k := &opRope.Kernels[i]
			b.Run(fmt.Sprintf("%+v/%s", a, k.Name), func(b *testing.B) {
				d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return k, nil }
				x, err := d.Profile(p)
				if err != nil {
					b.Fatal(err)
				}
				defer x.Close()
				var sum float64
				for b.Loop() {
					if err := x.Run(); err != nil {
						b.Fatal(err)
					}
					times, err := x.Times()
					if err != nil {
						b.Fatal(err)
					}
					sum += times[0]
				}
				_, bytes := opRope.Cost(p.Nodes[0])
				b.ReportMetric(float64(bytes)*float64(b.N)/sum, "GB/s")
				b.ReportMetric(sum/float64(b.N)/1e6, "ms")
			})
		}
	}
}
