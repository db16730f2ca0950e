package vk

/*
#cgo LDFLAGS: -ldl
#include "native.h"
#include <stdlib.h>
*/
import "C"

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// ErrNoDriver says that this machine offers no Vulkan device at all.
var ErrNoDriver = errors.New("no Vulkan device found")

// ErrNoLoader is the ErrNoDriver of a machine without the Vulkan loader itself.
var ErrNoLoader = fmt.Errorf("%w: no Vulkan loader", ErrNoDriver)

// ErrLacks says that a device exists but lacks something Saltern requires; the message names it.
var ErrLacks = errors.New("the device lacks what Saltern requires")

// OnlyCompiles is what a device lacks that is no more than a compiler, as RADV's for a GPU that is not there. OpenToExamine opens it.
const OnlyCompiles = "memory: it compiles kernels, and runs none"

// ErrMemory says that the device could not give the memory asked for.
var ErrMemory = errors.New("not enough device memory")

// ErrLost says that the device stopped working, mostly since a kernel ran too long or wrote where it must not. What the
// process had there is gone.
var ErrLost = errors.New("the device is lost")

const (
	loaderName      = "libvulkan.so.1"
	validationLayer = "VK_LAYER_KHRONOS_validation"
	messengerExt    = "VK_EXT_debug_utils"
	api12           = 1<<22 | 2<<12
	api13           = 1<<22 | 3<<12
)

// Subgroup operations, as VkSubgroupFeatureFlagBits.
const (
	subgroupBasic      = 1
	subgroupArithmetic = 4
	subgroupBallot     = 8
	subgroupShuffle    = 16
)

// Type is the kind of a physical device, as VkPhysicalDeviceType.
type Type uint32

// The device types, in Vulkan's numbering.
const (
	Other Type = iota
	Integrated
	Discrete
	Virtual
	CPU
)

func (t Type) String() string {
	if int(t) < 5 {
		return [...]string{"other", "integrated GPU", "discrete GPU", "virtual GPU", "CPU"}[t]
	}
	return "other"
}

// Info is what a physical device is and can do. Sizes are bytes.
type Info struct {
	Index         int    `json:"index"`
	Name          string `json:"name"`
	Driver        string `json:"driver"` // name and version as the driver words them
	DriverVersion uint32 `json:"driver_version"`
	Vendor        uint32 `json:"vendor"`        // PCI-SIG's number of who made the device
	Model         uint32 `json:"model"`         // the vendor's number of what it is
	UUID          string `json:"uuid"`          // 32 hexadecimal digits
	PCI           string `json:"pci,omitempty"` // address, as 0000:03:00.0; empty where the driver tells none
	Type          Type   `json:"type"`
	API           string `json:"api"`
	Subgroup      int    `json:"subgroup"` // default size
	SubgroupMin   int    `json:"subgroup_min"`
	SubgroupMax   int    `json:"subgroup_max"`
	SizeControl   bool   `json:"subgroup_size_control"` // a pipeline can pin its subgroup size
	SharedMemory  int    `json:"shared_memory"`
	MaxWorkgroup  int    `json:"max_workgroup"`
	MaxGrid       [3]int `json:"max_grid"`
	MaxRange      int64  `json:"max_storage_range"` // maxStorageBufferRange
	MaxTexels     int64  `json:"max_texels"`        // maxTexelBufferElements
	MaxAllocation int64  `json:"max_allocation"`
	Alignment     int64  `json:"alignment"` // of every bound offset
	Memory        int64  `json:"memory"`    // the largest device-local heap
	Timestamps    bool   `json:"timestamps"`
	Statistics    bool   `json:"statistics"` // the driver can tell of a pipeline's machine code

	Int64         bool           `json:"int64"`   // arithmetic in shaders
	Float16       bool           `json:"float16"` // likewise
	BFloat16      bool           `json:"bfloat16"`
	Matrices      []Matrix       `json:"matrices,omitempty"`  // cooperative matrices, in the driver's order of preference
	Matrices2     []Matrix       `json:"matrices2,omitempty"` // likewise of a workgroup
	Matrix2Limits *Matrix2Limits `json:"matrix2_limits,omitempty"`

	Lacks string `json:"lacks,omitempty"` // what Saltern requires and the device has not; empty when usable

	physical vulkan.PhysicalDevice
	family   uint32
	period   float64 // ns per timestamp tick
	tickBits uint32  // of a timestamp that count; it starts anew from 0 beyond them
	features C.saltern_features
	api      uint32
}

// Instance is one open Vulkan loader with what it found.
type Instance struct {
	handle    vulkan.Instance
	messenger unsafe.Pointer
	infos     []Info
	validated bool
}

var loader struct { // the loader of this process; opened once, never closed
	sync.Mutex
	proc unsafe.Pointer
}

func openLoader() error {
	loader.Lock()
	defer loader.Unlock()
	if loader.proc != nil {
		return nil
	}
	name := C.CString(loaderName)
	defer C.free(unsafe.Pointer(name))
	var why [256]C.char
	proc := C.saltern_open_loader(name, &why[0], C.size_t(len(why)))
	if proc == nil {
		return fmt.Errorf("%w: %s; install it (Debian: apt-get install libvulkan1 mesa-vulkan-drivers)", ErrNoLoader, C.GoString(&why[0]))
	}
	vulkan.SetGetInstanceProcAddr(proc)
	if err := vulkan.Init(); err != nil {
		return fmt.Errorf("%w: the Vulkan loader does not start: %v", ErrNoDriver, err)
	}
	loader.proc = proc
	return nil
}

// Open opens the Vulkan loader and lists the devices. With validate the Khronos validation layer checks every call; its
// absence is then an error, since a test that asked for it must not pass without.
func Open(validate bool) (*Instance, error) {
	defer holdGC()()
	if err := openLoader(); err != nil {
		return nil, err
	}
	app := vulkan.ApplicationInfo{SType: vulkan.StructureTypeApplicationInfo, PApplicationName: "saltern\x00", PEngineName: "saltern\x00", ApiVersion: api13}
	info := vulkan.InstanceCreateInfo{SType: vulkan.StructureTypeInstanceCreateInfo, PApplicationInfo: &app}
	if validate {
		info.PpEnabledLayerNames, info.EnabledLayerCount = []string{validationLayer + "\x00"}, 1
		info.PpEnabledExtensionNames, info.EnabledExtensionCount = []string{messengerExt + "\x00"}, 1
	}
	in := &Instance{validated: validate}
	switch r := made(&in.handle, func(h *vulkan.Instance) vulkan.Result { return vulkan.CreateInstance(&info, nil, h) }); r {
	case vulkan.Success:
	case vulkan.ErrorLayerNotPresent:
		return nil, fmt.Errorf("the Vulkan validation layer is not installed; install it (Debian: apt-get install vulkan-validationlayers)")
	case vulkan.ErrorIncompatibleDriver:
		return nil, fmt.Errorf("%w: the loader found no driver (no manifest in /usr/share/vulkan/icd.d or /etc/vulkan/icd.d works); install your GPU's Vulkan driver, or mesa-vulkan-drivers for the CPU", ErrNoDriver)
	default:
		return nil, fmt.Errorf("vkCreateInstance: %s", resultName(r))
	}
	if err := vulkan.InitInstance(in.handle); err != nil {
		return nil, fmt.Errorf("vkCreateInstance: %w", err)
	}
	if validate {
		r := made(&in.messenger, func(h *unsafe.Pointer) vulkan.Result {
			return vulkan.Result(C.saltern_messenger(unsafe.Pointer(in.handle), h))
		})
		if r != vulkan.Success {
			return nil, fmt.Errorf("vkCreateDebugUtilsMessengerEXT: %s", resultName(r))
		}
	}
	if err := in.enumerate(); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Devices lists the physical devices in the loader's order.
func (in *Instance) Devices() []Info { return in.infos }

// Messages takes what the validation layer has said since the last call; empty is what every test requires.
func (in *Instance) Messages() string {
	buf := make([]byte, 1<<20)
	n := C.saltern_messages((*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return string(buf[:n])
}

// Close destroys the instance; its devices must be closed before.
func (in *Instance) Close() {
	if in.messenger != nil {
		C.saltern_messenger_destroy(unsafe.Pointer(in.handle), in.messenger)
	}
	vulkan.DestroyInstance(in.handle, nil)
}

func (in *Instance) enumerate() error {
	var n uint32
	if r := vulkan.EnumeratePhysicalDevices(in.handle, &n, nil); r != vulkan.Success && r != vulkan.Incomplete {
		return fmt.Errorf("%w: vkEnumeratePhysicalDevices: %s", ErrNoDriver, resultName(r))
	}
	if n == 0 {
		return fmt.Errorf("%w: the loader works but no driver offers a device; install your GPU's Vulkan driver, or mesa-vulkan-drivers for the CPU", ErrNoDriver)
	}
	list := make([]vulkan.PhysicalDevice, n)
	vulkan.EnumeratePhysicalDevices(in.handle, &n, list)
	for i, p := range list[:n] {
		info := describe(in.handle, p)
		info.Index = i
		in.infos = append(in.infos, info)
	}
	return nil
}

func describe(instance vulkan.Instance, p vulkan.PhysicalDevice) Info {
	var pci C.int32_t
	if hasExtension(p, "VK_EXT_pci_bus_info") {
		pci = 1
	}
	var c C.saltern_props
	C.saltern_device_props(unsafe.Pointer(instance), unsafe.Pointer(p), pci, &c)
	var props vulkan.PhysicalDeviceProperties
	vulkan.GetPhysicalDeviceProperties(p, &props)
	props.Deref()
	props.Limits.Deref()
	l := props.Limits
	info := Info{
		Name: strings.TrimSpace(C.GoString(&c.name[0])), Driver: strings.TrimSpace(C.GoString(&c.driver[0]) + " " + C.GoString(&c.driverInfo[0])),
		DriverVersion: uint32(c.driverVersion), Vendor: uint32(c.vendor), Model: uint32(c.device), UUID: hex.EncodeToString(C.GoBytes(unsafe.Pointer(&c.uuid[0]), 16)), Type: Type(c._type),
		API:      fmt.Sprintf("%d.%d.%d", c.api>>22, c.api>>12&0x3ff, c.api&0xfff),
		Subgroup: int(c.subgroup), SubgroupMin: int(c.subgroup), SubgroupMax: int(c.subgroup),
		SharedMemory: int(l.MaxComputeSharedMemorySize), MaxWorkgroup: int(l.MaxComputeWorkGroupInvocations),
		MaxGrid:  [3]int{int(l.MaxComputeWorkGroupCount[0]), int(l.MaxComputeWorkGroupCount[1]), int(l.MaxComputeWorkGroupCount[2])},
		MaxRange: int64(l.MaxStorageBufferRange), MaxTexels: int64(l.MaxTexelBufferElements), MaxAllocation: int64(c.maxAllocation),
		Alignment:  max(int64(l.MinStorageBufferOffsetAlignment), int64(l.MinTexelBufferOffsetAlignment)),
		Statistics: hasExtension(p, statisticsExt), api: uint32(c.api), physical: p, period: float64(l.TimestampPeriod),
	}
	if c.hasSizeControl != 0 && uint32(c.subgroupRequired)&uint32(vulkan.ShaderStageComputeBit) != 0 {
		info.SubgroupMin, info.SubgroupMax, info.SizeControl = int(c.subgroupMin), int(c.subgroupMax), true
	}
	if c.hasPCI != 0 && c.pci != [4]C.uint32_t{} { // zeros, a bridge's address, say that there is none
		info.PCI = fmt.Sprintf("%04x:%02x:%02x.%x", c.pci[0], c.pci[1], c.pci[2], c.pci[3])
	}
	var memory vulkan.PhysicalDeviceMemoryProperties
	vulkan.GetPhysicalDeviceMemoryProperties(p, &memory)
	memory.Deref()
	for _, h := range memory.MemoryHeaps[:memory.MemoryHeapCount] {
		h.Deref()
		if uint32(h.Flags)&uint32(vulkan.MemoryHeapDeviceLocalBit) != 0 {
			info.Memory = max(info.Memory, int64(h.Size))
		}
	}
	if info.Type == CPU {
		info.Memory = hostMemory(info.Memory) // lavapipe says 2 GiB, whatever the machine has
	}
	family, ticks, ok := computeFamily(p)
	info.family, info.tickBits, info.Timestamps = family, ticks, ticks > 0
	var features vulkan.PhysicalDeviceFeatures
	vulkan.GetPhysicalDeviceFeatures(p, &features)
	features.Deref()
	info.Int64 = features.ShaderInt64 == vulkan.True
	info.describeMatrices(instance, p)
	const ops = subgroupBasic | subgroupArithmetic | subgroupBallot | subgroupShuffle
	switch {
	case uint32(c.api) < api12:
		info.Lacks = "Vulkan 1.2 (the driver offers " + info.API + ")"
	case !ok:
		info.Lacks = "a compute queue"
	case info.Memory == 0:
		info.Lacks = OnlyCompiles
	case uint32(c.subgroupStages)&uint32(vulkan.ShaderStageComputeBit) == 0 || uint32(c.subgroupOps)&ops != ops:
		info.Lacks = "subgroup operations (basic, arithmetic, ballot, shuffle) in compute shaders"
	}
	return info
}

// hostMemory is the machine's memory in bytes, or otherwise where the system does not say.
func hostMemory(otherwise int64) int64 {
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return otherwise
	}
	return int64(s.Totalram) * int64(s.Unit)
}

func hasExtension(p vulkan.PhysicalDevice, name string) bool {
	var n uint32
	vulkan.EnumerateDeviceExtensionProperties(p, "", &n, nil)
	list := make([]vulkan.ExtensionProperties, n)
	vulkan.EnumerateDeviceExtensionProperties(p, "", &n, list)
	for _, e := range list[:n] {
		e.Deref()
		if vulkan.ToString(e.ExtensionName[:]) == name {
			return true
		}
	}
	return false
}

// computeFamily picks the first queue family that computes, and says how many bits of its timestamps count.
func computeFamily(p vulkan.PhysicalDevice) (family, tickBits uint32, ok bool) {
	var n uint32
	vulkan.GetPhysicalDeviceQueueFamilyProperties(p, &n, nil)
	list := make([]vulkan.QueueFamilyProperties, n)
	vulkan.GetPhysicalDeviceQueueFamilyProperties(p, &n, list)
	for i, f := range list[:n] {
		f.Deref()
		if uint32(f.QueueFlags)&uint32(vulkan.QueueComputeBit) != 0 {
			return uint32(i), f.TimestampValidBits, true
		}
	}
	return 0, 0, false
}

// resultName is Vulkan's own name for a result code.
func resultName(r vulkan.Result) string {
	if name, ok := resultNames[r]; ok {
		return name
	}
	return fmt.Sprintf("VkResult %d", int32(r))
}

var resultNames = map[vulkan.Result]string{
	vulkan.Success: "VK_SUCCESS", vulkan.NotReady: "VK_NOT_READY", vulkan.Timeout: "VK_TIMEOUT", vulkan.Incomplete: "VK_INCOMPLETE",
	vulkan.ErrorOutOfHostMemory: "VK_ERROR_OUT_OF_HOST_MEMORY", vulkan.ErrorOutOfDeviceMemory: "VK_ERROR_OUT_OF_DEVICE_MEMORY",
	vulkan.ErrorInitializationFailed: "VK_ERROR_INITIALIZATION_FAILED", vulkan.ErrorDeviceLost: "VK_ERROR_DEVICE_LOST",
	vulkan.ErrorMemoryMapFailed: "VK_ERROR_MEMORY_MAP_FAILED", vulkan.ErrorLayerNotPresent: "VK_ERROR_LAYER_NOT_PRESENT",
	vulkan.ErrorExtensionNotPresent: "VK_ERROR_EXTENSION_NOT_PRESENT", vulkan.ErrorFeatureNotPresent: "VK_ERROR_FEATURE_NOT_PRESENT",
	vulkan.ErrorIncompatibleDriver: "VK_ERROR_INCOMPATIBLE_DRIVER", vulkan.ErrorTooManyObjects: "VK_ERROR_TOO_MANY_OBJECTS",
	vulkan.ErrorFormatNotSupported: "VK_ERROR_FORMAT_NOT_SUPPORTED", vulkan.ErrorFragmentedPool: "VK_ERROR_FRAGMENTED_POOL",
	-13: "VK_ERROR_UNKNOWN", -1000069000: "VK_ERROR_OUT_OF_POOL_MEMORY",
}
