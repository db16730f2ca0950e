package distill

import (
	"saltern/compute"
	"saltern/distill/labels"
	"saltern/model"
)

// Offline is the loss l_w = (1-w) NLL + w CE(q, p) with soft labels of the teacher in place of the teacher. A training has one of
// its own.
type Offline struct {
	Count int  // labels of a token
	Ghost bool // see Config.LabelTail

	soft *compute.SoftLabels // of the microbatch recorded last
}

// Objective records the loss of a microbatch, whose soft labels Write sets before it runs.
func (o *Offline) Objective(r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor, gradient bool) *compute.Tensor {
	in := o.inputs(m, hidden, t, params)
	in.Gradient = gradient
	return r.LinearLoss(in)
}

// inputs declares the soft labels of a microbatch and gives what the loss takes.
func (o *Offline) inputs(m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor) compute.LossInputs {
	n := t.B * t.T
	o.soft = &compute.SoftLabels{
		IDs:   compute.NewTensor(compute.Host, "soft_ids", compute.U32, n, o.Count),
		Q:     compute.NewTensor(compute.Host, "soft_q", compute.F32, n, o.Count),
		Stats: compute.NewTensor(compute.Host, "label_stats", compute.F32, n, compute.LabelColumns),
	}
	return compute.LossInputs{
		Precision: m.Precision, Hidden: hidden, Weight: m.Head(), Labels: t.Labels, Params: params, Soft: o.soft, Ghost: o.Ghost,
	}
}

// Write hands the soft labels of a microbatch to the backend.
func (o *Offline) Write(b compute.Backend, l *labels.Labels) error {
	if err := b.WriteU32(o.soft.IDs, l.IDs); err != nil {
		return err
	}
	if err := b.Write(o.soft.Q, l.Q); err != nil {
		return err
	}
	return b.Write(o.soft.Stats, l.Stats)
}

// Storages lists the memory of the soft labels, to be freed.
func (o *Offline) Storages() []*compute.Storage {
	if o.soft == nil {
		return nil
	}
	return []*compute.Storage{o.soft.IDs.Storage, o.soft.Q.Storage, o.soft.Stats.Storage}
}
