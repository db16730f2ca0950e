package compute

import (
	"fmt"
	"testing"
)

// BenchmarkMatMul prints each variant's GFLOP/s on square products and on a layer's shapes.
func BenchmarkMatMul(b *testing.B) {
	d := openTest(b)
	for _, s := range []struct{ m, n, k int }{{512, 512, 512}, {1024, 1024, 1024}, {2048, 384, 128}, {2048, 128, 352}, {512, 2048, 128}} {
		for _, f := range []Form{NN, NT, TN} {
			c := Case{In: []Shape{{s.m, s.k}, {s.k, s.n}}, Attr: MatMul{Form: f}}
			if f == NT {
				c.In[1] = Shape{s.n, s.k}
			} else if f == TN {
				c.In[0] = Shape{s.k, s.m}
			}
			probe, err := newTrial(opMatMul, c, 1)
			if err != nil {
				b.Fatal(err)
			}
			list, err := d.Time(opMatMul, c, d.fitting(probe.program.Nodes[0]), 5)
			if err != nil {
				b.Fatal(err)
			}
			line := fmt.Sprintf("%v %dx%dx%d:", f, s.m, s.n, s.k)
			for _, t := range list {
				line += fmt.Sprintf("  %s %.1f", t.Kernel.Name, 2*float64(s.m)*float64(s.n)*float64(s.k)/float64(t.Median()))
			}
			b.Log(line)
		}
	}
}
