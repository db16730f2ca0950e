package vk

import (
	"fmt"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// Residence says where a buffer's memory should be.
type Residence int

const (
	// DeviceLocal is memory near the processor, mapped too where the device shares it with the host.
	DeviceLocal Residence = iota
	// HostVisible is memory that the host reads and writes directly: inputs and results.
	HostVisible
)

const stagingBytes = 16 << 20

// Buffer is a run of device memory, usable as storage, as texels and for copies.
type Buffer struct {
	Size   int64
	dev    *Device
	handle vulkan.Buffer
	memory vulkan.DeviceMemory
	mapped []byte // nil when the host cannot reach it
	views  map[[2]int64]vulkan.BufferView
	bytes  int64 // allocated, at least Size
}

// NewBuffer allocates size bytes, zeroed on first use only by whoever writes them.
func (d *Device) NewBuffer(size int64, where Residence) (*Buffer, error) {
	defer holdGC()()
	b := &Buffer{Size: size, dev: d, views: map[[2]int64]vulkan.BufferView{}}
	usage := vulkan.BufferUsageStorageBufferBit | vulkan.BufferUsageUniformTexelBufferBit | vulkan.BufferUsageStorageTexelBufferBit | vulkan.BufferUsageTransferSrcBit | vulkan.BufferUsageTransferDstBit
	info := vulkan.BufferCreateInfo{SType: vulkan.StructureTypeBufferCreateInfo, Size: vulkan.DeviceSize(size), Usage: vulkan.BufferUsageFlags(usage), SharingMode: vulkan.SharingModeExclusive}
	if r := made(&b.handle, func(h *vulkan.Buffer) vulkan.Result { return vulkan.CreateBuffer(d.handle, &info, nil, h) }); r != vulkan.Success {
		return nil, d.failed("vkCreateBuffer", r)
	}
	var need vulkan.MemoryRequirements
	vulkan.GetBufferMemoryRequirements(d.handle, b.handle, &need)
	need.Deref()
	kind, host := d.memoryType(need.MemoryTypeBits, where)
	alloc := vulkan.MemoryAllocateInfo{SType: vulkan.StructureTypeMemoryAllocateInfo, AllocationSize: need.Size, MemoryTypeIndex: kind}
	if r := made(&b.memory, func(h *vulkan.DeviceMemory) vulkan.Result { return vulkan.AllocateMemory(d.handle, &alloc, nil, h) }); r != vulkan.Success {
		vulkan.DestroyBuffer(d.handle, b.handle, nil)
		return nil, fmt.Errorf("allocating %d bytes: %w", size, d.failed("vkAllocateMemory", r))
	}
	if r := vulkan.BindBufferMemory(d.handle, b.handle, b.memory, 0); r != vulkan.Success {
		return nil, d.failed("vkBindBufferMemory", r)
	}
	if host {
		var p unsafe.Pointer
		if r := vulkan.MapMemory(d.handle, b.memory, 0, vulkan.DeviceSize(size), 0, &p); r != vulkan.Success {
			return nil, d.failed("vkMapMemory", r)
		}
		b.mapped = unsafe.Slice((*byte)(p), size)
	}
	b.bytes = int64(need.Size)
	d.allocated += b.bytes
	return b, nil
}

// memoryType picks the type that serves where best, and says whether the host can map it.
func (d *Device) memoryType(allowed uint32, where Residence) (index uint32, host bool) {
	const local, visible, coherent, cached = 1, 2, 4, 8 // VkMemoryPropertyFlagBits
	best := -1
	for i, t := range d.memory {
		if allowed>>i&1 == 0 {
			continue
		}
		f, score := uint32(t.PropertyFlags), 0
		mapped := f&visible != 0 && f&coherent != 0
		if where == DeviceLocal {
			score = 4*flag(f&local != 0) + flag(mapped) + 1
		} else {
			score = 8*flag(mapped) + 2*flag(f&cached != 0) + 1
		}
		if score > best {
			best, index, host = score, uint32(i), mapped
		}
	}
	return index, host
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Bytes is the mapped memory, or nil when the host cannot reach it.
func (b *Buffer) Bytes() []byte { return b.mapped }

// Close frees the buffer; no recorded command may use it afterwards.
func (b *Buffer) Close() {
	for _, v := range b.views {
		vulkan.DestroyBufferView(b.dev.handle, v, nil)
	}
	vulkan.DestroyBuffer(b.dev.handle, b.handle, nil)
	vulkan.FreeMemory(b.dev.handle, b.memory, nil)
	b.dev.allocated -= b.bytes
}

// view is the buffer's range seen as rgba32f texels, made once per range.
func (b *Buffer) view(off, n int64) (vulkan.BufferView, error) {
	key := [2]int64{off, n}
	if v, ok := b.views[key]; ok {
		return v, nil
	}
	info := vulkan.BufferViewCreateInfo{SType: vulkan.StructureTypeBufferViewCreateInfo, Buffer: b.handle, Format: vulkan.FormatR32g32b32a32Sfloat, Offset: vulkan.DeviceSize(off), Range: vulkan.DeviceSize(n)}
	var v vulkan.BufferView
	if r := vulkan.CreateBufferView(b.dev.handle, &info, nil, &v); r != vulkan.Success {
		return v, b.dev.failed("vkCreateBufferView", r)
	}
	b.views[key] = v
	return v, nil
}

// Upload copies data into the buffer at off, directly or through staging; it returns when the device can see it.
func (b *Buffer) Upload(off int64, data []byte) error {
	return b.transfer(off, data, true)
}

// Download copies from the buffer at off into data.
func (b *Buffer) Download(off int64, data []byte) error {
	return b.transfer(off, data, false)
}

func (b *Buffer) transfer(off int64, data []byte, up bool) error {
	if off < 0 || off+int64(len(data)) > b.Size {
		return fmt.Errorf("bug: copy of %d bytes at %d outside a buffer of %d", len(data), off, b.Size)
	}
	if b.mapped != nil && !b.dev.ForceStaging {
		if up {
			copy(b.mapped[off:], data)
		} else {
			copy(data, b.mapped[off:])
		}
		return nil
	}
	if b.dev.staging == nil {
		s, err := b.dev.NewBuffer(stagingBytes, HostVisible)
		if err != nil {
			return err
		}
		b.dev.staging = s
	}
	s := b.dev.staging
	for len(data) > 0 {
		n := min(len(data), stagingBytes)
		if up {
			copy(s.mapped, data[:n])
		}
		c := b.dev.NewCommands(0)
		if up {
			c.Copy(b, off, s, 0, int64(n))
		} else {
			c.Copy(s, 0, b, off, int64(n))
		}
		err := c.Finish()
		if err == nil {
			err = c.Run()
		}
		c.Close()
		if err != nil {
			return err
		}
		if !up {
			copy(data[:n], s.mapped)
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// Zero fills the buffer with zeros, on the device.
func (b *Buffer) Zero() error {
	c := b.dev.NewCommands(0)
	defer c.Close()
	c.Zero(b)
	if err := c.Finish(); err != nil {
		return err
	}
	return c.Run()
}
