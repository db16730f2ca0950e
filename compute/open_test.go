package compute

import (
	"errors"
	"os"
	"strings"
	"testing"

	"saltern/compute/vk"
)

func TestPickDevice(t *testing.T) {
	cpu := vk.Info{Index: 0, Name: "llvmpipe (LLVM 15)", Type: vk.CPU, Memory: 64 << 30, UUID: "00000000000000000000000000000001"}
	old := vk.Info{Index: 1, Name: "GeForce GTX 280", Type: vk.Discrete, Memory: 96 << 30, UUID: "00000000000000000000000000000002", Lacks: "Vulkan 1.2"}
	igpu := vk.Info{Index: 2, Name: "Intel Graphics 770", Type: vk.Integrated, Memory: 32 << 30, UUID: "00000000000000000000000000000003"}
	small := vk.Info{Index: 3, Name: "Radeon RX 7600", Type: vk.Discrete, Memory: 8 << 30, UUID: "abcdef00000000000000000000000004"}
	large := vk.Info{Index: 4, Name: "Radeon RX 7900", Type: vk.Discrete, Memory: 24 << 30, UUID: "abcdef00000000000000000000000005", PCI: "0000:0a:00.0"}
	all := []vk.Info{cpu, old, igpu, small, large}
	for _, test := range []struct {
		why      string
		list     []vk.Info
		selector string
		want     int
		kind     error
		says     string
	}{
		{why: "of two discrete ones the one with more memory", list: all, want: 4},
		{why: "integrated before CPU, whatever the memory", list: all[:3], want: 2},
		{why: "a CPU when nothing else can be used", list: all[:2], want: 0},
		{why: "a kind that is not known yet comes before a CPU", list: []vk.Info{cpu, {Index: 1, Type: 9}}, want: 1},
		{why: "but not before a GPU", list: []vk.Info{{Index: 0, Type: 9, Memory: 1 << 40}, igpu}, want: 2},
		{why: "nothing can be used", list: all[1:2], kind: vk.ErrLacks, says: "GeForce GTX 280 (discrete GPU, , UUID 00000000000000000000000000000002): lacks Vulkan 1.2"},
		{why: "an index", list: all, selector: "0", want: 0},
		{why: "an index that cannot be used", list: all, selector: "1", kind: vk.ErrLacks, says: "lacks Vulkan 1.2"},
		{why: "a number that can be no index is a name's", list: all, selector: "7600", want: 3},
		{why: "a UUID as other tools write it", list: all, selector: "ABCDEF00-0000-0000-0000-000000000004", want: 3},
		{why: "a PCI address", list: all, selector: "0000:0A:00.0", want: 4},
		{why: "an address where nothing is", list: all, selector: "0000:0b:00.0", kind: vk.ErrNoDriver, says: "PCI 0000:0a:00.0, UUID abcdef00000000000000000000000005"},
		{why: "a part of a name in another case", list: all, selector: "LLVM", want: 0},
		{why: "two have it", list: all, selector: "radeon", kind: vk.ErrNoDriver, says: `"radeon" alone names; give the index`},
		{why: "none has it", list: all, selector: "banana", kind: vk.ErrNoDriver, says: "  4  Radeon RX 7900"},
		{why: "an index beyond the last is not looked for in names, though LLVM 15 has it", list: all, selector: "5", kind: vk.ErrNoDriver, says: `"5" names; there are`},
	} {
		got, err := PickDevice(test.list, test.selector)
		switch {
		case test.kind == nil && (err != nil || got != test.want):
			t.Errorf("%s: %d, %v, want %d", test.why, got, err, test.want)
		case test.kind != nil && (!errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: the error is %v, want %v that says %q", test.why, err, test.kind, test.says)
		}
	}
}

func TestOpen(t *testing.T) {
	validate := os.Getenv("SALTERN_VALIDATION") != ""
	list, err := Devices(validate)
	if err != nil {
		t.Fatal(err)
	}
	best, err := PickDevice(list, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, selector := range []string{"", list[best].UUID} {
		d, err := Open(selector, validate)
		if err != nil {
			t.Fatal(err)
		}
		if d.Info().UUID != list[best].UUID {
			t.Errorf("%q opened %s, want %s", selector, d.Info().Name, list[best].Name)
		}
		if err := d.CloseChecked(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open("no such device", validate); !errors.Is(err, vk.ErrNoDriver) {
		t.Errorf("an unknown name gave the error %v", err)
	}
}

// TestValidationIsHeard closes a device that still holds a buffer: the layer must say so, and the device hand it on.
func TestValidationIsHeard(t *testing.T) {
	if os.Getenv("SALTERN_VALIDATION") == "" {
		t.Skip("SALTERN_VALIDATION is not set")
	}
	d, err := Open("", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.vk.NewBuffer(1024, vk.DeviceLocal); err != nil {
		t.Fatal(err)
	}
	if err := d.CloseChecked(); err == nil || !strings.HasPrefix(err.Error(), "bug: the Vulkan validation layer says:") {
		t.Errorf("a leaked buffer gave the error %v", err)
	}
}
