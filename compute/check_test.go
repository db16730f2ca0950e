package compute

import (
	"os"
	"strings"
	"testing"

	"saltern/compute/vk"
)

// openTest opens the first usable device, with the validation layer when SALTERN_VALIDATION is set; a message from it
// fails the test.
func openTest(t testing.TB) *Device {
	t.Helper()
	in, err := vk.Open(os.Getenv("SALTERN_VALIDATION") != "")
	if err != nil {
		t.Fatal(err)
	}
	index := -1
	for _, info := range in.Devices() {
		if info.Lacks == "" {
			index = info.Index
			break
		}
	}
	if index < 0 {
		t.Fatalf("no usable Vulkan device among %+v", in.Devices())
	}
	v, err := in.OpenDevice(index)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDevice(v)
	t.Cleanup(func() {
		d.Close()
		if d.Allocated() != 0 {
			t.Errorf("%d bytes of device memory leaked", d.Allocated())
		}
		in.Close()
		if m := in.Messages(); m != "" {
			t.Errorf("the validation layer says:\n%s", m)
		}
	})
	return d
}

// TestKernels checks every kernel variant of every operation that fits this device against the reference.
func TestKernels(t *testing.T) {
	d := openTest(t)
	for _, op := range Table {
		for _, c := range d.Checks(op, 12) {
			t.Run(c.Name(), func(t *testing.T) {
				if err := c.Run(d); err != nil {
					t.Errorf("%s (%s)", err, c.Case.Why)
				}
			})
		}
	}
}

// TestKernelsInWindows repeats the checks on a device that can bind only little at once, so that every operation has to
// cut its work.
func TestKernelsInWindows(t *testing.T) {
	d := openTest(t)
	d.limits.MaxRange, d.limits.MaxTexel, d.limits.MaxGridX = 64*64, 64*64, 7
	for _, op := range Table {
		for _, c := range d.Checks(op, 6) {
			t.Run(c.Name(), func(t *testing.T) {
				if err := c.Run(d); err != nil {
					t.Errorf("%s (%s)", err, c.Case.Why)
				}
			})
		}
	}
}

// TestKernelsForGPUs checks the variants that are for GPUs alone, by telling them that this device is one. Attention's are
// left out: they run on a CPU too, and their large heads take its compiler minutes.
func TestKernelsForGPUs(t *testing.T) {
	d := openTest(t)
	if !d.limits.CPU {
		t.Skip("this device is a GPU; TestKernels has run them")
	}
	seen := map[string]bool{}
	for _, op := range Table {
		for i := range op.Kernels {
			seen[op.Name+"/"+op.Kernels[i].Name] = false
		}
		for _, c := range d.Checks(op, 12) {
			seen[op.Name+"/"+c.Kernel.Name] = true
		}
	}
	d.limits.CPU = false
	for _, op := range Table {
		if strings.HasPrefix(op.Name, "attention") {
			continue
		}
		for _, c := range d.Checks(op, 12) {
			if seen[op.Name+"/"+c.Kernel.Name] {
				continue
			}
			t.Run(c.Name(), func(t *testing.T) {
				if err := c.Run(d); err != nil {
					t.Errorf("%s (%s)", err, c.Case.Why)
				}
			})
		}
	}
}
