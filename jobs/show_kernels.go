package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"saltern/compute"
)

// kernelsCommand shows the machine code that a device's driver makes of the kernels.
func kernelsCommand() *Command {
	var k kernelView
	return &Command{
		Name:    "kernels",
		Usage:   "[--op NAME] [--all] [--strict] [--device NAME] [--set key=value]... [--json] [job.toml]",
		Summary: "compile every kernel for this device and show what its driver says of the machine code",
		Help: `Compiles every variant of every operation that the device claims to support, without running
any, and shows what the driver tells of the result, where it can
(VK_KHR_pipeline_executable_properties; most drivers of GPUs do):

  constants  that specialize the shader, the workgroup's size first
  lanes      of a subgroup
  registers  of 32 bits, for each invocation; the fewer, the more run at a time
  shared     workgroup memory that the shader declares
  spills     stores to memory for want of registers: they cost dearly in an inner loop
  scratch    memory used in place of registers, as the driver counts it
  occupancy  how many subgroups (AMD, NVIDIA, Qualcomm) or invocations (Apple) run at a time
  code       size of the machine code
  instr      instructions, each counted once
  cycles     the driver's static guess; comparable within one driver alone

A variant that cannot be made although the device claims what it needs is an error. The shapes
are those of a usual model, with heads of 64 and of 128 elements, or those of a job file's
models; a variant that none of them needs is shown on one of its test's shapes, and --all
shows it on every one. --strict fails, too, if a variant of matmul, attention or softmax_loss
spills. --json also holds everything that the driver tells, under its own names.

Use it when a kernel is slower on one device than on others, and after a driver's update.`,
		Example: `saltern kernels
saltern kernels --op attention job.toml
saltern kernels --strict --json`,
		Exits: []Kind{BadConfig, NoDevice, LacksFeature},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &k.sets)
			fs.StringVar(&k.op, "op", "", "only this `operation`")
			fs.BoolVar(&k.all, "all", false, "show every shape that is compiled")
			fs.BoolVar(&k.strict, "strict", false, "fail if a variant of a hot operation spills")
			deviceFlag(fs, &k.device)
			jsonFlag(fs, &k.json)
		},
		Run: k.run,
	}
}

// kernelView is what kernels was asked to show.
type kernelView struct {
	sets              listFlag
	op, device        string
	all, strict, json bool
}

func (k *kernelView) run(ctx context.Context, io IO, args []string) (err error) {
	if err := knownOp(k.op); err != nil {
		return err
	}
	selector, err := io.pickAlone(k.device)
	if err != nil {
		return err
	}
	d, err := compute.OpenToExamine(selector, io.validation())
	if err != nil {
		return withHints(err)
	}
	defer func() { err = errors.Join(err, d.CloseChecked()) }()
	nodes, err := k.nodes(args)
	if err != nil {
		return err
	}
	ops := compute.Table
	if k.op != "" {
		ops = []*compute.Op{compute.Find(k.op)}
	}
	var list []compute.Compiled
	var faults []string
	err = d.Examine(ops, nodes, func(c compute.Compiled) error {
		list = append(list, c)
		if fault := k.fault(c); fault != "" {
			faults = append(faults, "  "+fault)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("kernels: %w", err)
	}
	err = kernelTable(k.shown(list), k.json).Write(io.Out, k.json)
	i := d.Info()
	if !i.Statistics {
		fmt.Fprintf(io.Err, "note: %s (%s) tells nothing of its machine code: it lacks VK_KHR_pipeline_executable_properties\n", i.Name, i.Driver)
	}
	if len(faults) > 0 {
		err = errors.Join(err, fail(Failed, "%d of %d kernels are not as they should be on %s (%s):\n%s", len(faults), len(list), i.Name, i.Driver, strings.Join(faults, "\n")))
	}
	return err
}

// nodes are those of the job file's programs, or of a usual model where there is no file.
func (k *kernelView) nodes(args []string) (list []*compute.Node, err error) {
	var programs []*compute.Program
	if len(args) == 0 && len(k.sets) == 0 {
		p, err := compute.Typical()
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	} else {
		job, err := jobOrBuiltin("kernels", args, k.sets)
		if err != nil {
			return nil, err
		}
		if programs, err = jobPrograms(job, 0); err != nil {
			return nil, err
		}
	}
	for _, p := range programs {
		list = append(list, p.Nodes...)
	}
	return list, nil
}

// fault words what is wrong with a kernel; empty if nothing is.
func (k *kernelView) fault(c compute.Compiled) string {
	switch {
	case c.Err != nil:
		return c.Err.Error()
	case k.strict && c.Op.Hot() && c.Spilled():
		return fmt.Sprintf("%s spills for %s (constants %s); let its Fits exclude this", c.Name(), shapeOf(c), constantsOf(c))
	}
	return ""
}

// shown are the usual shapes and, of each kernel that none of them needs, its first.
func (k *kernelView) shown(list []compute.Compiled) []compute.Compiled {
	typical, seen := map[string]bool{}, map[string]bool{}
	for _, c := range list {
		typical[c.Name()] = typical[c.Name()] || c.Typical
	}
	var kept []compute.Compiled
	for _, c := range list {
		if k.all || c.Typical || c.Err != nil || !typical[c.Name()] && !seen[c.Name()] {
			kept = append(kept, c)
		}
		seen[c.Name()] = true
	}
	return kept
}

// kernelTable has a row for each pipeline. In text an operation is named once.
func kernelTable(list []compute.Compiled, asJSON bool) Table {
	t := Table{Columns: []Column{
		{Key: "op", Title: "operation"}, {Key: "kernel", Title: "kernel"}, {Key: "shape", Title: "for"}, {Key: "constants", Title: "constants"}, {Key: "lanes", Title: "lanes"},
		{Key: "registers", Title: "registers"}, {Key: "shared_bytes", Title: "shared", Unit: "B"}, {Key: "spills", Title: "spills"},
		{Key: "scratch_bytes", Title: "scratch", Unit: "B"}, {Key: "occupancy", Title: "occupancy"}, {Key: "code_bytes", Title: "code", Unit: "B"},
		{Key: "instructions", Title: "instr"}, {Key: "cycles", Title: "cycles"}, {Key: "note", Title: "note"},
	}}
	if asJSON {
		t.Columns = append(t.Columns, Column{Key: "typical"}, Column{Key: "hot"}, Column{Key: "driver_says"})
	}
	last := ""
	for _, c := range list {
		name := c.Op.Name
		if name == last && !asJSON {
			name = ""
		}
		last = c.Op.Name
		row := []any{name, c.Kernel.Name, orNil(shapeOf(c)), constantsOf(c), positive(c.Lanes), measureOf(c, compute.Registers), c.Shared}
		for _, m := range []compute.Measure{compute.Spills, compute.Scratch, compute.Occupancy, compute.CodeSize, compute.Instructions, compute.Cycles} {
			row = append(row, measureOf(c, m))
		}
		row = append(row, orNil(noteOf(c)))
		if asJSON {
			all := map[string]float64{}
			for _, s := range c.Statistics {
				all[s.Name] = s.Value
			}
			row = append(row, c.Typical, c.Op.Hot(), all)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func noteOf(c compute.Compiled) string {
	switch {
	case c.Err != nil:
		return "cannot be made"
	case c.Op.Hot() && c.Spilled():
		return "spills"
	}
	return ""
}

// shapeOf tells apart the nodes of one operation: the form of the operation and the types, not the sizes, on which machine code
// rarely depends.
func shapeOf(c compute.Compiled) string {
	var words []string
	switch a := c.Node.Attr.(type) {
	case compute.Attention:
		words = append(words, fmt.Sprintf("heads of %d", a.HeadSize))
	case fmt.Stringer:
		words = append(words, a.String())
	}
	for _, t := range c.Node.In {
		if t.DType.Half() {
			words = append(words, t.DType.String())
		}
	}
	return strings.Join(words, ", ")
}

// constantsOf are the specialization constants, the workgroup's size first.
func constantsOf(c compute.Compiled) string { return strings.Trim(fmt.Sprint(c.Launch.Spec), "[]") }

// measureOf is a measure, rounded, or nil where the driver does not tell it.
func measureOf(c compute.Compiled, m compute.Measure) any {
	v, ok := c.Get(m)
	if !ok {
		return nil
	}
	return int64(v + 0.5)
}

func positive(n int) any {
	if n > 0 {
		return n
	}
	return nil
}
