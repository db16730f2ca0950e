package compute

import (
	"fmt"
	"slices"
	"unsafe"

	"saltern/compute/vk"
	"saltern/shaders"
)

// Damage has the device compute an operation wrongly from now on, as a driver that miscompiles or a unit that fails would: its kernels run
// from SPIR-V in which each floating-point sum a + b is b - a. Programs that are loaded already are recorded anew at their next run. It is for
// showing that whoever watches over a device notices. Empty: no operation, as if nothing had been. The error is of one that cannot
// be damaged here.
func (d *Device) Damage(op string) error {
	if op == "" {
		d.damaged = ""
		return nil
	}
	i := slices.IndexFunc(Table, func(o *Op) bool { return o.Name == op })
	if i < 0 {
		return fmt.Errorf("there is no operation %q; saltern kernels lists them", op)
	}
	if ok, err := d.canDamage(Table[i]); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("no kernel of %s that fits %s adds anything, so there is nothing to damage", op, d.vk.Name)
	}
	d.damaged = op
	return nil
}

// canDamage says that some kernel of the operation that fits a case of it adds floating-point numbers.
func (d *Device) canDamage(op *Op) (bool, error) {
	nodes, err := op.nodes(nil)
	if err != nil {
		return false, err
	}
	for _, n := range nodes {
		for i := range op.Kernels {
			for _, l := range d.launches(&op.Kernels[i], n) {
				code, err := shaders.Module(l.Shader)
				if _, ok := miscompiled(code); ok || err != nil {
					return ok, err
				}
			}
		}
	}
	return false, nil
}

// pipelineOf is the pipeline of an operation's launch, or the one that takes its place while the device is damaged.
func (d *Device) pipelineOf(op *Op, l Launch) (*vk.Pipeline, error) {
	if d.damaged == "" || op.Name != d.damaged {
		return d.pipeline(l)
	}
	code, err := shaders.Module(l.Shader)
	if err != nil {
		return nil, err
	}
	wrong, _ := miscompiled(code)
	return d.compile(l, l.Shader+" of a damaged device", wrong)
}

// miscompiled is a SPIR-V module in which a + b has become b - a, and fma(a, b, c) fma(c, b, a), of floating-point numbers; changed says that there
// was one of these.
func miscompiled(code []byte) (wrong []byte, changed bool) {
	const ( // a module is a header, then instructions: length << 16 | opcode, type, result, operands
		header                         = 5 // words
		opFAdd, opFSub, opExtInst, fma = 129, 131, 12, 50
	)
	wrong = slices.Clone(code)
	words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(wrong))), len(wrong)/4)
	for at := header; at < len(words); at += int(words[at] >> 16) {
		switch i := words[at:]; {
		case i[0]&0xffff == opFAdd:
			i[0] = i[0]&^0xffff | opFSub
			i[3], i[4] = i[4], i[3]
		case i[0]&0xffff == opExtInst && i[4] == fma:
			i[5], i[7] = i[7], i[5]
		default:
			continue
		}
		changed = true
	}
	return wrong, changed
}

// recordAnew records a run again whose device was damaged since, or healed.
func (x *DeviceRun) recordAnew() error {
	if x.damaged == x.dev.damaged {
		return nil
	}
	y, err := x.dev.record(x.program, x.arena.buffer, x.Kernels, x.profiled)
	if err != nil {
		return err
	}
	x.closeParts()
	x.parts, x.damaged = y.parts, y.damaged
	return nil
}
