package compute

import (
	"fmt"

	"saltern/compute/vk"
	"saltern/shaders"
)

// Compiled is one pipeline of a kernel, made to be looked at: machine code for a launch's shader, specialization constants
// and subgroup size.
type Compiled struct {
	Op      *Op
	Kernel  *Kernel
	Node    *Node // the first that needs it
	Typical bool  // the node is one of those that were asked for, not a case of the operation
	Launch  Launch
	Err     error // why there is none

	Shared     int            // bytes of workgroup memory that the shader declares
	Lanes      int            // of a subgroup; 0 where the driver does not tell
	Statistics []vk.Statistic // as the driver names them; none where it does not tell (vk.Info.Statistics)
}

// Name is operation/variant.
func (c Compiled) Name() string { return c.Op.Name + "/" + c.Kernel.Name }

// Examine compiles every pipeline of every kernel of the operations that fits this device, on the nodes and, beyond those,
// on the fixed cases. Nothing runs, and tensors take no memory. It hands on each pipeline when it is made, until the
// receiver returns an error.
func (d *Device) Examine(ops []*Op, nodes []*Node, receive func(Compiled) error) error {
	for _, op := range ops {
		list, err := op.nodes(nodes)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for i := range op.Kernels {
			for _, n := range list {
				c := Compiled{Op: op, Kernel: &op.Kernels[i], Node: n, Typical: n.at != caseAt}
				for _, c.Launch = range d.launches(c.Kernel, n) {
					name := fmt.Sprint(c.Kernel.Name, c.Launch.Shader, c.Launch.Spec, c.Launch.Subgroup)
					if seen[name] {
						continue
					}
					seen[name] = true
					if err := receive(d.examine(c)); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// nodes are those of the list that are of the operation, then its fixed cases.
func (op *Op) nodes(from []*Node) (list []*Node, err error) {
	for _, n := range from {
		if n.Op.Name == op.Name {
			list = append(list, n)
		}
	}
	for _, c := range op.Cases {
		n, err := c.node(op, func(t DType, s Shape) *Tensor { return NewTensor(State, "x", t, s...) })
		if err != nil {
			return nil, fmt.Errorf("bug: case of %s: %w", op.Name, err)
		}
		list = append(list, n)
	}
	return list, nil
}

// launches are the kernel's for a node; none if it does not fit.
func (d *Device) launches(k *Kernel, n *Node) []Launch {
	if k.Fits != nil && !k.Fits(n, &d.limits) {
		return nil
	}
	return k.Launch(n, &d.limits)
}

// examine makes the pipeline and asks what there is to know of it.
func (d *Device) examine(c Compiled) Compiled {
	p, err := d.pipeline(c.Launch)
	if err == nil {
		c.Statistics, c.Lanes, err = p.Statistics()
	}
	if err == nil {
		c.Shared, err = sharedMemory(c.Launch)
	}
	if err != nil {
		c.Err = fmt.Errorf("%s %v on %v, pinned to one subgroup: %v: %w", c.Name(), c.Launch.Spec, c.Node, c.Launch.Subgroup, err)
	}
	return c
}

func sharedMemory(l Launch) (int, error) {
	code, err := shaders.Module(l.Shader)
	if err != nil {
		return 0, err
	}
	return vk.SharedMemory(code, l.Spec)
}
