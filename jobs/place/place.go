package place

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"saltern/compute"
	"saltern/compute/vk"
)

// Node is what a process sees of the machine that it runs on.
type Node struct {
	Devices []vk.Info                        // as the Vulkan loader lists them
	Env     func(name string) (string, bool) // the environment
	Sys     fs.FS                            // /sys
}

// Choice is a device that a rank may take, and the variable that granted it: NAME=VALUE, or nothing where none limits it.
type Choice struct {
	vk.Info
	By string
}

// Describe names the device, and where it is.
func (c Choice) Describe() string { return describe(c.Info) }

func describe(i vk.Info) string {
	if i.PCI == "" {
		return fmt.Sprintf("%s (UUID %s)", i.Name, i.UUID)
	}
	return fmt.Sprintf("%s (PCI %s)", i.Name, i.PCI)
}

func listed(gpus []vk.Info) string {
	var b strings.Builder
	for i, g := range gpus {
		fmt.Fprintf(&b, "  %d  %s, UUID %s\n", i, describe(g), g.UUID)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Choices lists the devices that the ranks of the node take, the first local rank the first one: the GPUs that are granted, in the
// variables' order; where nothing limits them, those of the most capable kind, by PCI address. A CPU comes where no GPU is left. Errors are
// those of a variable that cannot be honoured, and of compute.PickDevice where nothing can be used.
func (n Node) Choices() ([]Choice, error) {
	gpus := n.gpus()
	granted, err := n.granted(gpus)
	if err != nil {
		return nil, err
	}
	able := slices.DeleteFunc(granted, func(c Choice) bool { return c.Lacks != "" })
	candidates := infos(able)
	for _, d := range n.Devices {
		if d.Type == vk.CPU {
			candidates = append(candidates, d)
			able = append(able, Choice{Info: d})
		}
	}
	if len(candidates) == 0 && n.Limits() != "" {
		return nil, fmt.Errorf("%w that this process may use: %s; there are\n%s", vk.ErrNoDriver, n.Limits(), listed(gpus))
	} else if len(candidates) == 0 {
		candidates = n.Devices // whose error says why
	}
	best, err := compute.PickDevice(candidates, "")
	if err != nil {
		return nil, err
	}
	kind := n.Devices[slices.IndexFunc(n.Devices, func(i vk.Info) bool { return i.Index == best })].Type
	return slices.DeleteFunc(able, func(c Choice) bool { return c.Lacks != "" || c.By == "" && c.Type != kind }), nil
}

// ForRank is the choice of the rank of that number among those of the node. Where there are fewer than ranks they are taken in turns: a
// queue may have given each rank its own. Whether two then have one is for Shared to say.
func (n Node) ForRank(local int) (Choice, error) {
	list, err := n.Choices()
	if err != nil {
		return Choice{}, err
	}
	return list[local%len(list)], nil
}

// Limits words the variables that are set and limit the node's GPUs, as NAME=VALUE.
func (n Node) Limits() string {
	var list []string
	names := slices.Clone(slurmVariables)
	for _, v := range vendors {
		names = append(names, v.variables...)
	}
	for _, name := range names {
		if text, set := n.Env(name); set {
			list = append(list, name+"="+text)
		}
	}
	return strings.Join(list, ", ")
}

// gpus are the node's, by PCI address, and not what a driver makes up to compile for; each once, though two drivers may offer it: the first that can be used has it.
func (n Node) gpus() []vk.Info {
	var list []vk.Info
	for _, d := range n.Devices {
		if d.Type == vk.CPU || d.Lacks == vk.OnlyCompiles {
			continue
		}
		twin := slices.IndexFunc(list, func(g vk.Info) bool { return d.PCI != "" && g.PCI == d.PCI })
		switch {
		case twin < 0:
			list = append(list, d)
		case list[twin].Lacks != "":
			list[twin] = d
		}
	}
	slices.SortStableFunc(list, func(a, b vk.Info) int { // without an address: last, as listed
		return cmp.Or(cmp.Compare(btoi(a.PCI == ""), btoi(b.PCI == "")), cmp.Compare(a.PCI, b.PCI))
	})
	return list
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Identity is the same for one device of a node, whatever driver offers it: the PCI address, else the UUID, else the name. Devices that are the
// processor are one, as they share its memory.
func Identity(d vk.Info) string {
	switch {
	case d.Type == vk.CPU:
		return "CPU"
	case d.PCI != "":
		return d.PCI
	case strings.Trim(d.UUID, "0") != "":
		return d.UUID
	}
	return fmt.Sprintf("%s, %d", d.Name, d.Index)
}

// Seat is where a rank sits: a device of a node.
type Seat struct {
	Rank, Node int
	Host       string
	Device     string // for people
	ID         string // see Identity
	Kind       string // devices of one kind round alike: name, driver and the vendor's number of the model
	CPU        bool
}

// NewSeat is that of a rank on a device.
func NewSeat(rank, node int, d vk.Info) Seat {
	host, err := os.Hostname()
	if err != nil {
		host = fmt.Sprint("node ", node)
	}
	kind := d.Name + " (" + d.Driver
	if d.Model != 0 && d.Type != vk.CPU { // a driver may have one name for several models, as NVK for those that it does not know
		kind += fmt.Sprintf(", %04x:%04x", d.Vendor, d.Model)
	}
	if d.Type == vk.CPU { // whose driver compiles for the processor that it finds
		kind += " on " + processor()
	}
	return Seat{rank, node, host, describe(d), Identity(d), kind + ")", d.Type == vk.CPU}
}

// processor is the model of this machine's.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if key, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(model)
			}
		}
	}
	return runtime.GOARCH
}

// String names rank, host and device.
func (s Seat) String() string { return fmt.Sprintf("rank %d (%s, %s)", s.Rank, s.Host, s.Device) }

// Kinds words which ranks have which kind of device.
func Kinds(seats []Seat) string {
	var list []string
	for i, s := range seats {
		if slices.IndexFunc(seats, func(o Seat) bool { return o.Kind == s.Kind }) < i {
			continue
		}
		var ranks []string
		for _, o := range seats {
			if o.Kind == s.Kind {
				ranks = append(ranks, fmt.Sprint(o.Rank))
			}
		}
		list = append(list, fmt.Sprintf("%s: rank %s", s.Kind, strings.Join(ranks, ", ")))
	}
	return strings.Join(list, "; ")
}

// Shared is an error where two ranks have one GPU, which halves the speed of both and often is a mistake. A CPU is everybody's.
func Shared(seats []Seat) error {
	type where struct {
		node int
		id   string
	}
	taken := map[where]Seat{}
	for _, s := range seats {
		if s.CPU {
			continue
		}
		at := where{s.Node, s.ID}
		if other, ok := taken[at]; ok {
			return fmt.Errorf("ranks %d and %d both have %s of node %d; start one rank for each GPU (saltern devices --slurm shows which are granted), or set share_device = true", other.Rank, s.Rank, s.Device, s.Node)
		}
		taken[at] = s
	}
	return nil
}
