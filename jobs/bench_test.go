package jobs

import (
	"math"
	"testing"
	"time"

	"saltern/compute"
)

func TestSpread(t *testing.T) {
	s := spreadOf([]time.Duration{5e6, 1e6, 4e6, 2e6, 3e6})
	if s != (spread{3, 1, 5}) {
		t.Errorf("median, min and max are %v", s)
	}
	if r := s.rate(6e6); r != 2 { // 6e6 FLOPs in 3 ms
		t.Errorf("%g GFLOP/s, want 2", r)
	}
	if p := percent(1, 4); p != 25.0 {
		t.Errorf("a quarter is %v%%", p)
	}
	if percent(1, 0) != nil || percent(math.NaN(), 1) != nil {
		t.Error("a share of nothing is shown")
	}
}

func TestVerdict(t *testing.T) {
	a, b := &compute.Kernel{Name: "a"}, &compute.Kernel{Name: "b"}
	m := &compute.Tuned{Chosen: a}
	for _, test := range []struct {
		v               compute.Variant
		verdict, reason string
	}{
		{compute.Variant{Kernel: a, Time: 100}, "chosen", ""},
		{compute.Variant{Kernel: a}, "chosen", "the only one"},
		{compute.Variant{Kernel: b, Time: 101}, "equal", ""},
		{compute.Variant{Kernel: b, Time: 250}, "slower", "2.5 times"},
		{compute.Variant{Kernel: b, Time: 50, Wrong: "element 3"}, "wrong", "element 3"},
	} {
		if verdict, reason := verdictOf(m, test.v, 100); verdict != test.verdict || reason != test.reason {
			t.Errorf("%+v is %q, %q; want %q, %q", test.v, verdict, reason, test.verdict, test.reason)
		}
	}
}

// TestMemoryNodes wants every memory-bound operation of a training step in the benchmark.
func TestMemoryNodes(t *testing.T) {
	p, err := record(func(r *compute.Recorder) { memoryNodes(r, 64, 32) })
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		seen[n.Op.Name] = true
	}
	for _, name := range []string{"embed", "embed_grad", "rms_norm", "rms_norm_grad", "swiglu", "swiglu_grad", "add", "sum_squares", "adamw"} {
		if !seen[name] {
			t.Errorf("%s is not measured", name)
		}
	}
}

// TestJobProgramsAreAllOfThem counts the programs of the job that tune and bench take where there is none.
func TestJobProgramsAreAllOfThem(t *testing.T) {
	job, err := jobOrBuiltin("tune", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := jobPrograms(job, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3+4 { // SLM: plain, evaluation, update; LLM: also with the teacher
		t.Errorf("%d programs", len(list))
	}
	for i, p := range list {
		for _, n := range onlyOp(p, "adamw").Nodes {
			if n.Op.Name != "adamw" {
				t.Errorf("program %d: %s is not adamw", i, n.Op.Name)
			}
		}
	}
	if n := len(onlyOp(list[2], "adamw").Nodes); n == 0 {
		t.Error("the update has no adamw")
	}
}

// TestJobProgramsOffline: a job that learns from soft labels runs the program that makes them, and the teacher nowhere else.
func TestJobProgramsOffline(t *testing.T) {
	count := func(labels string) (makers, programs int) {
		job, err := jobOrBuiltin("tune", nil, []string{"distill.labels=" + labels, "slm.train.microbatch=2", "llm.train.microbatch=2", "distill.transition=auto"})
		if err != nil {
			t.Fatal(err)
		}
		list, err := jobPrograms(job, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if len(onlyOp(p, "sample").Nodes) > 0 {
				makers++
			}
		}
		return makers, len(list)
	}
	if makers, n := count("online"); makers != 0 || n != 3+4 {
		t.Errorf("online %d of %d programs make soft labels", makers, n)
	}
	if makers, n := count("offline"); makers != 1 || n != 3+4+1 {
		t.Errorf("offline %d of %d programs make soft labels", makers, n)
	}
}

// TestBound: the lower ceiling is named, and an operation that its short launches slow down in cache is not called faster than it can be.
func TestBound(t *testing.T) {
	for _, test := range []struct {
		traffic, copied, cached float64
		want                    string
	}{
		{20, 40, 25, "instructions, 80%"},
		{30, 40, 20, "instructions, 100%"},
		{30, 40, 50, "memory"},
		{45, 40, 20, "memory"},
		{20, 40, 0, ""},
	} {
		r := row{limit: "copy", bytes: int64(test.traffic * 1e6), spread: spread{median: 1}, ceiling: test.copied, cached: test.cached}
		if got := r.bound(); got != test.want {
			t.Errorf("%g GB/s beside a copy of %g, %g in a cache: %q, want %q", test.traffic, test.copied, test.cached, got, test.want)
		}
	}
}
