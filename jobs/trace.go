package jobs

import (
	"time"

	"saltern/compute"
)

// tracer is the device as a trainer sees it. It hands everything through, and while it is active it notes what the host does
// and, by timestamps, what every kernel takes. Programs then run from a recording of their own, which has the same kernels
// in the same order and a barrier after each: results keep their bits.
//
// The device's clock is not the host's. A run's kernels are placed so that the last of them ends when the host saw the run end.
type tracer struct {
	*compute.Device
	active bool
	began  time.Time // the first step's
	host   []span
	kernel []kernelSpan
	ranks  []span // the exchange with other ranks, from a goroutine that ends within the step
	steps  int
	took   time.Duration // the steps, as the host sees them
	device time.Duration // the runs of programs in them, from submission until the host knows that they are done
	loaded []*tracedRun

	slowdown float64 // of what runs while nothing is traced; see IO.slowdown
}

// span is a stretch of time after the trace began.
type span struct {
	name        string
	start, took time.Duration
}

// kernelSpan is one node's.
type kernelSpan struct {
	span
	node   *compute.Node
	kernel *compute.Kernel
}

// tracedRun is a loaded program.
type tracedRun struct {
	*compute.DeviceRun
	t       *tracer
	name    string
	program *compute.Program
	profile *compute.DeviceRun // nil until the tracer is active
}

// programNames are the programs of a trainer from the last on; those before are one for each objective.
func programName(i, n int) string {
	switch i {
	case n - 1:
		return "update"
	case n - 2:
		return "evaluation"
	}
	return "forward and backward"
}

// Load loads a trainer's programs, in its order.
func (t *tracer) Load(programs ...*compute.Program) ([]compute.Executable, error) {
	list, err := t.Device.Load(programs...)
	for i, x := range list {
		run := &tracedRun{DeviceRun: x.(*compute.DeviceRun), t: t, program: programs[i], name: programName(i, len(list))}
		t.loaded = append(t.loaded, run)
		list[i] = run
	}
	return list, err
}

// step runs a training step under observation and says whether it could be: the device may have no timestamps.
func (t *tracer) step(run func() error) (traced bool, err error) {
	if !t.Device.Info().Timestamps {
		return false, run()
	}
	for _, x := range t.loaded {
		if x.profile == nil {
			if x.profile, err = x.DeviceRun.Profile(); err != nil {
				return false, err
			}
		}
	}
	if t.steps == 0 {
		t.began = time.Now()
	}
	t.active = true
	start := time.Now()
	err = run()
	t.active = false
	t.note("step", start)
	t.took += time.Since(start)
	t.steps++
	return true, err
}

// note keeps what the host did since start.
func (t *tracer) note(name string, start time.Time) {
	t.host = append(t.host, span{name, start.Sub(t.began), time.Since(start)})
}

// Run runs the program, with timestamps while the tracer is active.
func (x *tracedRun) Run() error {
	if !x.t.active {
		defer x.t.drag(time.Now())
		return x.DeviceRun.Run()
	}
	return x.RunSegments(func(int) error { return nil })
}

// RunSegments does the same, segment by segment.
func (x *tracedRun) RunSegments(done func(segment int) error) error {
	if !x.t.active && x.t.slowdown > 1 {
		start := time.Now()
		return x.DeviceRun.RunSegments(func(segment int) error {
			x.t.drag(start)
			err := done(segment)
			start = time.Now()
			return err
		})
	} else if !x.t.active {
		return x.DeviceRun.RunSegments(done)
	}
	start, first := time.Now(), 0
	return x.profile.RunSegments(func(segment int) error {
		x.t.device += time.Since(start)
		x.t.note("submit and wait: "+x.name, start)
		end := time.Since(x.t.began)
		times, err := x.profile.SegmentTimes(segment)
		if err != nil {
			return err
		}
		x.place(first, times, end)
		first += len(times)
		err = done(segment)
		start = time.Now()
		return err
	})
}

// place notes the kernels of the nodes from first on, the last of which ended then.
func (x *tracedRun) place(first int, times []float64, end time.Duration) {
	at := end
	for _, ns := range times {
		at -= time.Duration(ns)
	}
	for i, ns := range times {
		took := time.Duration(ns)
		n := x.program.Nodes[first+i]
		x.t.kernel = append(x.t.kernel, kernelSpan{span{label(n), at, took}, n, x.profile.Kernels[first+i]})
		at += took
	}
}

// exchanged notes an exchange with other ranks.
func (t *tracer) exchanged(what string, start time.Time) {
	if t.active {
		t.ranks = append(t.ranks, span{what, start.Sub(t.began), time.Since(start)})
	}
}

// Close frees both recordings.
func (x *tracedRun) Close() {
	if x.profile != nil {
		x.profile.Close()
	}
	x.DeviceRun.Close()
}

// Write passes on and notes.
func (t *tracer) Write(x *compute.Tensor, data []float32) error {
	defer t.passing("write "+x.Storage.Name, time.Now())
	return t.Device.Write(x, data)
}

// WriteU32 passes on and notes.
func (t *tracer) WriteU32(x *compute.Tensor, data []uint32) error {
	defer t.passing("write "+x.Storage.Name, time.Now())
	return t.Device.WriteU32(x, data)
}

// Read passes on and notes.
func (t *tracer) Read(x *compute.Tensor, data []float32) error {
	defer t.passing("read "+x.Storage.Name, time.Now())
	return t.Device.Read(x, data)
}

// passing notes a part of a traced step.
func (t *tracer) passing(name string, start time.Time) {
	if t.active {
		t.note(name, start)
	}
}

// after notes what follows a traced step, until the trace is written.
func (t *tracer) after(name string, start time.Time) {
	if t.steps > 0 {
		t.note(name, start)
	}
}
