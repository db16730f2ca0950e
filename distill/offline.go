package distill

import (
	"saltern/compute"
	"saltern/distill/labels"
	"saltern/model"
)

// Offline is soft labels in place of the teacher, which Write sets for each microbatch before it runs.
type Offline struct {
	Count int  // labels of a token
	Ghost bool // see Config.LabelTail

	soft *compute.SoftLabels // of the microbatch recorded last
}

func (o *Offline) teach(_ *compute.Recorder, _ *model.Model, t *model.Tokens, in *compute.LossInputs) {
	n := t.B * t.T
	o.soft = &compute.SoftLabels{
		IDs:   compute.NewTensor(compute.Host, "soft_ids", compute.U32, n, o.Count),
		Q:     compute.NewTensor(compute.Host, "soft_q", compute.F32, n, o.Count),
		Stats: compute.NewTensor(compute.Host, "label_stats", compute.F32, n, compute.LabelColumns),
	}
	in.Soft, in.Ghost = o.soft, o.Ghost
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
