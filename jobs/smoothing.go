package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"saltern/compute"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/ul2"
)

// smoothing is smoothing.json beside a training by "equal-entropy": what its weight comes from.
type smoothing struct {
	Of      smoothed `json:"of"`
	Tokens  int      `json:"tokens"`              // of stage 1, that the SLM was asked about
	Entropy float64  `json:"target_entropy_nats"` // mean, of (1-w) e_y + w q
	Weight  float64  `json:"weight"`              // of the uniform distribution in a target of that entropy
}

// smoothed is whose targets are to be matched.
type smoothed struct {
	Teacher     string  `json:"slm_sha256"`
	Weight      float64 `json:"weight"`
	Temperature float64 `json:"temperature"`
}

// smoothingTokens is how many tokens the SLM is asked about, at most. The mean over them is good to about a percent.
const smoothingTokens = 1 << 16

func (t *training) smoothingFile() string { return filepath.Join(t.dir, "smoothing.json") }

// findSmoothing finds the weight of a training by "equal-entropy", where that is not done yet, in the sequences that it begins with.
func (t *training) findSmoothing(ctx context.Context, s *session) error {
	if t.Distill.Method == "baseline" || t.Distill.Teacher != distill.EqualEntropy {
		return nil
	}
	of := smoothed{t.Teacher, t.Distill.Weight, t.Distill.Temperature}
	var found smoothing
	read := func() error { return readJSON(t.smoothingFile(), &found, "remove it to measure anew") }
	err := s.ranks.first(ctx, func() error {
		if err := read(); err != nil || found.Of == of {
			return err
		}
		_, err := t.measureSmoothing(ctx, s, of)
		return err
	})
	if err == nil {
		err = read()
	}
	t.Smoothing = found.Weight
	return err
}

// withSmoothing is the training with the weight that was found.
func (t *training) withSmoothing() *training {
	if t.Smoothing == 0 {
		return t
	}
	c := *t
	c.Distill.Weight = t.Smoothing
	return &c
}

func (t *training) measureSmoothing(ctx context.Context, s *session, of smoothed) (found smoothing, err error) {
	found.Of = of
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return found, err
	}
	order, err := t.dataOrder(s)
	if err != nil {
		return found, err
	}
	order = t.orderAt(order, 0)
	d, err := t.denoising(s)
	if err != nil {
		return found, err
	}
	slm, _, err := model.Load(s.device, t.teacher.checkpoints(), "smoothing.slm")
	if err != nil {
		return found, badCheckpoint(err, "")
	}
	defer s.device.Free(slm.Storages()...)
	settings := t.labelSettings()
	settings.Form, settings.Count = labels.TopK, 1 // only what is known of the whole distribution is looked at
	maker, err := distill.NewLabeler(slm, settings, t.Train.Microbatch)
	if err != nil {
		return found, err
	}
	if err := s.tuner.Tune(ctx, maker.Program()); err != nil {
		return found, err
	}
	if err := maker.Load(s.device); err != nil {
		return found, err
	}
	defer maker.Close()
	read := max(1, t.Distill.TeacherSteps(t.Train.Steps)) * int64(t.Train.Batch)
	read = min(read, order.Sequences, max(1, smoothingTokens/int64(t.Train.Sequence)))
	sum := 0.0
	wanted := make([]uint32, 0, maker.B*t.Train.Sequence) // the labels of a batch, of which masked ones do not count
	for first := int64(0); first < read; first += int64(maker.B) {
		if ctx.Err() != nil {
			return found, fmt.Errorf("%s: stopped while the SLM was asked how uncertain it is; the same command asks again: %w", t.label, context.Cause(ctx))
		}
		var batch []int64
		for sample := first; sample < min(read, first+int64(maker.B)); sample++ {
			batch = append(batch, d.number(order, s.set.Train.Sequences(t.Train.Sequence), sample))
		}
		wanted = wanted[:0]
		made, err := maker.Make(batch, func(number int64, x ul2.Example) error {
			err := d.example(s.set.Train, number, x)
			wanted = append(wanted, x.Labels...)
			return err
		})
		if err != nil {
			return found, err
		}
		for i, label := range wanted {
			if label != compute.Masked {
				stats := made.Stats[i*compute.LabelColumns:]
				sum += distill.TargetEntropy(t.Distill.Weight, float64(stats[compute.LabelEntropy]), float64(stats[compute.LabelNLL]))
				found.Tokens++
			}
		}
	}
	found.Entropy = sum / float64(found.Tokens)
	found.Weight = distill.SmoothingWeight(found.Entropy, t.Model.Vocab)
	s.say("%s: the SLM's targets have a mean entropy of %.3f nats; smoothing with a weight of %.4f has the same", t.label, found.Entropy, found.Weight)
	return found, writeJSON(t.smoothingFile(), found)
}
