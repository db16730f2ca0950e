package distill

import (
	"saltern/compute"
	"saltern/model"
)

// Source is where the teacher's part of the loss comes from: Online, *Offline or *Smoothing. A training has one of its own.
type Source interface {
	// teach records what there is to be known of the teacher for a microbatch, and enters it into the loss.
	teach(r *compute.Recorder, m *model.Model, t *model.Tokens, in *compute.LossInputs)

	// Storages lists the memory to be freed.
	Storages() []*compute.Storage
}

// Objective is the loss l_w = (1-w) NLL + w CE(q_T, p). w and T are the trainer's per-step numbers.
func Objective(s Source) model.Objective {
	return func(r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor, gradient bool) *compute.Tensor {
		return r.LinearLoss(inputs(s, r, m, hidden, t, params, gradient))
	}
}

// inputs are what the loss takes.
func inputs(s Source, r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor, gradient bool) compute.LossInputs {
	in := compute.LossInputs{Precision: m.Precision, Hidden: hidden, Weight: m.Head(), Labels: t.Labels, Params: params, Gradient: gradient}
	s.teach(r, m, t, &in)
	return in
}

// Online is a teacher at hand, with its dense distribution: its transformer is recorded into the student's program and its logits
// never leave the device, nor exist for more than a chunk of tokens at once. Its weights get no gradient.
type Online struct{ Teacher *model.Model }

func (o Online) teach(r *compute.Recorder, m *model.Model, t *model.Tokens, in *compute.LossInputs) {
	o.Teacher.Precision = m.Precision
	in.TeacherHidden, in.TeacherWeight = o.Teacher.Hidden(r, t), o.Teacher.Head()
}

// Storages lists the teacher's memory.
func (o Online) Storages() []*compute.Storage { return o.Teacher.Storages() }
