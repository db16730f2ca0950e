package compute

import (
	"fmt"
	"testing"
	"time"
)

// TestKeepFaster: of two copies of a kernel's pipelines the faster one is what later programs run, and both give the same bits.
func TestKeepFaster(t *testing.T) {
	for _, c := range []struct {
		why           string
		first, second time.Duration
		fresh         bool
	}{
		{"the new one is faster", 2, 1, true},
		{"the new one is slower", 1, 2, false},
		{"neither is: what is there stays", 1, 1, false},
	} {
		t.Run(c.why, func(t *testing.T) {
			d := openTest(t)
			check := d.Checks(opMatMul, 0)[0]
			n := nodeOf(t, opMatMul, check.Case)
			launches := check.Kernel.Launch(n, &d.limits)
			launches = append(launches, launches...) // one of several windows
			before, err := d.pipeline(launches[0])
			if err != nil {
				t.Fatal(err)
			}
			times := []time.Duration{c.first, c.second}
			if err := d.keepFaster(launches, func() (time.Duration, error) {
				if err := check.Run(d); err != nil {
					t.Error(err)
				}
				took := times[0]
				times = times[1:]
				return took, nil
			}); err != nil {
				t.Fatal(err)
			}
			after, err := d.pipeline(launches[0])
			if err != nil {
				t.Fatal(err)
			}
			if (after != before) != c.fresh {
				t.Errorf("another pipeline: %v, not %v", after != before, c.fresh)
			}
			if err := check.Run(d); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeepFasterFails: an error while the copies are timed is not swallowed, and leaves a pipeline that runs.
func TestKeepFasterFails(t *testing.T) {
	d := openTest(t)
	check := d.Checks(opMatMul, 0)[0]
	launches := check.Kernel.Launch(nodeOf(t, opMatMul, check.Case), &d.limits)
	for left := range 2 {
		err := d.keepFaster(launches, func() (time.Duration, error) {
			if left == 0 {
				return 0, fmt.Errorf("lost")
			}
			left--
			return 1, nil
		})
		if err == nil {
			t.Error("no error")
		}
		if err := check.Run(d); err != nil {
			t.Error(err)
		}
	}
}

// TestTunerSettlesOnce: large nodes alone, on a CPU alone, each pipeline once.
func TestTunerSettlesOnce(t *testing.T) {
	d := openTest(t)
	tuner, _ := newTestTuner(t, d, "")
	large := nodeOf(t, opMatMul, Case{In: []Shape{{256, 256}, {256, 256}}, Attr: MatMul{Form: NN}})
	small := nodeOf(t, opMatMul, Case{In: []Shape{{64, 64}, {64, 64}}, Attr: MatMul{Form: NT}})
	for _, n := range []*Node{large, small} {
		tuner.used[class(n)] = d.fitting(n)[0]
	}
	if err := tuner.settle([]*Node{small, large}); err != nil {
		t.Fatal(err)
	}
	want := 0
	if d.limits.CPU {
		want = 1
	}
	if len(tuner.settled) != want {
		t.Errorf("settled %v, not %d", tuner.settled, want)
	}
	p, err := d.pipeline(tuner.used[class(large)].Launch(large, &d.limits)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := tuner.settle([]*Node{large}); err != nil {
		t.Fatal(err)
	}
	again, err := d.pipeline(tuner.used[class(large)].Launch(large, &d.limits)[0])
	if err != nil {
		t.Fatal(err)
	}
	if again != p {
		t.Error("settled twice")
	}
}
