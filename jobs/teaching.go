package jobs

import (
	"context"

	"saltern/compute"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
)

// teaching is the teacher's part in a training: the teacher itself, on the device, or a file of what it has to say.
type teaching struct {
	teacher *model.Model // online

	file    *labels.File // offline
	offline *distill.Offline
	feed    *distill.Feed
	cost    *labelingCost
}

// teach gets the teacher ready, or its soft labels, which are made where they are missing.
func (t *training) teach(ctx context.Context, s *session) (*teaching, error) {
	if t.Distill.Offline() {
		f, cost, err := t.openLabels(ctx, s)
		if err != nil {
			return nil, err
		}
		return &teaching{file: f, offline: t.offline(), cost: cost}, nil
	}
	m, _, err := model.Load(s.device, t.teacher, t.name+".teacher")
	if err != nil {
		return nil, badCheckpoint(err, "")
	}
	return &teaching{teacher: m}, nil
}

// offline is the objective with soft labels.
func (t *training) offline() *distill.Offline {
	return &distill.Offline{Count: t.Distill.LabelCount, Ghost: t.Distill.Ghost()}
}

// objectives are those of the training: plain, and with a teacher the one with its help.
func (h *teaching) objectives() []model.Objective {
	switch {
	case h == nil:
		return []model.Objective{model.Plain}
	case h.offline != nil:
		return []model.Objective{model.Plain, h.offline.Objective}
	}
	return []model.Objective{model.Plain, distill.Objective(h.teacher)}
}

// labeled is what the soft labels took before the training; nil without any.
func (h *teaching) labeled() *labelingCost {
	if h == nil {
		return nil
	}
	return h.cost
}

// begin starts to read the soft labels from the loop's next step on, to the last with the teacher's help.
func (h *teaching) begin(l *loop) {
	if h == nil || h.file == nil {
		return
	}
	batch := int64(l.Train.Batch)
	order, n := l.orderAt(l.order, 0), l.s.set.Train.Sequences(l.Train.Sequence)
	h.feed = distill.NewFeed(h.file, l.Distill.Ghost(), l.Train.Microbatch, l.step*batch, l.Distill.TeacherSteps(l.Train.Steps)*batch, func(sample int64) int64 {
		return l.denoising.number(order, n, sample)
	})
}

// write gives the device what the microbatch that begins with this sample needs of the teacher beside the text.
func (h *teaching) write(b compute.Backend, sample int64) error {
	if h == nil || h.feed == nil {
		return nil
	}
	l, err := h.feed.Next(sample)
	if err != nil {
		return err
	}
	return h.offline.Write(b, l)
}

// close frees what teach and begin took.
func (h *teaching) close(d *compute.Device) error {
	if h == nil {
		return nil
	}
	if h.feed != nil {
		h.feed.Close()
	}
	if h.teacher != nil {
		d.Free(h.teacher.Storages()...)
		return nil
	}
	d.Free(h.offline.Storages()...)
	return h.file.Close()
}
