package compute

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"saltern/compute/vk"
)

// Devices lists what the Vulkan loader offers, usable or not, in the loader's order. With validate, the Khronos validation
// layer must be installed. The error is vk.ErrNoDriver when there is nothing.
func Devices(validate bool) ([]vk.Info, error) {
	in, err := vk.Open(validate)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return in.Devices(), nil
}

// Open opens the device that selector names: see PickDevice. With validate, the Khronos validation layer checks every call until
// CloseChecked. Errors are vk.ErrNoDriver where nothing is there or nothing has that name, vk.ErrLacks where what is there
// cannot be used.
func Open(selector string, validate bool) (*Device, error) {
	return open(selector, validate, false)
}

// OpenToExamine is Open for a device whose kernels are to be looked at by Examine: its driver keeps what it knows of them,
// where it can. It may be one that does nothing but compile.
func OpenToExamine(selector string, validate bool) (*Device, error) {
	return open(selector, validate, true)
}

func open(selector string, validate, examine bool) (*Device, error) {
	in, err := vk.Open(validate)
	if err != nil {
		return nil, err
	}
	list, openDevice := slices.Clone(in.Devices()), (*vk.Instance).OpenDevice
	if examine {
		openDevice = (*vk.Instance).OpenToExamine
		for i := range list {
			if list[i].Lacks == vk.OnlyCompiles {
				list[i].Lacks = ""
			}
		}
	}
	index, err := PickDevice(list, selector)
	if err != nil {
		in.Close()
		return nil, err
	}
	v, err := openDevice(in, index)
	if err != nil {
		in.Close()
		return nil, err
	}
	d := NewDevice(v)
	d.instance = in
	return d, nil
}

// CloseChecked closes the device and returns what the validation layer said of it, if that was asked for.
func (d *Device) CloseChecked() error {
	in := d.instance
	d.Close()
	if in == nil {
		return nil
	}
	if m := strings.TrimSpace(in.Messages()); m != "" {
		return fmt.Errorf("bug: the Vulkan validation layer says:\n%s", m)
	}
	return nil
}

// PickDevice picks the index in list of the device that selector names: the index itself, a UUID, a PCI address, or a part of the
// name, whatever its case. Empty stands for the most capable device: discrete before integrated, virtual and other ones, a CPU last, more
// memory before less. The error lists what there is.
func PickDevice(list []vk.Info, selector string) (int, error) {
	if selector == "" {
		best := slices.MinFunc(list, capability)
		if best.Lacks != "" {
			return 0, fmt.Errorf("%w; there are\n%s", vk.ErrLacks, listed(list))
		}
		return best.Index, nil
	}
	found := named(list, selector)
	switch {
	case len(found) == 0:
		return 0, fmt.Errorf("%w that %q names; there are\n%s", vk.ErrNoDriver, selector, listed(list))
	case len(found) > 1:
		return 0, fmt.Errorf("%w that %q alone names; give the index or the UUID of one of\n%s", vk.ErrNoDriver, selector, listed(found))
	case found[0].Lacks != "":
		return 0, fmt.Errorf("%w: %q names one that cannot be used; there are\n%s", vk.ErrLacks, selector, listed(list))
	}
	return found[0].Index, nil
}

// capability orders devices, the most capable usable one first.
func capability(a, b vk.Info) int {
	rank := func(i vk.Info) int {
		if i.Lacks != "" {
			return 5
		}
		if at := slices.Index([]vk.Type{vk.Discrete, vk.Integrated, vk.Virtual}, i.Type); at >= 0 {
			return at
		}
		if i.Type == vk.CPU {
			return 4
		}
		return 3 // other kinds, also those that Vulkan may yet name
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Memory, a.Memory), cmp.Compare(a.Index, b.Index))
}

// maxIndex tells an index, as 1, from a number in a name, as 7900: 1 must not mean whatever has a 1 in its name.
const maxIndex = 100

// named lists the devices that selector may mean. An index wins over a UUID or an address, these over a name.
func named(list []vk.Info, selector string) []vk.Info {
	is := func(match func(i vk.Info) bool) []vk.Info {
		return slices.DeleteFunc(slices.Clone(list), func(i vk.Info) bool { return !match(i) })
	}
	if n, err := strconv.Atoi(selector); err == nil && n < maxIndex {
		return is(func(i vk.Info) bool { return i.Index == n })
	}
	uuid := strings.ToLower(strings.ReplaceAll(selector, "-", ""))
	part := strings.ToLower(selector)
	if found := is(func(i vk.Info) bool { return i.UUID == uuid || i.PCI == part }); len(found) > 0 {
		return found
	}
	return is(func(i vk.Info) bool { return strings.Contains(strings.ToLower(i.Name), part) })
}

// listed is a line for each device, with why it cannot be used.
func listed(list []vk.Info) string {
	var b strings.Builder
	for _, i := range list {
		fmt.Fprintf(&b, "  %d  %s (%s, %s, ", i.Index, i.Name, i.Type, i.Driver)
		if i.PCI != "" {
			fmt.Fprintf(&b, "PCI %s, ", i.PCI)
		}
		fmt.Fprintf(&b, "UUID %s)", i.UUID)
		if i.Lacks != "" {
			fmt.Fprintf(&b, ": lacks %s", i.Lacks)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}
