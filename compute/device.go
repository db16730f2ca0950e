package compute

import (
	"fmt"
	"unsafe"

	"saltern/compute/vk"
	"saltern/shaders"
)

// Device runs programs on one Vulkan device. It is not safe for concurrent use.
type Device struct {
	vk       *vk.Device
	instance *vk.Instance // nil when whoever opened it closes it
	limits   Limits
	memory   map[*Storage]*vk.Buffer
	damaged  string // see Damage
	// Choose picks the kernel for a node among those that fit; nil takes the first.
	Choose func(n *Node, fitting []*Kernel) (*Kernel, error)
}

// NewDevice wraps an open Vulkan device.
func NewDevice(d *vk.Device) *Device {
	texels := d.MaxTexels * 4
	return &Device{vk: d, memory: map[*Storage]*vk.Buffer{}, limits: Limits{
		Subgroup: d.Subgroup, Shared: d.SharedMemory, MaxGroup: d.MaxWorkgroup, MaxGridX: min(d.MaxGrid[0], 65535),
		MaxRange: int(d.MaxRange / elementBytes), MaxTexel: int(min(texels, 1<<31)), CPU: d.Type == vk.CPU, Int64: d.Int64, Memory: d.Memory,
		Matrices: subgroupMatrices(d.Info), Flexible: flexibleMatrices(d.Info),
	}}
}

// Info is what the device is.
func (d *Device) Info() vk.Info { return d.vk.Info }

// Limits is what kernels are told of the device; tests narrow it.
func (d *Device) Limits() *Limits { return &d.limits }

// Allocated is the device memory held now, in bytes.
func (d *Device) Allocated() int64 { return d.vk.Allocated() }

// Close frees everything; see CloseChecked for what the validation layer has to say.
func (d *Device) Close() {
	for _, b := range d.memory {
		b.Close()
	}
	d.vk.Close()
	if d.instance != nil {
		d.instance.Close()
	}
}

// Free gives back the memory of State or Host storages; programs that use them must be closed before.
func (d *Device) Free(list ...*Storage) {
	for _, s := range list {
		if b, ok := d.memory[s]; ok {
			b.Close()
			delete(d.memory, s)
		}
	}
}

// buffer is the memory of a State or Host storage, made and zeroed at first use.
func (d *Device) buffer(s *Storage) (*vk.Buffer, error) {
	if b, ok := d.memory[s]; ok {
		return b, nil
	}
	where := vk.DeviceLocal
	if s.Kind == Host {
		where = vk.HostVisible
	}
	b, err := d.vk.NewBuffer(s.Bytes(), where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := b.Zero(); err != nil {
		return nil, err
	}
	d.memory[s] = b
	return b, nil
}

// Write sets a State or Host tensor, rounding where its elements are 16 bits wide.
func (d *Device) Write(t *Tensor, data []float32) error {
	if t.DType.Half() {
		return d.transfer(t, bytesOf(narrow(t.DType, data)), true)
	}
	return d.transfer(t, bytesOf(data), true)
}

// WriteU32 sets a tensor of ids.
func (d *Device) WriteU32(t *Tensor, data []uint32) error { return d.transfer(t, bytesOf(data), true) }

// Read copies a State or Host tensor out.
func (d *Device) Read(t *Tensor, data []float32) error {
	if !t.DType.Half() {
		return d.transfer(t, bytesOf(data), false)
	}
	half := make([]uint16, len(data))
	if err := d.transfer(t, bytesOf(half), false); err != nil {
		return err
	}
	widen(t.DType, data, half)
	return nil
}

// ReadU32 copies a tensor of ids out.
func (d *Device) ReadU32(t *Tensor, data []uint32) error { return d.transfer(t, bytesOf(data), false) }

func bytesOf[T float32 | uint32 | uint16](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
}

func (d *Device) transfer(t *Tensor, data []byte, up bool) error {
	off, end := t.span()
	if len(data) != end-off || t.DType.Half() != t.Storage.Half {
		return fmt.Errorf("bug: %d bytes for %v", len(data), t)
	}
	b, err := d.buffer(t.Storage)
	if err != nil {
		return err
	}
	if up {
		return b.Upload(int64(off), data)
	}
	return b.Download(int64(off), data)
}

// Load chooses kernels, allocates what is missing and records the programs' command buffers.
func (d *Device) Load(programs ...*Program) ([]Executable, error) {
	if need, have := PlanMemory(programs...).Total(), d.limits.Memory; have > 0 && need > have {
		return nil, fmt.Errorf("%w: the plan needs %s, %s has %s", vk.ErrMemory, Bytes(need), d.vk.Name, Bytes(have))
	}
	runs, err := d.load(false, programs...)
	list := make([]Executable, len(runs))
	for i, x := range runs {
		list[i] = x
	}
	return list, err
}

// Profile loads one program with a timestamp after every node.
func (d *Device) Profile(p *Program) (*DeviceRun, error) {
	runs, err := d.load(true, p)
	if err != nil {
		return nil, err
	}
	return runs[0], nil
}

// Profile records the run's program once more, with the same kernels over the same arena, and with a timestamp after every
// node. Before each timestamp stands a barrier, so nodes that may overlap in the run do not in its profile: it gives the
// same bits, later.
func (x *DeviceRun) Profile() (*DeviceRun, error) {
	y, err := x.dev.record(x.program, x.arena.buffer, x.Kernels, true)
	if err != nil {
		return nil, err
	}
	y.arena = x.arena
	y.arena.users++
	return y, nil
}

// load records the programs over one arena. Where it fails, what it made is freed.
func (d *Device) load(profile bool, programs ...*Program) (runs []*DeviceRun, err error) {
	a := &arena{users: 1} // this function is one, until it returns
	defer func() {
		if err != nil {
			for _, x := range runs {
				x.Close()
			}
			runs = nil
		}
		a.release()
	}()
	size := 0
	for _, p := range programs {
		size = max(size, p.Arena)
	}
	if size > 0 {
		if a.buffer, err = d.vk.NewBuffer(int64(size)*elementBytes, vk.DeviceLocal); err != nil {
			return nil, fmt.Errorf("arena: %w", err)
		}
	}
	for _, p := range programs {
		x, err := d.record(p, a.buffer, nil, profile)
		if err != nil {
			return runs, err
		}
		x.arena = a
		a.users++
		runs = append(runs, x)
	}
	return runs, nil
}

// arena is the memory that the temporaries of programs loaded together share.
type arena struct {
	buffer *vk.Buffer
	users  int
}

// release ends one use; the last frees the memory.
func (a *arena) release() {
	a.users--
	if a.users == 0 && a.buffer != nil {
		a.buffer.Close()
	}
}

// DeviceRun is a program loaded on a device.
type DeviceRun struct {
	dev     *Device
	program *Program
	parts   []*vk.Commands // one for each of the program's segments
	arena   *arena
	Kernels []*Kernel // chosen for each node

	profiled bool   // with a timestamp after every node
	damaged  string // the operation that the device computed wrongly when it was recorded
}

// Close frees the recording, and the arena with the last program that uses it.
func (x *DeviceRun) Close() {
	x.closeParts()
	x.arena.release()
}

func (x *DeviceRun) closeParts() {
	for _, c := range x.parts {
		c.Close()
	}
}

// record writes a program's command buffers, one for each of its segments, with the given kernels, one for each node; nil: those
// that are chosen here.
func (d *Device) record(p *Program, arena *vk.Buffer, kernels []*Kernel, profile bool) (x *DeviceRun, err error) {
	x = &DeviceRun{dev: d, program: p, profiled: profile, damaged: d.damaged}
	defer func() {
		if err != nil {
			x.closeParts()
			x = nil
		}
	}()
	first := 0
	for _, end := range p.segments() {
		if err := x.recordPart(first, end, arena, kernels, profile); err != nil {
			return x, err
		}
		first = end
	}
	return x, nil
}

// recordPart writes the command buffer of nodes first to end (exclusive).
func (x *DeviceRun) recordPart(first, end int, arena *vk.Buffer, kernels []*Kernel, profile bool) error {
	d, p, marks := x.dev, x.program, 0
	if profile {
		marks = end - first + 1
	}
	c := d.vk.NewCommands(marks)
	if first > 0 { // what the parts before wrote, where they are submitted together with this one
		c.Barrier()
	}
	if profile {
		c.Mark()
	}
	for i := first; i < end; i++ {
		n := p.Nodes[i]
		if p.Barrier[i] && (i > first || first == 0) {
			c.Barrier()
		}
		var k *Kernel
		if kernels != nil {
			k = kernels[i]
		} else if chosen, err := d.choose(n); err != nil {
			return err
		} else {
			k = chosen
		}
		x.Kernels = append(x.Kernels, k)
		if k.Fits != nil && !k.Fits(n, &d.limits) {
			return fmt.Errorf("bug: %s/%s cannot run %v", n.Op.Name, k.Name, n)
		}
		if err := d.dispatch(c, p, n, k, arena); err != nil {
			return fmt.Errorf("%s/%s %v: %w; run: saltern doctor --op %s", n.Op.Name, k.Name, n.In, err, n.Op.Name)
		}
		if profile {
			c.Mark()
		}
	}
	if err := c.Finish(); err != nil {
		c.Close()
		return err
	}
	x.parts = append(x.parts, c)
	return nil
}

// fitting lists the kernels that can run a node here.
func (d *Device) fitting(n *Node) []*Kernel {
	var list []*Kernel
	for i := range n.Op.Kernels {
		if k := &n.Op.Kernels[i]; k.Fits == nil || k.Fits(n, &d.limits) {
			list = append(list, k)
		}
	}
	return list
}

func (d *Device) choose(n *Node) (*Kernel, error) {
	list := d.fitting(n)
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no kernel for %v fits %s", n.at, n, d.vk.Name)
	}
	if d.Choose != nil && len(list) > 1 {
		return d.Choose(n, list)
	}
	return list[0], nil
}

func (d *Device) dispatch(c *vk.Commands, p *Program, n *Node, k *Kernel, arena *vk.Buffer) error {
	for _, l := range k.Launch(n, &d.limits) {
		pipe, err := d.pipelineOf(n.Op, l)
		if err != nil {
			return err
		}
		bind := make([]vk.Range, len(l.Bind))
		for i, t := range l.Bind {
			if bind[i], err = d.bind(p, t, arena); err != nil {
				return err
			}
		}
		if l.Ordered {
			c.Barrier()
		}
		if err := c.Dispatch(pipe, bind, l.Push, l.Grid); err != nil {
			return err
		}
	}
	return nil
}

// pipeline is the machine code of a launch, compiled at the first time.
func (d *Device) pipeline(l Launch) (*vk.Pipeline, error) {
	code, err := shaders.Module(l.Shader)
	if err != nil {
		return nil, err
	}
	return d.compile(l, l.Shader, code)
}

// compile makes a launch's pipeline of the module that has that name.
func (d *Device) compile(l Launch, name string, code []byte) (*vk.Pipeline, error) {
	subgroup := 0
	if l.Subgroup {
		subgroup = d.limits.Subgroup
	}
	return d.vk.Pipeline(name, code, l.Spec, subgroup)
}

func (d *Device) bind(p *Program, t *Tensor, arena *vk.Buffer) (vk.Range, error) {
	off, end := t.span()
	size := end - off
	buf := arena
	if t.Storage.Kind == Temp {
		off += p.Offset[t.Storage] * elementBytes
	} else {
		b, err := d.buffer(t.Storage)
		if err != nil {
			return vk.Range{}, err
		}
		buf = b
	}
	// Texels and vec4 loads take whole groups of 16 bytes; storages are padded, so the last one is there.
	return vk.Range{Buffer: buf, Off: int64(off), N: int64(size+15) / 16 * 16}, nil
}

// Bytes words a size for people.
func Bytes(n int64) string {
	switch f := float64(n); {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", f/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", f/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", f/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
