package vk

/*
#include "native.h"
#include <stdlib.h>
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// Pipeline is one compute shader with its specialization constants, ready to dispatch.
type Pipeline struct {
	dev    *Device
	module *module
	handle vulkan.Pipeline
	key    pipelineKey
}

// Retire has the next call of Device.Pipeline make this pipeline anew: the same instructions, elsewhere in memory. What holds the
// old one may go on with it, and Restore makes it the current one again; all live until the device is closed.
func (p *Pipeline) Retire() {
	delete(p.dev.pipelines, p.key)
	p.dev.retired = append(p.dev.retired, p)
}

// Restore undoes Retire, and retires what was made in its place.
func (p *Pipeline) Restore() {
	p.dev.retired = slices.DeleteFunc(p.dev.retired, func(q *Pipeline) bool { return q == p })
	if newer, ok := p.dev.pipelines[p.key]; ok {
		newer.Retire()
	}
	p.dev.pipelines[p.key] = p
}

// Interface is what the pipeline's shader binds.
func (p *Pipeline) Interface() Interface { return p.module.Interface }

type module struct {
	Interface
	name   string
	handle vulkan.ShaderModule
	sets   vulkan.DescriptorSetLayout
	layout vulkan.PipelineLayout
}

func (m *module) close(d vulkan.Device) {
	vulkan.DestroyShaderModule(d, m.handle, nil)
	vulkan.DestroyPipelineLayout(d, m.layout, nil)
	vulkan.DestroyDescriptorSetLayout(d, m.sets, nil)
}

type pipelineKey struct {
	name, spec string
	subgroup   int
}

// Pipeline makes, or finds again, the pipeline of the named SPIR-V module with specialization constants 0, 1, 2, ...
// A subgroup size other than zero is pinned where the device can pin one.
func (d *Device) Pipeline(name string, code []byte, spec []uint32, subgroup int) (*Pipeline, error) {
	defer holdGC()()
	if !d.SizeControl {
		subgroup = 0
	}
	key := pipelineKey{name, fmt.Sprint(spec), subgroup}
	if p, ok := d.pipelines[key]; ok {
		return p, nil
	}
	m, err := d.module(name, code)
	if err != nil {
		return nil, err
	}
	entries := make([]vulkan.SpecializationMapEntry, len(spec))
	data := make([]byte, 4*len(spec)+4)
	for i, v := range spec {
		entries[i] = vulkan.SpecializationMapEntry{ConstantID: uint32(i), Offset: uint32(4 * i), Size: 4}
		binary.LittleEndian.PutUint32(data[4*i:], v)
	}
	constants := C.CBytes(data)
	defer C.free(constants)
	stage := vulkan.PipelineShaderStageCreateInfo{
		SType: vulkan.StructureTypePipelineShaderStageCreateInfo, Stage: vulkan.ShaderStageComputeBit, Module: m.handle, PName: "main\x00",
		PSpecializationInfo: []vulkan.SpecializationInfo{{MapEntryCount: uint32(len(spec)), PMapEntries: entries, DataSize: uint(4 * len(spec)), PData: constants}},
	}
	if subgroup > 0 {
		stage.PNext = C.saltern_required_subgroup_size(C.uint32_t(subgroup))
		defer C.free(stage.PNext)
		const fullSubgroups = 2
		stage.Flags = fullSubgroups
	}
	info := vulkan.ComputePipelineCreateInfo{SType: vulkan.StructureTypeComputePipelineCreateInfo, Stage: stage, Layout: m.layout}
	if d.statistics {
		info.Flags = captureStatistics
	}
	handles := make([]vulkan.Pipeline, 1)
	if r := vulkan.CreateComputePipelines(d.handle, nil, 1, []vulkan.ComputePipelineCreateInfo{info}, nil, handles); r != vulkan.Success {
		return nil, d.failed("vkCreateComputePipelines "+name, r)
	}
	p := &Pipeline{dev: d, module: m, handle: handles[0], key: key}
	d.pipelines[key] = p
	return p, nil
}

func (d *Device) module(name string, code []byte) (*module, error) {
	if m, ok := d.modules[name]; ok {
		return m, nil
	}
	face, err := Reflect(code)
	if err != nil {
		return nil, fmt.Errorf("bug: shader %s: %w", name, err)
	}
	m := &module{Interface: face, name: name}
	words := make([]uint32, len(code)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(code[4*i:])
	}
	create := vulkan.ShaderModuleCreateInfo{SType: vulkan.StructureTypeShaderModuleCreateInfo, CodeSize: uint(len(code)), PCode: words}
	if r := made(&m.handle, func(h *vulkan.ShaderModule) vulkan.Result {
		return vulkan.CreateShaderModule(d.handle, &create, nil, h)
	}); r != vulkan.Success {
		return nil, d.failed("vkCreateShaderModule "+name, r)
	}
	bindings := make([]vulkan.DescriptorSetLayoutBinding, len(face.Bindings))
	for i, k := range face.Bindings {
		bindings[i] = vulkan.DescriptorSetLayoutBinding{Binding: uint32(i), DescriptorType: descriptorType(k), DescriptorCount: 1, StageFlags: vulkan.ShaderStageFlags(vulkan.ShaderStageComputeBit)}
	}
	sets := vulkan.DescriptorSetLayoutCreateInfo{SType: vulkan.StructureTypeDescriptorSetLayoutCreateInfo, BindingCount: uint32(len(bindings)), PBindings: bindings}
	if r := made(&m.sets, func(h *vulkan.DescriptorSetLayout) vulkan.Result {
		return vulkan.CreateDescriptorSetLayout(d.handle, &sets, nil, h)
	}); r != vulkan.Success {
		return nil, d.failed("vkCreateDescriptorSetLayout "+name, r)
	}
	layout := vulkan.PipelineLayoutCreateInfo{SType: vulkan.StructureTypePipelineLayoutCreateInfo, SetLayoutCount: 1, PSetLayouts: []vulkan.DescriptorSetLayout{m.sets}}
	if face.Push > 0 {
		layout.PushConstantRangeCount = 1
		layout.PPushConstantRanges = []vulkan.PushConstantRange{{StageFlags: vulkan.ShaderStageFlags(vulkan.ShaderStageComputeBit), Size: uint32(face.Push)}}
	}
	if r := made(&m.layout, func(h *vulkan.PipelineLayout) vulkan.Result {
		return vulkan.CreatePipelineLayout(d.handle, &layout, nil, h)
	}); r != vulkan.Success {
		return nil, d.failed("vkCreatePipelineLayout "+name, r)
	}
	d.modules[name] = m
	return m, nil
}

func descriptorType(k BindingKind) vulkan.DescriptorType {
	switch k {
	case Texels:
		return vulkan.DescriptorTypeUniformTexelBuffer
	case Image:
		return vulkan.DescriptorTypeStorageTexelBuffer
	}
	return vulkan.DescriptorTypeStorageBuffer
}

func pushPointer(push []uint32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(push)) }
