package vk

/*
#include "native.h"
#include "statistics.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// Device is one open device with one compute queue. It is not safe for concurrent use.
type Device struct {
	Info
	handle     vulkan.Device
	instance   *Instance
	queue      vulkan.Queue
	pool       vulkan.CommandPool
	fence      vulkan.Fence
	run        C.saltern_queue
	memory     []vulkan.MemoryType
	modules    map[string]*module
	pipelines  map[pipelineKey]*Pipeline
	retired    []*Pipeline
	allocated  int64
	staging    *Buffer
	statistics bool // pipelines keep theirs

	// ForceStaging makes Upload and Download go through a staging buffer even where the memory could be mapped: the path
	// of a discrete GPU, testable on any device.
	ForceStaging bool
}

// OpenDevice opens the device with that index of Devices.
func (in *Instance) OpenDevice(index int) (*Device, error) { return in.open(index, false) }

// OpenToExamine is OpenDevice for a device whose pipelines are to tell of themselves by Statistics, where it has
// Info.Statistics, also one that OnlyCompiles. A driver may compile longer for that, and less well.
func (in *Instance) OpenToExamine(index int) (*Device, error) { return in.open(index, true) }

func (in *Instance) open(index int, examine bool) (*Device, error) {
	defer holdGC()()
	if index < 0 || index >= len(in.infos) {
		return nil, fmt.Errorf("%w: there is no device %d, only 0 to %d", ErrNoDriver, index, len(in.infos)-1)
	}
	info := in.infos[index]
	if info.Lacks != "" && !(examine && info.Lacks == OnlyCompiles) {
		return nil, fmt.Errorf("%w: %s (%s) lacks %s", ErrLacks, info.Name, info.Driver, info.Lacks)
	}
	d := &Device{Info: info, instance: in, modules: map[string]*module{}, pipelines: map[pipelineKey]*Pipeline{}}
	queue := vulkan.DeviceQueueCreateInfo{SType: vulkan.StructureTypeDeviceQueueCreateInfo, QueueFamilyIndex: info.family, QueueCount: 1, PQueuePriorities: []float32{1}}
	create := vulkan.DeviceCreateInfo{SType: vulkan.StructureTypeDeviceCreateInfo, QueueCreateInfoCount: 1, PQueueCreateInfos: []vulkan.DeviceQueueCreateInfo{queue}}
	if info.Int64 {
		create.PEnabledFeatures = []vulkan.PhysicalDeviceFeatures{{ShaderInt64: vulkan.True}}
	}
	sizeControl := C.int32_t(0)
	if info.SizeControl {
		sizeControl = 1
	}
	create.PNext = C.saltern_feature_chain(info.features, sizeControl)
	defer C.saltern_free_chain(create.PNext)
	extensions := info.matrixExtensions()
	if examine && info.Statistics {
		d.statistics = true
		create.PNext = C.saltern_statistics_features(create.PNext)
		defer C.free(create.PNext)
		extensions = append(extensions, statisticsExt+"\x00")
	}
	create.PpEnabledExtensionNames, create.EnabledExtensionCount = extensions, uint32(len(extensions))
	if r := made(&d.handle, func(h *vulkan.Device) vulkan.Result { return vulkan.CreateDevice(info.physical, &create, nil, h) }); r != vulkan.Success {
		return nil, d.failed("vkCreateDevice", r)
	}
	made(&d.queue, func(h *vulkan.Queue) vulkan.Result {
		vulkan.GetDeviceQueue(d.handle, info.family, 0, h)
		return vulkan.Success
	})
	pool := vulkan.CommandPoolCreateInfo{SType: vulkan.StructureTypeCommandPoolCreateInfo, QueueFamilyIndex: info.family}
	if r := made(&d.pool, func(h *vulkan.CommandPool) vulkan.Result { return vulkan.CreateCommandPool(d.handle, &pool, nil, h) }); r != vulkan.Success {
		return nil, d.failed("vkCreateCommandPool", r)
	}
	var props vulkan.PhysicalDeviceMemoryProperties
	vulkan.GetPhysicalDeviceMemoryProperties(info.physical, &props)
	props.Deref()
	for _, t := range props.MemoryTypes[:props.MemoryTypeCount] {
		t.Deref()
		d.memory = append(d.memory, t)
	}
	return d, nil
}

// ready makes what only running needs, once: a driver that compiles for a GPU that is not there has no fences.
func (d *Device) ready() error {
	if d.run.fence != nil {
		return nil
	}
	defer holdGC()()
	fence := vulkan.FenceCreateInfo{SType: vulkan.StructureTypeFenceCreateInfo}
	if r := made(&d.fence, func(h *vulkan.Fence) vulkan.Result { return vulkan.CreateFence(d.handle, &fence, nil, h) }); r != vulkan.Success {
		return d.failed("vkCreateFence", r)
	}
	if r := C.saltern_queue_init(&d.run, unsafe.Pointer(d.instance.handle), unsafe.Pointer(d.handle), unsafe.Pointer(d.queue), unsafe.Pointer(d.fence)); r != 0 {
		return d.failed("vkGetDeviceProcAddr", vulkan.Result(r))
	}
	return nil
}

// Allocated is the device memory held now, in bytes, as the driver was asked for it.
func (d *Device) Allocated() int64 { return d.allocated }

// Close destroys everything that was made with the device.
func (d *Device) Close() {
	if d.fence != vulkan.NullFence { // else nothing ever ran
		vulkan.DeviceWaitIdle(d.handle)
		vulkan.DestroyFence(d.handle, d.fence, nil)
	}
	if d.staging != nil {
		d.staging.Close()
	}
	for _, p := range d.pipelines {
		vulkan.DestroyPipeline(d.handle, p.handle, nil)
	}
	for _, p := range d.retired {
		vulkan.DestroyPipeline(d.handle, p.handle, nil)
	}
	for _, m := range d.modules {
		m.close(d.handle)
	}
	vulkan.DestroyCommandPool(d.handle, d.pool, nil)
	vulkan.DestroyDevice(d.handle, nil)
}

// failed makes the error for a Vulkan call that did not succeed: the call, Vulkan's name for the result, the device.
func (d *Device) failed(call string, r vulkan.Result) error {
	err := fmt.Errorf("%s: %s on %s (%s)", call, resultName(r), d.Name, d.Driver)
	if r == vulkan.ErrorOutOfDeviceMemory || r == vulkan.ErrorOutOfHostMemory {
		return fmt.Errorf("%w: %w", ErrMemory, err)
	}
	if r == vulkan.ErrorDeviceLost {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// made lets a Vulkan call write a handle to memory that holds nothing else, as cgo demands of memory that C writes to,
// and then keeps it.
func made[T any](keep *T, create func(*T) vulkan.Result) vulkan.Result {
	h := new(T)
	r := create(h)
	*keep = *h
	return r
}
