package compute

import "context"

// Adopt takes the choices of another device of the same kind for the nodes of the programs, in place of this tuner's own: ranks whose devices are
// alike sum in one order then. A kernel that is wrong on this device is not taken; Choices then still differ.
func (t *Tuner) Adopt(ctx context.Context, c Choices, programs ...*Program) error {
	pinned := map[string]string{}
	for class, name := range t.pinned {
		pinned[class] = name
	}
	for class, name := range c.Kernels {
		pinned[class] = name
		if k := t.used[class]; k != nil && k.Name != name {
			delete(t.used, class)
		}
	}
	t.pinned = pinned
	return t.Tune(ctx, programs...)
}
