package distill

import (
	"saltern/compute"
	"saltern/model"
)

// Objective is the loss l_w = (1-w) NLL + w CE(q_T, p) with the teacher's dense distribution: its transformer is recorded
// into the student's program and its logits never leave the device, nor exist for more than a chunk of tokens at once.
// The teacher's weights get no gradient. w and T are the trainer's per-step numbers.
func Objective(teacher *model.Model) model.Objective {
	return func(r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor, gradient bool) *compute.Tensor {
		in := online(teacher, r, m, hidden, t, params)
		in.Gradient = gradient
		return r.LinearLoss(in)
	}
}

// online records the teacher's transformer and gives what the loss takes.
func online(teacher *model.Model, r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor) compute.LossInputs {
	teacher.Precision = m.Precision
	return compute.LossInputs{
		Precision: m.Precision, Hidden: hidden, Weight: m.Head(), Labels: t.Labels, Params: params,
		TeacherHidden: teacher.Hidden(r, t), TeacherWeight: teacher.Head(),
	}
}
