package compute

import (
	"os"
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
