package jobs

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"saltern/compute/vk"
)

// traceFlags are --trace and --trace-step.
type traceFlags struct {
	file string
	step int64
}

// traceHelp explains them.
const traceHelp = `--trace FILE records one step of the last training and what is due after it, the third that
this process trains or another by --trace-step, for ui.perfetto.dev or chrome://tracing: what
the host did, and by the device's timestamps what each kernel took, with shapes, GFLOP/s and
GB/s. Of several ranks it is the first's, with the exchange of gradients beside the kernels. A table
of the kernels follows, the dearest first. In that step a barrier stands after every kernel, as times
could not be told apart without; no result changes by a bit, but kernels that would overlap do not,
and the step takes a little longer. "of device" is of the time that the host waited for the step's
programs.`

func (f *traceFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.file, "trace", "", "record one training step in this `file`, as a Chrome or Perfetto trace")
	fs.Int64Var(&f.step, "trace-step", 3, "record the `N`th step that this process trains")
}

func (f traceFlags) check() error {
	if f.step < 1 {
		return fail(Usage, "--trace-step %d: the first step is 1", f.step)
	}
	return nil
}

// writeTrace writes the trace of the step just done, and shows where its time went.
func (l *loop) writeTrace() error {
	text, err := l.tracer.file(l.s.device.Info(), fmt.Sprintf("saltern, %s step %d", l.label, l.step))
	if err != nil {
		return err
	}
	if err := writeWhole(l.training.trace.file, text); err != nil {
		return fmt.Errorf("--trace: %w", err)
	}
	p := l.tracer.profile()
	l.tracer.steps = 0
	var table strings.Builder
	if err := p.table(l.peak).Write(&table, false); err != nil {
		return err
	}
	l.s.say("%s: step %d traced in %s: %s\n%s", l.label, l.step, l.training.trace.file, p, strings.TrimSuffix(table.String(), "\n"))
	return nil
}

// Tracks of the file, as rows of the viewer.
const (
	hostTrack   = 1
	deviceTrack = 2
	ranksTrack  = 3
)

// event is one of Chrome's trace event format.
type event struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"` // X: a stretch, M: names a track
	Start float64        `json:"ts"` // microseconds
	Took  float64        `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Args  map[string]any `json:"args,omitempty"`
}

// file is the trace as JSON that ui.perfetto.dev and chrome://tracing open: the host above, the device below, each kernel with
// what it ran on and what it achieved.
func (t *tracer) file(info vk.Info, title string) ([]byte, error) {
	name := func(what string, tid int, name string) event {
		return event{Name: what, Phase: "M", PID: 1, TID: tid, Args: map[string]any{"name": name}}
	}
	events := []event{name("process_name", 0, title), name("thread_name", hostTrack, "host"), name("thread_name", deviceTrack, "device: "+info.Name)}
	stretch := func(s span, tid int, args map[string]any) {
		events = append(events, event{s.name, "X", float64(s.start) / 1e3, float64(s.took) / 1e3, 1, tid, args})
	}
	for _, s := range t.host {
		stretch(s, hostTrack, nil)
	}
	if len(t.ranks) > 0 {
		events = append(events, name("thread_name", ranksTrack, "exchange with the other ranks"))
	}
	for _, s := range t.ranks {
		stretch(s, ranksTrack, nil)
	}
	for _, k := range t.kernel {
		flops, bytes := k.node.Op.Cost(k.node)
		args := map[string]any{"variant": k.kernel.Name, "shapes": shapesOf(k.node), "flops": flops, "bytes": bytes}
		if k.took > 0 {
			args["gflops"], args["gbytes"] = float64(flops)/float64(k.took), float64(bytes)/float64(k.took)
		}
		stretch(k.span, deviceTrack, args)
	}
	return json.Marshal(map[string]any{
		"traceEvents": events, "displayTimeUnit": "ms",
		"otherData": map[string]any{"device": info.Name, "driver": info.Driver, "program": "saltern"},
	})
}
