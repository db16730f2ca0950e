package jobs

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
)

// Where Linux says what there is, from the root of the file system.
const (
	pciVendors  = "sys/bus/pci/devices/*/vendor"
	renderNodes = "dev/dri/renderD*"
	nvidiaProc  = "proc/driver/nvidia/version"
	kfdNodes    = "sys/class/kfd/kfd/topology/nodes/*/properties"
)

// manifestFolders are where drivers are registered with the Vulkan loader.
var manifestFolders = []string{"etc/vulkan/icd.d/", "usr/share/vulkan/icd.d/", "usr/local/etc/vulkan/icd.d/", "usr/local/share/vulkan/icd.d/"}

// cdna matches the architectures of AMD's accelerators without graphics: gfx908, 90a, 940 to 942 and 950.
var cdna = regexp.MustCompile(`(?m)^gfx_target_version (90008|90010|9040[0-2]|90500)$`)

// hints says what on this machine may keep a GPU from being found: each a sentence with a remedy. root is the root of the
// file system; what cannot be read says nothing.
func hints(root fs.FS) []string {
	var list []string
	nodes, _ := fs.Glob(root, renderNodes)
	gpus := pciGPUs(root)
	nvidia := exists(root, nvidiaProc)
	switch {
	case nvidia && !registered(root, "nvidia"):
		list = append(list, "NVIDIA's kernel driver is loaded, but its Vulkan driver is not registered: install libnvidia-gl of the same version "+
			"(Debian: nvidia-vulkan-icd); in a container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics")
	case gpus["NVIDIA"] && !nvidia && len(nodes) == 0:
		list = append(list, "there is an NVIDIA GPU, but no kernel driver is loaded for it, or this container was started without it: "+
			"load the driver; start a container with --gpus all")
	}
	for _, vendor := range []string{"AMD", "Intel"} {
		if gpus[vendor] && len(nodes) == 0 {
			list = append(list, "there is a GPU of "+vendor+"'s, but no /dev/dri/renderD*: load its kernel driver (amdgpu, i915 or xe); "+
				"start a container with --device /dev/dri")
		}
	}
	for _, n := range nodes {
		f, err := root.Open(n)
		if err == nil {
			f.Close()
		} else if errors.Is(err, fs.ErrPermission) {
			list = append(list, "this user may not open /"+n+": join the group that may, as in: sudo usermod -aG render $USER, then log in again")
			break
		}
	}
	properties, _ := fs.Glob(root, kfdNodes)
	for _, p := range properties {
		if text, err := fs.ReadFile(root, p); err == nil && cdna.Match(text) {
			list = append(list, "there is an AMD Instinct accelerator of the CDNA family, which has no graphics part: only some versions of Mesa's RADV "+
				"drive it; install the newest, or use another device")
			break
		}
	}
	return list
}

// pciGPUs names the vendors of the display controllers and accelerators on the PCI bus.
func pciGPUs(root fs.FS) map[string]bool {
	vendors := map[string]string{"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
	found := map[string]bool{}
	files, _ := fs.Glob(root, pciVendors)
	for _, file := range files {
		vendor, _ := fs.ReadFile(root, file)
		class, _ := fs.ReadFile(root, strings.TrimSuffix(file, "vendor")+"class")
		name := vendors[strings.TrimSpace(string(vendor))]
		if c := string(class); name != "" && (strings.HasPrefix(c, "0x03") || strings.HasPrefix(c, "0x12")) {
			found[name] = true
		}
	}
	return found
}

// registered tells whether a driver's manifest with name in its own is where the Vulkan loader looks.
func registered(root fs.FS, name string) bool {
	for _, folder := range manifestFolders {
		if found, _ := fs.Glob(root, folder+"*"+name+"*.json"); len(found) > 0 {
			return true
		}
	}
	return false
}

func exists(root fs.FS, path string) bool {
	_, err := fs.Stat(root, path)
	return err == nil
}
