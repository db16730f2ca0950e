package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"saltern/compute"
	"saltern/jobs/progress"
)

// doctorCommand examines this machine and its device.
func doctorCommand() *Command {
	var d diagnosis
	return &Command{
		Name:    "doctor",
		Usage:   "[--device NAME] [--op NAME] [--random N] [--check NAME] [--json]",
		Summary: "examine this machine: is there a device, and does it compute what it should",
		Help: `First looks at what a job needs of the machine, and says what to do about what is missing.
Then runs every variant of every kernel that the device can run, on shapes that once broke
something and on random ones, and compares each with the same operation in float64 in plain
Go. Results must agree, have the same bits in three runs, and nothing else may be written.
"Left out" are the variants that cannot run on this device, or on any of the shapes.

Use it on a new machine, after a driver's update, and when an error names it. A variant
that disagrees is a fault of the driver, or of Saltern: please report it with the name of
the check and the output of "saltern devices". --check runs that one again.`,
		Example: `saltern doctor
saltern doctor --op matmul --random 200
saltern doctor --check 'add/plain/[77][77]/seed=0'`,
		Exits: []Kind{NoDevice, LacksFeature, NoMemory, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			deviceFlag(fs, &d.device)
			fs.StringVar(&d.op, "op", "", "only this `operation`")
			fs.IntVar(&d.random, "random", 12, "`number` of random shapes for each operation")
			fs.StringVar(&d.check, "check", "", "only the check of that `name`, as doctor prints it")
			jsonFlag(fs, &d.json)
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			if len(args) > 0 {
				return fail(Usage, "doctor takes no arguments, but got %q; run: saltern help doctor", args[0])
			}
			return d.run(ctx, io, compute.Table)
		},
	}
}

// diagnosis is what doctor was asked to do.
type diagnosis struct {
	device, op, check string
	random            int
	json              bool
}

// run examines the machine, then the operations.
func (d diagnosis) run(ctx context.Context, io IO, ops []*compute.Op) (err error) {
	ops, err = d.selected(ops)
	if err != nil {
		return err
	}
	m := newMachine(io, d.device)
	if m.device != nil {
		defer func() { err = errors.Join(err, m.device.CloseChecked()) }()
	}
	found, err := m.examine()
	if !d.json {
		err = errors.Join(err, findingTable(found).Write(io.Out, false))
	}
	if m.device == nil || err != nil {
		if d.json {
			err = errors.Join(err, doctorTable(found, nil).Write(io.Out, true))
		}
		return err
	}
	results, err := d.checkOps(ctx, io, m.device, ops)
	if err != nil {
		return err
	}
	if d.json {
		err = doctorTable(found, results).Write(io.Out, true)
	} else {
		fmt.Fprintln(io.Out)
		err = errors.Join(opTable(results).Write(io.Out, false), writeFailures(io.Out, results))
	}
	failed, all := 0, 0
	for _, r := range results {
		failed, all = failed+len(r.failures), all+r.checks
	}
	if failed > 0 {
		err = errors.Join(err, fail(Failed, "%d of %d checks failed on %s (%s): results there cannot be trusted; try another version of the driver",
			failed, all, m.device.Info().Name, m.device.Info().Driver))
	}
	return err
}

// selected are the operations that --op leaves.
func (d diagnosis) selected(ops []*compute.Op) ([]*compute.Op, error) {
	if d.random < 0 {
		return nil, fail(Usage, "--random %d is negative; give how many random shapes to check of each operation", d.random)
	}
	if d.op == "" {
		return ops, nil
	}
	var names []string
	for _, op := range ops {
		if op.Name == d.op {
			return []*compute.Op{op}, nil
		}
		names = append(names, op.Name)
	}
	return nil, fail(Usage, "there is no operation %q%s", d.op, didYouMean(d.op, names, "saltern doctor"))
}

// checkOps runs the checks that were asked for, with progress.
func (d diagnosis) checkOps(ctx context.Context, io IO, device *compute.Device, ops []*compute.Op) ([]opResult, error) {
	lists := make([][]compute.Check, len(ops))
	total := 0
	if d.check != "" {
		c, err := device.CheckNamed(ops, d.check)
		if err != nil {
			return nil, &Error{Usage, err}
		}
		lists, total = [][]compute.Check{{c}}, 1
	} else {
		for i, op := range ops {
			lists[i] = device.Checks(op, d.random)
			total += len(lists[i])
		}
	}
	meter, start, done := newMeter(io, 0), time.Now(), 0
	var last progress.Sample
	var results []opResult
	for _, list := range lists {
		r, err := checkOp(ctx, device, list, func(op string) {
			done++
			last = progress.Sample{Unit: "check", Done: int64(done), Total: int64(total), Left: progress.Left(time.Since(start), int64(done), int64(total-done)), Note: op}
			meter.Update(time.Now(), last)
		})
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	last.Note = ""
	meter.Done(last)
	return results, nil
}
