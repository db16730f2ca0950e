package place

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"saltern/compute/vk"
)

// vendor is who made a GPU, and the variables that say which of that vendor's GPUs a process may use. The second counts within
// what the first leaves.
type vendor struct {
	id        uint32 // PCI-SIG's
	name      string
	variables []string
	entry     func(n Node, gpus []vk.Info, text string) (int, error) // one of a variable's list to an index in gpus; -1: the list ends here
}

var vendors = []vendor{
	{0x10de, "NVIDIA", []string{"CUDA_VISIBLE_DEVICES"}, nvidiaEntry},
	{0x1002, "AMD", []string{"ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"}, amdEntry},
	{0x8086, "Intel", []string{"ZE_AFFINITY_MASK"}, intelEntry},
}

// slurmVariables name the GPUs of a step, or of a batch script, by Slurm's numbers.
var slurmVariables = []string{"SLURM_STEP_GPUS", "SLURM_JOB_GPUS"}

// granted keeps of the node's GPUs, in PCI order, those that the variables grant, in the variables' order.
func (n Node) granted(gpus []vk.Info) (list []Choice, err error) {
	slurm, numbers := n.slurm()
	if name, text := n.sameForAll(gpus, numbers); slurm != "" && name != "" {
		return n.bySlurm(gpus, name, text)
	}
	var rest []vk.Info // of vendors without a variable that is set
	for _, g := range gpus {
		if v := vendorOf(g); v == nil || !n.limits(v) {
			rest = append(rest, g)
		}
	}
	for i := range vendors {
		v := &vendors[i]
		mine := slices.DeleteFunc(slices.Clone(gpus), func(g vk.Info) bool { return g.Vendor != v.id })
		if len(mine) == 0 || !n.limits(v) {
			continue
		}
		choices, err := n.byVendor(v, mine)
		if err != nil {
			return nil, err
		}
		list = append(list, choices...)
	}
	switch {
	case slurm != "" && len(rest) == len(gpus) && len(gpus) > 0:
		return n.bySlurm(gpus, slurm, numbers)
	case slurm != "": // which grants no GPU of a vendor whose variable it does not set
		return list, nil
	}
	for _, g := range rest {
		list = append(list, Choice{Info: g})
	}
	return list, nil
}

func vendorOf(g vk.Info) *vendor {
	i := slices.IndexFunc(vendors, func(v vendor) bool { return v.id == g.Vendor })
	if i < 0 {
		return nil
	}
	return &vendors[i]
}

// limits says that a variable of the vendor's is set. An empty ZE_AFFINITY_MASK is none.
func (n Node) limits(v *vendor) bool {
	return slices.ContainsFunc(v.variables, func(name string) bool {
		text, set := n.Env(name)
		return set && (text != "" || name != "ZE_AFFINITY_MASK")
	})
}

// byVendor applies the vendor's variables to its GPUs.
func (n Node) byVendor(v *vendor, gpus []vk.Info) ([]Choice, error) {
	left := make([]Choice, len(gpus))
	for i, g := range gpus {
		left[i] = Choice{Info: g}
	}
	for _, name := range v.variables {
		text, set := n.Env(name)
		if !set {
			continue
		}
		by := name + "=" + text
		var kept []Choice
		for _, entry := range strings.Split(text, ",") {
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			i, err := v.entry(n, infos(left), entry)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", by, err)
			}
			if i < 0 {
				break
			}
			if slices.ContainsFunc(kept, func(c Choice) bool { return c.Index == left[i].Index }) {
				return nil, fmt.Errorf("%s names %s twice", by, left[i].Describe())
			}
			kept = append(kept, Choice{left[i].Info, by})
		}
		left = kept
	}
	return left, nil
}

func infos(list []Choice) []vk.Info {
	out := make([]vk.Info, len(list))
	for i, c := range list {
		out[i] = c.Info
	}
	return out
}

// nvidiaEntry reads an index, or GPU- and the beginning of a UUID. "-1", and the "NoDevFiles" of old Slurms, end the list, as any
// index that CUDA does not know would.
func nvidiaEntry(n Node, gpus []vk.Info, text string) (int, error) {
	switch {
	case text == "-1" || text == "NoDevFiles":
		return -1, nil
	case strings.HasPrefix(text, "MIG"):
		return 0, fmt.Errorf("%s is a part of a GPU (MIG), which Vulkan cannot use; ask for whole GPUs", text)
	case strings.HasPrefix(text, "GPU-"):
		return byUUID(gpus, text, func(g vk.Info) string { return g.UUID })
	}
	order, _ := n.Env("CUDA_DEVICE_ORDER")
	if name, _ := n.slurm(); name == "" && order != "PCI_BUS_ID" && kinds(gpus) > 1 {
		return 0, fmt.Errorf("CUDA counts its fastest GPU first, which only CUDA can tell, and these NVIDIA GPUs are of %d kinds: set CUDA_DEVICE_ORDER=PCI_BUS_ID and count by PCI address, or name UUIDs; there are\n%s", kinds(gpus), listed(gpus))
	}
	return byIndex(gpus, text)
}

// amdEntry reads an index, or GPU- and the unique id that the kernel's driver knows of each die: Mesa's UUIDs are made of PCI addresses.
func amdEntry(n Node, gpus []vk.Info, text string) (int, error) {
	if !strings.HasPrefix(text, "GPU-") {
		return byIndex(gpus, text)
	}
	return byUUID(gpus, text, func(g vk.Info) string {
		id, err := fs.ReadFile(n.Sys, "bus/pci/devices/"+g.PCI+"/unique_id")
		if err != nil {
			return g.UUID
		}
		return strings.TrimSpace(string(id))
	})
}

// intelEntry reads an index; a tile of a GPU has a dot.
func intelEntry(_ Node, gpus []vk.Info, text string) (int, error) {
	if strings.Contains(text, ".") {
		return 0, fmt.Errorf("%s is a tile of a GPU, and Vulkan uses whole GPUs; name those, by ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE", text)
	}
	return byIndex(gpus, text)
}

func byIndex(gpus []vk.Info, text string) (int, error) {
	i, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither an index nor a UUID", text)
	}
	if i < 0 || i >= len(gpus) {
		return 0, fmt.Errorf("there is no GPU %d, as Vulkan shows %d that it may mean; is a driver missing, or does the number count GPUs of all vendors? device = \"UUID\" names one; there are\n%s", i, len(gpus), listed(gpus))
	}
	return i, nil
}

func byUUID(gpus []vk.Info, text string, uuid func(vk.Info) string) (int, error) {
	want := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(text, "GPU-"), "-", ""))
	found := -1
	for i, g := range gpus {
		if want == "" || !strings.HasPrefix(uuid(g), want) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("%s is the beginning of two UUIDs", text)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("no GPU that Vulkan shows has the UUID %s; is it hidden from this process? There are\n%s", text, listed(gpus))
	}
	return found, nil
}

// kinds is how many different models the GPUs are.
func kinds(gpus []vk.Info) int {
	models := map[string]bool{}
	for _, g := range gpus {
		models[fmt.Sprint(g.Name, g.Model)] = true
	}
	return len(models)
}

// slurm is the variable by which Slurm says which GPUs it granted, and its value.
func (n Node) slurm() (name, numbers string) {
	for _, name := range slurmVariables {
		if text, set := n.Env(name); set && text != "" {
			return name, text
		}
	}
	return "", ""
}

// sameForAll is a variable whose value counts GPUs of several vendors, as Slurm does: where gres.conf does not say whose a GPU is, Slurm
// sets all vendors' variables to the same. Where each counts its own, they have together as many as Slurm granted.
func (n Node) sameForAll(gpus []vk.Info, numbers string) (name, text string) {
	if !severalVendors(gpus) {
		return "", ""
	}
	set := 0
	for i := range vendors {
		value, ok := n.Env(vendors[i].variables[0])
		switch {
		case !ok:
			continue
		case set > 0 && value != text:
			return "", ""
		}
		name, text = vendors[i].variables[0], value
		set++
	}
	count := func(list string) int { return strings.Count(list, ",") + 1 }
	if all, err := ranges(numbers); set < 2 || err == nil && len(all) == set*count(text) {
		return "", ""
	}
	return name, text
}

func severalVendors(gpus []vk.Info) bool {
	return slices.ContainsFunc(gpus, func(g vk.Info) bool { return g.Vendor != gpus[0].Vendor })
}

// bySlurm takes all GPUs where there are as many as Slurm granted: it keeps the others from this process. Otherwise its numbers count in
// PCI order, if all GPUs are of one vendor.
func (n Node) bySlurm(gpus []vk.Info, name, text string) ([]Choice, error) {
	numbers, err := ranges(text)
	by := name + "=" + text
	if err != nil {
		return nil, fmt.Errorf("%s: %w", by, err)
	}
	var list []Choice
	if len(numbers) == len(gpus) {
		for _, g := range gpus {
			list = append(list, Choice{g, by})
		}
		return list, nil
	}
	if severalVendors(gpus) {
		return nil, fmt.Errorf("%s: this process sees %d GPUs, of several vendors, and cannot tell which of them Slurm granted: let Slurm keep the others away (ConstrainDevices=yes in cgroup.conf) or tell vendors apart (AutoDetect in gres.conf), ask for whole nodes (--exclusive), or name one with device = \"UUID\"; there are\n%s",
			by, len(gpus), listed(gpus))
	}
	for _, i := range numbers {
		if i >= len(gpus) {
			return nil, fmt.Errorf("%s: this process sees %d GPUs, and none is number %d; is a driver missing? There are\n%s", by, len(gpus), i, listed(gpus))
		}
		list = append(list, Choice{gpus[i], by})
	}
	return list, nil
}

// ranges reads "0,2-4".
func ranges(text string) (list []int, err error) {
	for _, part := range strings.Split(text, ",") {
		a, b, to := strings.Cut(strings.TrimSpace(part), "-")
		if !to {
			b = a
		}
		first, err1 := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if err1 != nil || err2 != nil || first < 0 || last < first || last > 1<<10 {
			return nil, fmt.Errorf("%q is no number of a GPU", part)
		}
		for i := first; i <= last; i++ {
			list = append(list, i)
		}
	}
	return list, nil
}
