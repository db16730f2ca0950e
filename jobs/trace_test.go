package jobs

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model"
)

// tracedConfig is a model whose step takes the device long enough for submission to be little of it.
func tracedConfig(t *testing.T) ModelConfig {
	t.Helper()
	job, err := jobOrBuiltin("bench", nil, []string{"llm.model.layers=2", "llm.train.batch=8", "llm.train.microbatch=4", "llm.train.sequence=64", "tokenizer.vocab_size=512"})
	if err != nil {
		t.Fatal(err)
	}
	return job.Config.LLM
}

// weightsAfter trains some steps, the traced ones among them, and gives the losses and all weights.
func weightsAfter(t *testing.T, steps int, traced ...int) ([]float32, *tracer) {
	t.Helper()
	c, device := tracedConfig(t), computetest.Device(t)
	m := model.New(c.Model, "traced", true)
	defer device.Free(m.Storages()...)
	trainer, err := model.Programs(m, c.Train, model.Plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Init(device, 1); err != nil {
		t.Fatal(err)
	}
	tr := &tracer{Device: device}
	if err := trainer.Load(tr); err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	step := randomSteps(trainer, c)
	for i := range steps {
		if slices.Contains(traced, i) {
			ok, err := tr.step(step)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				t.Skip("the device has no timestamps")
			}
		} else if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var weights []float32
	for _, b := range m.Buckets {
		data := make([]float32, b.P.Len)
		if err := device.Read(&compute.Tensor{Shape: compute.Shape{b.P.Len}, Storage: b.P}, data); err != nil {
			t.Fatal(err)
		}
		weights = append(weights, data...)
	}
	return weights, tr
}

// TestTracingChangesNoBit trains the same with and without a traced step in the middle.
func TestTracingChangesNoBit(t *testing.T) {
	plain, none := weightsAfter(t, 4)
	if none.profile() != nil {
		t.Error("a profile of nothing")
	}
	traced, _ := weightsAfter(t, 4, 1, 2)
	if !slices.Equal(plain, traced) {
		t.Error("the weights differ after a traced step")
	}
	if fewer, _ := weightsAfter(t, 3); slices.Equal(plain, fewer) {
		t.Error("a step less gives the same weights: this test sees nothing")
	}
}

// TestTraceAttributes wants 95% of a step's device time, as the host waits for it, in named kernels. On a busy machine the host waits
// for other processes as well, which lowers the part and never raises it: one quiet trace of several is enough.
func TestTraceAttributes(t *testing.T) {
	var p *profile
	for try := 0; try < 5 && (p == nil || p.attributed() < 0.95); try++ {
		_, tr := weightsAfter(t, 5, 2, 3, 4)
		p = tr.profile()
	}
	if a := p.attributed(); a < 0.95 || a > 1 {
		t.Errorf("%.1f%% of the device's time are attributed: %v", 100*a, p)
	}
	if p.device > p.step || p.kernels <= 0 {
		t.Errorf("a step of %v waits %v for its programs, whose kernels take %v", p.step, p.device, p.kernels)
	}
	launches := map[string]float64{}
	for _, k := range p.list {
		launches[k.op] += k.launches
	}
	if launches["attention"] != 4 || launches["clip_control"] != 1 { // 2 layers in 2 microbatches; 1 update
		t.Errorf("launches of a step: %v", launches)
	}
	if !slices.IsSortedFunc(p.list, func(a, b kernelTime) int { return int(b.took - a.took) }) {
		t.Error("the dearest kernel is not first")
	}
}

// TestTraceFile reads a trace as a viewer would.
func TestTraceFile(t *testing.T) {
	_, tr := weightsAfter(t, 3, 2)
	text, err := tr.file(tr.Device.Info(), "a test")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TraceEvents []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	var step event
	names := map[string]int{}
	for _, e := range f.TraceEvents {
		names[e.Name]++
		if e.Name == "step" {
			step = e
		}
	}
	for name, want := range map[string]int{"step": 1, "submit and wait: forward and backward": 2, "submit and wait: update": 1, "write ids": 2, "read control": 1,
		"attention": 4, "thread_name": 2} {
		if names[name] != want {
			t.Errorf("%d events %q, want %d; there are %v", names[name], name, want, names)
		}
	}
	end := 0.0
	for _, e := range f.TraceEvents {
		if e.Phase != "X" {
			continue
		}
		if e.Start < step.Start || e.Start+e.Took > step.Start+step.Took+1 {
			t.Errorf("%s from %g for %g lies outside the step, which is from %g for %g", e.Name, e.Start, e.Took, step.Start, step.Took)
		}
		if e.TID != deviceTrack {
			continue
		}
		if e.Start < end-0.01 {
			t.Errorf("%s begins at %g, before the kernel before it ends, at %g", e.Name, e.Start, end)
		}
		end = e.Start + e.Took
		for _, key := range []string{"variant", "shapes", "flops", "bytes", "gflops", "gbytes"} {
			if _, ok := e.Args[key]; !ok && e.Took > 0 {
				t.Errorf("%s has no %s: %v", e.Name, key, e.Args)
			}
		}
	}
}

func TestDims(t *testing.T) {
	a, b := row{dims: dims{{"m", 1}, {"n", 2}}}, row{dims: dims{{"m", 1}, {"n", 3}}}
	if c := common([]row{a, b}); !reflect.DeepEqual(c, dims{{"m", 1}}) || a.dims.without(c).String() != "n=2" {
		t.Errorf("in common: %v; left of the first: %v", c, a.dims.without(c))
	}
	text, err := json.Marshal(a.dims)
	if err != nil || string(text) != `{"m":1,"n":2}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestTraceOfNoStep(t *testing.T) {
	if err := (traceFlags{step: 0}).check(); err == nil || !strings.Contains(err.Error(), "the first step is 1") {
		t.Errorf("%v", err)
	}
}
