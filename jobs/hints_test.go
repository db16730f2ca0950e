package jobs

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// closed is a file system with a file that may not be opened.
type closed struct {
	fstest.MapFS
	path string
}

func (c closed) Open(name string) (fs.File, error) {
	if name == c.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.MapFS.Open(name)
}

func TestHints(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	gpu := func(vendor, class string) fstest.MapFS {
		return fstest.MapFS{"sys/bus/pci/devices/0000:01:00.0/vendor": file(vendor + "\n"), "sys/bus/pci/devices/0000:01:00.0/class": file(class + "\n")}
	}
	with := func(m fstest.MapFS, path, text string) fstest.MapFS {
		all := fstest.MapFS{path: file(text)}
		for p, f := range m {
			all[p] = f
		}
		return all
	}
	nvidia := with(gpu("0x10de", "0x030200"), "proc/driver/nvidia/version", "NVRM version 550")
	for _, test := range []struct {
		why  string
		root fs.FS
		want string // in the only hint; empty: none
	}{
		{"nothing there", fstest.MapFS{}, ""},
		{"a container with NVIDIA's driver for compute only", nvidia, "NVIDIA_DRIVER_CAPABILITIES"},
		{"NVIDIA's driver whole", with(nvidia, "etc/vulkan/icd.d/nvidia_icd.json", "{}"), ""},
		{"only Mesa's drivers are registered", with(nvidia, "usr/share/vulkan/icd.d/lvp_icd.json", "{}"), "libnvidia-gl"},
		{"NVIDIA's GPU without any driver", gpu("0x10de", "0x030000"), "--gpus all"},
		{"NVIDIA's network card is no GPU", gpu("0x10de", "0x020000"), ""},
		{"AMD's GPU in a container without it", gpu("0x1002", "0x038000"), "a GPU of AMD's, but no /dev/dri/renderD*"},
		{"Intel's GPU with its node", with(gpu("0x8086", "0x030000"), "dev/dri/renderD128", ""), ""},
		{"a node of another group", closed{with(gpu("0x1002", "0x030000"), "dev/dri/renderD128", ""), "dev/dri/renderD128"}, "usermod -aG render"},
		{"MI300", fstest.MapFS{"sys/class/kfd/kfd/topology/nodes/1/properties": file("simd_count 304\ngfx_target_version 90402\n")}, "CDNA"},
		{"a Radeon under ROCm", fstest.MapFS{"sys/class/kfd/kfd/topology/nodes/1/properties": file("gfx_target_version 110000\n")}, ""},
	} {
		got := hints(test.root)
		if len(got) > 1 || (len(got) == 1) != (test.want != "") || !strings.Contains(strings.Join(got, "\n"), test.want) {
			t.Errorf("%s: the hints are %q, want one with %q", test.why, got, test.want)
		}
	}
}
