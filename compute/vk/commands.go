package vk

/*
#include "native.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// Range is a run of bytes of a buffer, as bound to a shader.
type Range struct {
	Buffer *Buffer
	Off, N int64
}

// Commands is a command buffer that is recorded once and run many times.
type Commands struct {
	dev     *Device
	list    []command
	buffer  vulkan.CommandBuffer
	pool    vulkan.DescriptorPool
	queries vulkan.QueryPool
	marks   int // timestamps wanted
	marked  int
}

type command struct {
	pipeline *Pipeline // nil: a copy, a fill, a mark, or else a barrier
	bind     []Range
	push     []uint32
	grid     [3]int
	set      vulkan.DescriptorSet
	copies   *copyCommand
	zero     *Buffer
	mark     bool
}

type copyCommand struct {
	dst, src       *Buffer
	dstOff, srcOff int64
	n              int64
}

// NewCommands starts a recording with room for that many timestamps (Mark).
func (d *Device) NewCommands(timestamps int) *Commands {
	return &Commands{dev: d, marks: timestamps}
}

// Dispatch records one kernel launch.
func (c *Commands) Dispatch(p *Pipeline, bind []Range, push []uint32, grid [3]int) error {
	face := p.module.Interface
	if len(bind) != len(face.Bindings) || 4*len(push) != face.Push {
		return fmt.Errorf("bug: shader %s takes %d bindings and %d push words, given %d and %d", p.module.name, len(face.Bindings), face.Push/4, len(bind), len(push))
	}
	for i, g := range grid {
		if g > c.dev.MaxGrid[i] {
			return fmt.Errorf("bug: shader %s: grid %v exceeds the device's %v", p.module.name, grid, c.dev.MaxGrid)
		}
	}
	c.list = append(c.list, command{pipeline: p, bind: bind, push: push, grid: grid})
	return nil
}

// Barrier makes all that was recorded before visible to all that follows.
func (c *Commands) Barrier() { c.list = append(c.list, command{}) }

// Mark records a timestamp, taken when all before it is done.
func (c *Commands) Mark() { c.list = append(c.list, command{mark: true}) }

// Copy records a copy of n bytes.
func (c *Commands) Copy(dst *Buffer, dstOff int64, src *Buffer, srcOff, n int64) {
	c.list = append(c.list, command{copies: &copyCommand{dst, src, dstOff, srcOff, n}})
}

// Zero records filling a buffer with zeros.
func (c *Commands) Zero(b *Buffer) { c.list = append(c.list, command{zero: b}) }

// Finish writes the descriptors and the command buffer. Nothing may be recorded afterwards.
func (c *Commands) Finish() error {
	defer holdGC()()
	d := c.dev
	if err := c.descriptors(); err != nil {
		return err
	}
	info := vulkan.CommandBufferAllocateInfo{SType: vulkan.StructureTypeCommandBufferAllocateInfo, CommandPool: d.pool, Level: vulkan.CommandBufferLevelPrimary, CommandBufferCount: 1}
	buffers := make([]vulkan.CommandBuffer, 1)
	if r := vulkan.AllocateCommandBuffers(d.handle, &info, buffers); r != vulkan.Success {
		return d.failed("vkAllocateCommandBuffers", r)
	}
	c.buffer = buffers[0]
	if r := vulkan.BeginCommandBuffer(c.buffer, &vulkan.CommandBufferBeginInfo{SType: vulkan.StructureTypeCommandBufferBeginInfo}); r != vulkan.Success {
		return d.failed("vkBeginCommandBuffer", r)
	}
	if c.marks > 0 && d.Timestamps {
		pool := vulkan.QueryPoolCreateInfo{SType: vulkan.StructureTypeQueryPoolCreateInfo, QueryType: vulkan.QueryTypeTimestamp, QueryCount: uint32(c.marks)}
		if r := made(&c.queries, func(h *vulkan.QueryPool) vulkan.Result { return vulkan.CreateQueryPool(d.handle, &pool, nil, h) }); r != vulkan.Success {
			return d.failed("vkCreateQueryPool", r)
		}
		vulkan.CmdResetQueryPool(c.buffer, c.queries, 0, uint32(c.marks))
	}
	for i := range c.list {
		c.record(&c.list[i])
	}
	c.barrier(vulkan.PipelineStageHostBit, vulkan.AccessHostReadBit)
	if r := vulkan.EndCommandBuffer(c.buffer); r != vulkan.Success {
		return d.failed("vkEndCommandBuffer", r)
	}
	c.list = nil
	return nil
}

func (c *Commands) record(k *command) {
	switch {
	case k.pipeline != nil:
		m := k.pipeline.module
		vulkan.CmdBindPipeline(c.buffer, vulkan.PipelineBindPointCompute, k.pipeline.handle)
		vulkan.CmdBindDescriptorSets(c.buffer, vulkan.PipelineBindPointCompute, m.layout, 0, 1, []vulkan.DescriptorSet{k.set}, 0, nil)
		if len(k.push) > 0 {
			vulkan.CmdPushConstants(c.buffer, m.layout, vulkan.ShaderStageFlags(vulkan.ShaderStageComputeBit), 0, uint32(4*len(k.push)), pushPointer(k.push))
		}
		vulkan.CmdDispatch(c.buffer, uint32(k.grid[0]), uint32(k.grid[1]), uint32(k.grid[2]))
	case k.copies != nil:
		region := vulkan.BufferCopy{SrcOffset: vulkan.DeviceSize(k.copies.srcOff), DstOffset: vulkan.DeviceSize(k.copies.dstOff), Size: vulkan.DeviceSize(k.copies.n)}
		vulkan.CmdCopyBuffer(c.buffer, k.copies.src.handle, k.copies.dst.handle, 1, []vulkan.BufferCopy{region})
	case k.zero != nil:
		vulkan.CmdFillBuffer(c.buffer, k.zero.handle, 0, vulkan.DeviceSize(k.zero.Size), 0)
	case k.mark:
		if c.queries != vulkan.NullQueryPool && c.marked < c.marks {
			c.barrier(vulkan.PipelineStageComputeShaderBit, vulkan.AccessShaderReadBit)
			vulkan.CmdWriteTimestamp(c.buffer, vulkan.PipelineStageBottomOfPipeBit, c.queries, uint32(c.marked))
			c.marked++
		}
	default:
		c.barrier(vulkan.PipelineStageComputeShaderBit, vulkan.AccessShaderReadBit|vulkan.AccessShaderWriteBit)
	}
}

func (c *Commands) barrier(to vulkan.PipelineStageFlagBits, access vulkan.AccessFlagBits) {
	from := vulkan.PipelineStageFlags(vulkan.PipelineStageComputeShaderBit | vulkan.PipelineStageTransferBit)
	b := vulkan.MemoryBarrier{
		SType:         vulkan.StructureTypeMemoryBarrier,
		SrcAccessMask: vulkan.AccessFlags(vulkan.AccessShaderWriteBit | vulkan.AccessTransferWriteBit), DstAccessMask: vulkan.AccessFlags(access),
	}
	vulkan.CmdPipelineBarrier(c.buffer, from, vulkan.PipelineStageFlags(to), 0, 1, []vulkan.MemoryBarrier{b}, 0, nil, 0, nil)
}

// descriptors allocates and writes one descriptor set per dispatch.
func (c *Commands) descriptors() error {
	d := c.dev
	sets := 0
	sizes := []vulkan.DescriptorPoolSize{ // by BindingKind
		{Type: vulkan.DescriptorTypeStorageBuffer, DescriptorCount: 1},
		{Type: vulkan.DescriptorTypeUniformTexelBuffer, DescriptorCount: 1},
		{Type: vulkan.DescriptorTypeStorageTexelBuffer, DescriptorCount: 1},
	}
	for _, k := range c.list {
		if k.pipeline == nil {
			continue
		}
		sets++
		for _, b := range k.pipeline.module.Bindings {
			sizes[b].DescriptorCount++
		}
	}
	if sets == 0 {
		return nil
	}
	info := vulkan.DescriptorPoolCreateInfo{SType: vulkan.StructureTypeDescriptorPoolCreateInfo, MaxSets: uint32(sets), PoolSizeCount: uint32(len(sizes)), PPoolSizes: sizes}
	if r := made(&c.pool, func(h *vulkan.DescriptorPool) vulkan.Result {
		return vulkan.CreateDescriptorPool(d.handle, &info, nil, h)
	}); r != vulkan.Success {
		return d.failed("vkCreateDescriptorPool", r)
	}
	for i := range c.list {
		if c.list[i].pipeline == nil {
			continue
		}
		if err := c.describe(&c.list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Commands) describe(k *command) error {
	d, m := c.dev, k.pipeline.module
	alloc := vulkan.DescriptorSetAllocateInfo{SType: vulkan.StructureTypeDescriptorSetAllocateInfo, DescriptorPool: c.pool, DescriptorSetCount: 1, PSetLayouts: []vulkan.DescriptorSetLayout{m.sets}}
	if r := made(&k.set, func(h *vulkan.DescriptorSet) vulkan.Result { return vulkan.AllocateDescriptorSets(d.handle, &alloc, h) }); r != vulkan.Success {
		return d.failed("vkAllocateDescriptorSets "+m.name, r)
	}
	writes := make([]vulkan.WriteDescriptorSet, len(k.bind))
	for i, r := range k.bind {
		if r.Off%d.Alignment != 0 {
			return fmt.Errorf("bug: shader %s binding %d at offset %d, not aligned to %d", m.name, i, r.Off, d.Alignment)
		}
		w := vulkan.WriteDescriptorSet{SType: vulkan.StructureTypeWriteDescriptorSet, DstSet: k.set, DstBinding: uint32(i), DescriptorCount: 1, DescriptorType: descriptorType(m.Bindings[i])}
		if m.Bindings[i] != Storage {
			v, err := r.Buffer.view(r.Off, r.N)
			if err != nil {
				return err
			}
			w.PTexelBufferView = []vulkan.BufferView{v}
		} else {
			if r.N > d.MaxRange {
				return fmt.Errorf("bug: shader %s binding %d spans %d bytes; the device's maxStorageBufferRange is %d", m.name, i, r.N, d.MaxRange)
			}
			w.PBufferInfo = []vulkan.DescriptorBufferInfo{{Buffer: r.Buffer.handle, Offset: vulkan.DeviceSize(r.Off), Range: vulkan.DeviceSize(r.N)}}
		}
		writes[i] = w
	}
	vulkan.UpdateDescriptorSets(d.handle, uint32(len(writes)), writes, 0, nil)
	return nil
}

// Run submits the commands and waits until they are done: one cgo call.
func (c *Commands) Run() error { return Run(c) }

// Run submits recordings of one device together, in order, and waits until they are done: one cgo call.
func Run(list ...*Commands) error {
	d := list[0].dev
	if err := d.ready(); err != nil {
		return err
	}
	var few [1]unsafe.Pointer // as most programs have; more take an allocation
	buffers := few[:0]
	for _, c := range list {
		buffers = append(buffers, unsafe.Pointer(c.buffer))
	}
	if r := C.saltern_run(&d.run, &buffers[0], C.uint32_t(len(buffers))); r != 0 {
		return d.failed("vkQueueSubmit", vulkan.Result(r))
	}
	return nil
}

// Times are when the marks of the last run were passed, in nanoseconds after the first.
func (c *Commands) Times() ([]float64, error) {
	if c.marked == 0 {
		return nil, nil
	}
	ticks := make([]uint64, c.marked)
	const wait64 = 1 | 2 // VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT
	if r := vulkan.GetQueryPoolResults(c.dev.handle, c.queries, 0, uint32(c.marked), uint(8*c.marked), unsafe.Pointer(&ticks[0]), 8, wait64); r != vulkan.Success {
		return nil, c.dev.failed("vkGetQueryPoolResults", r)
	}
	return elapsed(ticks, c.dev.tickBits, c.dev.period), nil
}

// elapsed turns ticks into nanoseconds after the first. The difference is taken of the integers: as floats, the ticks of a
// device that counts nanoseconds since 1970 are 256 ns apart. Ticks of fewer than 64 bits may have passed zero in between.
func elapsed(ticks []uint64, bits uint32, period float64) []float64 {
	ns := make([]float64, len(ticks))
	for i, t := range ticks {
		ns[i] = float64((t-ticks[0])<<(64-bits)>>(64-bits)) * period
	}
	return ns
}

// Close frees the recording.
func (c *Commands) Close() {
	d := c.dev.handle
	if c.queries != vulkan.NullQueryPool {
		vulkan.DestroyQueryPool(d, c.queries, nil)
	}
	if c.pool != vulkan.NullDescriptorPool {
		vulkan.DestroyDescriptorPool(d, c.pool, nil)
	}
	if c.buffer != nil {
		vulkan.FreeCommandBuffers(d, c.dev.pool, 1, []vulkan.CommandBuffer{c.buffer})
	}
}
