package jobs

import (
	"context"
	"errors"

	"saltern/model"
)

// difficulty measures a model by how hard a judge, another one with the same tokenizer, finds a text.
type difficulty struct {
	model, judge *model.Scorer
}

// judgedBy reads the judge, a checkpoint or a model of others, onto the device beside the model. Both see batches of b sequences of t
// tokens, or of as many as the judge can see.
func (l *loaded) judgedBy(path string, b, t int) (*difficulty, error) {
	m, c, err := model.Load(l.device, path, "judge")
	if err != nil {
		return nil, badCheckpoint(err, "--judge is a checkpoint's folder, such as runs/go-source/slm/checkpoints")
	}
	own, err := checkpointTokenizer(c)
	if err != nil {
		return nil, err
	}
	if own.Hash() != l.tokenizer.Hash() {
		return nil, fail(BadCheckpoint, "%s has another tokenizer than the model: tokens that are not the same cannot be judged; take a model of the same run as --judge", c.Dir)
	}
	t = min(t, m.Context)
	scorer := func(m *model.Model) (*model.Scorer, error) {
		s, err := model.NewScorer(m, model.NewTokens(b, t))
		if err != nil {
			return nil, err
		}
		return s, s.Load(l.device)
	}
	j := &difficulty{}
	if j.model, err = scorer(l.model); err != nil {
		return nil, err
	}
	if j.judge, err = scorer(m); err != nil {
		j.model.Close()
		return nil, err
	}
	return j, nil
}

// close frees what the device holds of the two programs.
func (j *difficulty) close() {
	j.model.Close()
	j.judge.Close()
}

// slices gives the model's loss, in nats per token, on the easy, medium and hard third of the text's sequences by the judge's loss. A
// text of fewer than three sequences has no thirds: NaN.
func (j *difficulty) slices(ctx context.Context, ids []uint32) ([3]float64, error) {
	measure := func(s *model.Scorer) (*heldOut, error) {
		var h heldOut
		var err error
		h.Loss, h.Tokens, err = s.ScoreText(ctx, model.TokenSlice(ids), int64(len(ids)))
		return &h, err
	}
	of, err := measure(j.model)
	by, err2 := measure(j.judge)
	if err := errors.Join(err, err2); err != nil {
		return [3]float64{}, err
	}
	return of.slices(by), nil
}
