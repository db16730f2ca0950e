package compute

import (
	"context"
	"errors"
	"fmt"

	"saltern/compute/vk"
)

// Recheck holds the kernels that run the programs' nodes on this device against the reference once more, on the cases by which they were
// chosen, and names the first check that fails, and how: a device that was right when a job began need not be right for ever. Empty: all
// are right. The error is of what cannot be told.
func (t *Tuner) Recheck(ctx context.Context, programs ...*Program) (wrong string, err error) {
	done := map[string]bool{}
	for _, p := range programs {
		for _, n := range p.Nodes {
			k, err := t.dev.choose(n)
			if err != nil {
				return "", err
			}
			key := n.Op.Name + "/" + k.Name + " " + t.pipelines(n, k)
			if done[key] {
				continue
			}
			done[key] = true
			if wrong, err := t.recheck(ctx, t.checks(n, k)); err != nil || wrong != "" {
				return wrong, err
			}
		}
	}
	return "", nil
}

func (t *Tuner) recheck(ctx context.Context, checks []Check) (wrong string, err error) {
	for _, c := range checks {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		switch err := c.Run(t.dev); {
		case errors.Is(err, vk.ErrMemory) || errors.Is(err, vk.ErrLost):
			return "", err
		case err != nil:
			return fmt.Sprintf("%s: %v", c.Name(), err), nil
		}
	}
	return "", nil
}
