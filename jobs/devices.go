package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"saltern/compute"
	"saltern/compute/vk"
)

// devicesCommand lists the Vulkan devices of this machine.
func devicesCommand() *Command {
	var flags struct {
		device string
		slurm  bool
		json   bool
	}
	return &Command{
		Name:    "devices",
		Usage:   "[--device NAME] [--slurm] [--json]",
		Summary: "list the Vulkan devices of this machine, and which one a job would use",
		Help: `Lists every device that the Vulkan loader offers, in its order, with what Saltern needs to
know of it. "*" marks the one that is used when a job names none, or that --device names:
an index, a UUID, a PCI address, or a part of the name. What a device lacks is named; such a
one is never used.

SALTERN_DEVICE in the environment wins over --device. Where nothing names one, and no variable
limits the GPUs, it is the most capable that can be used: a discrete GPU before an integrated, a virtual and any
other one, a CPU last; of two alike, the one with more memory.

--slurm shows which device each rank of this node takes: in a job of Slurm's, or wherever
CUDA_VISIBLE_DEVICES and the like are set. Vulkan reads none of them, so saltern does: GPUs that
are not granted are left alone, and what cannot be mapped to one of Vulkan's is an error.`,
		Example: `saltern devices
saltern devices --device radeon --json
srun -n 1 --gpus-per-task 4 saltern devices --slurm`,
		Exits: []Kind{BadConfig, NoDevice, LacksFeature},
		Flags: func(fs *flag.FlagSet) {
			deviceFlag(fs, &flags.device)
			fs.BoolVar(&flags.slurm, "slurm", false, "show which device each rank of this node takes, and what granted it")
			jsonFlag(fs, &flags.json)
		},
		Run: func(_ context.Context, io IO, args []string) error {
			if len(args) > 0 {
				return fail(Usage, "devices takes no arguments, but got %q; run: saltern help devices", args[0])
			}
			if flags.slurm {
				return showPlaces(io, flags.json)
			}
			list, err := compute.Devices(io.validation())
			if err != nil {
				return withHints(err)
			}
			chosen := -1 // where there is an error; the table may show why, and then the error says it
			selector, err := io.pickAlone(flags.device)
			if err == nil {
				if i, failed := compute.PickDevice(list, selector); failed == nil {
					chosen = i
				} else {
					err = failed
				}
			}
			err = errors.Join(deviceTable(list, chosen, flags.json).Write(io.Out, flags.json), err)
			for _, h := range hints(os.DirFS("/")) { // a GPU may be missing from the list
				fmt.Fprintln(io.Err, "note: "+h)
			}
			return err
		},
	}
}

// deviceTable has a row for each device. In text the chosen one is starred, small things share a column.
func deviceTable(list []vk.Info, chosen int, asJSON bool) Table {
	t := Table{Columns: []Column{
		{Key: "chosen"}, {Key: "index", Title: "#"}, {Key: "name", Title: "name"}, {Key: "type", Title: "type"},
		{Key: "driver", Title: "driver"}, {Key: "api", Title: "Vulkan"},
		{Key: "memory_gib", Title: "memory", Unit: "GiB", Format: "%.1f"},
		{Key: "subgroup_sizes", Title: "subgroup"},
		{Key: "shared_kib", Title: "shared", Unit: "KiB"},
		{Key: "max_storage_range_mib", Title: "range", Unit: "MiB"},
		{Key: "pci", Title: "PCI"}, {Key: "uuid", Title: "UUID"}, {Key: "lacks", Title: "lacks"},
	}}
	if asJSON {
		t.Columns = append(t.Columns, Column{Key: "vendor"}, Column{Key: "model"})
	}
	for _, i := range list {
		var mark any = i.Index == chosen
		if !asJSON {
			mark = map[bool]string{true: "*"}[i.Index == chosen]
		}
		row := []any{
			mark, i.Index, i.Name, i.Type.String(), i.Driver, i.API, float64(i.Memory) / (1 << 30), subgroups(i),
			i.SharedMemory >> 10, i.MaxRange >> 20, orNil(i.PCI), i.UUID, orNil(i.Lacks),
		}
		if asJSON { // PCI-SIG's numbers, as lspci -n writes them
			row = append(row, fmt.Sprintf("%04x", i.Vendor), fmt.Sprintf("%04x", i.Model))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// subgroups words the sizes that subgroups can have; "8 (8 to 32)" where a kernel may choose.
func subgroups(i vk.Info) string {
	if i.SubgroupMin == i.SubgroupMax {
		return fmt.Sprint(i.Subgroup)
	}
	return fmt.Sprintf("%d (%d to %d)", i.Subgroup, i.SubgroupMin, i.SubgroupMax)
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// validation tells whether the environment asks for the Vulkan validation layers.
func (o IO) validation() bool {
	v, _ := o.Env("SALTERN_VALIDATION")
	return v != ""
}

// openDevice opens the device that selector names, under the validation layers where the environment asks for them. The
// caller ends with CloseChecked.
func openDevice(io IO, selector string) (*compute.Device, error) {
	selector, err := io.pickAlone(selector)
	if err != nil {
		return nil, err
	}
	most, err := io.mostMemory()
	if err != nil {
		return nil, err
	}
	d, err := compute.Open(selector, io.validation())
	if err != nil {
		return nil, withHints(err)
	}
	if l := d.Limits(); most > 0 && (l.Memory == 0 || most < l.Memory) {
		l.Memory = most
	}
	return d, nil
}

// mostMemory is how many bytes of its device's memory this process may plan with; 0: all.
func (o IO) mostMemory() (int64, error) {
	text, _ := o.Env("SALTERN_MEMORY")
	n, err := parseBytes(text)
	if err != nil {
		return 0, fail(Usage, "SALTERN_MEMORY: %w", err)
	}
	return n, nil
}

// withHints adds to a missing device what this machine may have to do with it.
func withHints(err error) error {
	if !errors.Is(err, vk.ErrNoDriver) {
		return err
	}
	list := hints(os.DirFS("/"))
	if len(list) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(list, "\n"))
}
