package jobs

import (
	"context"
	"time"

	"saltern/compute"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
)

// teaching is the teacher's part in a training: the teacher itself, on the device, or a file of what it has to say.
type teaching struct {
	source   distill.Source
	adaptive *adaptive // nil unless the training itself ends the teacher's help

	// Of offline soft labels alone.
	offline *distill.Offline // the source
	file    *labels.File
	feed    *distill.Feed
	cost    *labelingCost

	// Of those that teachers on other ranks send.
	subscriber *distill.Subscriber
	cancel     context.CancelFunc // ends what the feed waits for

	waited time.Duration // for soft labels, in the step under way
}

// help is the teacher's part with a teacher at hand; where that is nil, with its soft labels, from a file that may be nil for a plan, or
// with label smoothing, whose weight has been found.
func (t *training) help(teacher *model.Model, file *labels.File) *teaching {
	t = t.withSmoothing()
	h := &teaching{source: distill.Online{Teacher: teacher}, file: file}
	switch {
	case t.Distill.Smooths():
		h.source = &distill.Smoothing{}
	case teacher == nil:
		h.offline = &distill.Offline{Count: t.Distill.LabelCount, Ghost: t.Distill.Ghost()}
		h.source = h.offline
	}
	if t.Distill.Auto() {
		h.adaptive = &adaptive{Adaptive: &distill.Adaptive{Source: h.source}, rule: t.Distill.Rule(t.Train.Steps, t.Model.Vocab), T: t.Train.Sequence}
	}
	return h
}

// teach gets the teacher ready, or its soft labels, which are made where they are missing.
func (t *training) teach(ctx context.Context, s *session) (*teaching, error) {
	if t.Distill.Smooths() {
		return t.help(nil, nil), nil
	}
	if t.teachers > 0 {
		return t.help(nil, nil), nil
	}
	if t.Distill.Offline() {
		f, cost, err := t.openLabels(ctx, s)
		if err != nil {
			return nil, err
		}
		h := t.help(nil, f)
		h.cost = cost
		return h, nil
	}
	m, _, err := model.Load(s.device, t.teacherCheckpoints(), t.name+".teacher")
	if err != nil {
		return nil, badCheckpoint(err, "")
	}
	return t.help(m, nil), nil
}

// objectives are those of the training: plain, and with a teacher the one with its help.
func (h *teaching) objectives() []model.Objective {
	switch {
	case h == nil:
		return []model.Objective{model.Plain}
	case h.adaptive != nil:
		return []model.Objective{model.Plain, h.adaptive.Objective}
	}
	return []model.Objective{model.Plain, distill.Objective(h.source)}
}

// labeled is what the soft labels took before the training; nil without any.
func (h *teaching) labeled() *labelingCost {
	if h == nil {
		return nil
	}
	return h.cost
}

// begin takes up where the loop is: what was decided, and the soft labels from its next step on, to the last with the teacher's help.
func (h *teaching) begin(l *loop) error {
	if h == nil {
		return nil
	}
	if err := h.adaptive.begin(l.s.device, &l.state); err != nil || !h.helps() {
		return err
	}
	if h.subscriber != nil {
		ctx, cancel := context.WithCancel(l.s.ranks.all)
		h.feed, h.cancel = h.subscriber.Feed(ctx, l.step, l.Distill.TeacherSteps(l.Train.Steps)), cancel
	}
	if h.file == nil {
		return nil
	}
	order, n := l.orderAt(l.order, 0), l.s.set.Train.Sequences(l.Train.Sequence)
	h.feed = distill.NewFeed(h.file, l.Distill.Ghost(), l.Train.Microbatch, l.s.ranks.microbatches(l.Train, l.step, l.Distill.TeacherSteps(l.Train.Steps)), func(sample int64) int64 {
		return l.denoising.number(order, n, sample)
	})
	return nil
}

// helps says that there is a teacher and that it has not been sent away.
func (h *teaching) helps() bool { return h != nil && !h.adaptive.ended() }

// write gives the device what the microbatch that begins with this sample needs of the teacher beside the text.
func (h *teaching) write(b compute.Backend, sample int64) error {
	if err := h.adaptive.collect(b); err != nil {
		return err
	}
	h.adaptive.expect()
	if h.feed == nil {
		return nil
	}
	start := time.Now()
	l, err := h.feed.Next(sample)
	if err != nil {
		return err
	}
	h.waited += time.Since(start)
	if t, ok := b.(*tracer); ok {
		t.passing("wait for soft labels", start)
	}
	return h.offline.Write(b, l)
}

// unsubscribe ends the labels that come from other ranks.
func (h *teaching) unsubscribe() {
	if h.subscriber != nil && h.feed != nil {
		h.cancel()
		h.feed.Close()
		h.feed = nil
	}
	h.subscriber = nil
}

// close frees what teach and begin took.
func (h *teaching) close(d *compute.Device) error {
	if h == nil {
		return nil
	}
	h.unsubscribe()
	if h.feed != nil {
		h.feed.Close()
	}
	if h.adaptive != nil {
		d.Free(h.adaptive.Storages()...)
	}
	d.Free(h.source.Storages()...)
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}
