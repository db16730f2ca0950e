package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"

	"saltern/compute"
	"saltern/distill"
	"saltern/distill/scores"
	"saltern/jobs/progress"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
)

// scoring is an early SLM's pass over the candidates. Its exported fields are all that decides the scores; they stand at the
// beginning of the file, so that no pass goes on with other settings than it began with, and who reads it knows what it holds.
type scoring struct {
	Corpus     string `toml:"corpus"`     // key of the prepared corpus
	Seed       int64  `toml:"seed"`       // of the order of the data
	Sequence   int    `toml:"sequence"`   // T, of the candidates, which are the LLM's sequences
	Microbatch int    `toml:"microbatch"` // sequences at a time
	Precision  string `toml:"precision"`  // of the SLM's products
	Judge      string `toml:"judge"`      // weights' checksum of the SLM that scores
	Steps      int64  `toml:"judge_steps"`
	Batch      int    `toml:"judge_batch"` // which with the steps and the next says what text it knows
	Trained    int    `toml:"judge_sequence"`
	JudgeSeed  *int64 `toml:"judge_seed,omitempty"` // of its own order of the data, where that is another

	DocumentMasks bool `toml:"document_masks,omitempty"` // no token sees beyond its document

	dir   string
	judge *training   // the SLM
	slm   string      // folder of its checkpoint
	cost  scoringCost // of the candidates of one selection
}

// scoringCost is what a selection took. Of Seconds, up to syncEvery is not known of a pass that was killed.
type scoringCost struct {
	Candidates int64   `json:"candidates"`
	Selected   int64   `json:"selected"`
	FLOPs      float64 `json:"flops"`
	Seconds    float64 `json:"seconds"`
}

// scoreDir is where the job's scores lie.
func (j *Job) scoreDir() string { return filepath.Join(j.RunDir, "score") }

const scoresName = "scores.bin"

func (c *scoring) file() string { return filepath.Join(c.dir, scoresName) }

// newScoring finds the early SLM and says how it scores, and what.
func (t *training) newScoring(s *session) (*scoring, []int64, error) {
	c := t.plannedScoring()
	candidates, err := c.candidates(s.set.Train, *t.Select)
	if err != nil {
		return nil, nil, err
	}
	early, err := c.findEarly(t.Select.Early)
	if err != nil {
		return nil, nil, err
	}
	c.slm = early.Dir
	if c.Judge, err = early.WeightsSum(); err != nil {
		return nil, nil, badCheckpoint(err, "")
	}
	return c, candidates, nil
}

// plannedScoring is the scoring for a training whose judge may not be trained yet.
func (t *training) plannedScoring() *scoring {
	judge := t.judge.Train
	c := &scoring{
		Corpus: t.Corpus, Seed: t.Seed, Sequence: t.Train.Sequence, Precision: judge.Precision, DocumentMasks: judge.DocumentMasks,
		Microbatch: scoringBatch(t.Train.Microbatch, t.Train.Sequence),
		Steps:      t.judge.earlyStep(t.Select), Batch: judge.Batch, Trained: judge.Sequence, dir: t.scores, judge: t.judge,
	}
	if t.judge.Seed != t.Seed {
		c.JudgeSeed = &t.judge.Seed
	}
	return c
}

// scoringBatch is the largest number of sequences of T tokens, up to a training's microbatch, with which every block can begin.
func scoringBatch(microbatch, T int) int {
	block := scores.BlockSequences(T)
	b := min(microbatch, block)
	for block%b != 0 {
		b--
	}
	return b
}

// readTokens are those of B sequences of T that a model reads token by token, as one that was trained by c reads them.
func readTokens(c model.TrainConfig, b, t int) *model.Tokens {
	c.Objective, c.Microbatch, c.Sequence = model.Causal, b, t
	return c.NewTokens()
}

// findEarly is the checkpoint of the SLM that was pinned for scoring; early is the part of its training, as in the job file.
func (c *scoring) findEarly(early float64) (*checkpoint.Checkpoint, error) {
	root := c.judge.checkpoints()
	list, err := checkpoint.List(root)
	if err != nil {
		return nil, err
	}
	step, other := c.Steps, ""
	for _, p := range list {
		switch {
		case p.Pinned && int64(p.Step) == step:
			return p, nil
		case p.Pinned:
			other = fmt.Sprintf(", but one of step %d", p.Step)
		}
	}
	if len(list) == 0 {
		return nil, fail(BadCheckpoint, "there is no SLM to score with; train it first: %s", c.judge.made)
	}
	return nil, fail(BadCheckpoint, "%s has no checkpoint of step %d kept for scoring (select.early = %g of %d steps)%s; "+
		"set select.early back, finish the SLM's training, or remove %s and train it anew: %s", root, step, early, c.judge.Train.Steps, other, c.judge.dir, c.judge.made)
}

// candidates lists the sequences of the training stream that are judged for a selection. Fewer than are to be selected are an error.
func (c *scoring) candidates(stream *corpus.Stream, rule distill.SelectConfig) ([]int64, error) {
	known := c.Seed
	if c.JudgeSeed != nil {
		known = *c.JudgeSeed
	}
	early := distill.Reading{Order: corpus.Order{Seed: uint64(known), Sequences: stream.Sequences(c.Trained)}, T: c.Trained, Samples: c.Steps * int64(c.Batch)}
	all := stream.Sequences(c.Sequence)
	list := distill.Candidates(corpus.Order{Seed: uint64(c.Seed), Sequences: all}, c.Sequence, early, rule.Candidates)
	if int64(len(list)) < rule.Keep {
		return nil, fail(BadData, "of the %d sequences of %d tokens the early SLM has not seen %d, and %d are to be selected; "+
			"lower distill.kd_steps, llm.train.batch or select.keep, lower select.early, or add text", all, c.Sequence, len(list), rule.Keep)
	}
	return list, nil
}

// open opens the scores to add to them, after a look at whether they were begun with the same settings.
func (c *scoring) open() (*scores.Writer, error) {
	now, err := toml.Marshal(c)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return nil, err
	}
	w, err := scores.Append(c.file(), scores.Head{Sequence: c.Sequence, Settings: string(now)})
	if err != nil {
		return nil, err
	}
	if diff := differences([]byte(w.Head.Settings), now); len(diff) > 0 {
		return nil, errors.Join(fail(BadConfig, "%s was begun with other settings: %s; set them back, or remove the folder to score anew", c.dir, join(diff)), w.Close())
	}
	return w, nil
}

// run scores what is not scored yet of the candidates. A canceled context ends it after the microbatch under way; whole blocks stay.
func (c *scoring) run(ctx context.Context, s *session, candidates []int64) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	if w.Cut() > 0 {
		s.say("scores: %d bytes at the end of %s were not whole any more; they are made anew", w.Cut(), c.file())
	}
	if w.Sequences() >= len(candidates) {
		return w.Close()
	}
	p, err := c.start(ctx, s)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	defer p.close()
	if err := errors.Join(p.score(ctx, w, candidates), w.Close(), keepSeconds(p.dir, p.seconds())); err != nil {
		return err
	}
	s.say("scored: %d sequences of %d tokens in %.0f s, %.2f bytes a token", w.Sequences(), c.Sequence, p.seconds(), bytesPerToken(w.File))
	return nil
}

func bytesPerToken(f *scores.File) float64 {
	return float64(f.Bytes()) / float64(max(1, f.Sequences()*f.Head.Sequence))
}

// pass is a scoring under way.
type pass struct {
	*scoring
	s      *session
	model  *model.Model
	scorer *model.Scorer
	from   int // sequences scored before this run, which began then and goes on from that many seconds
	began  time.Time
	before float64
	shown  *progress.Sample
}

func (c *scoring) start(ctx context.Context, s *session) (*pass, error) {
	p := &pass{scoring: c, s: s}
	var err error
	if p.before, err = secondsSpent(c.dir); err != nil {
		return nil, err
	}
	if p.model, _, err = model.Load(s.device, c.slm, "slm"); err != nil {
		return nil, badCheckpoint(err, "")
	}
	p.model.Precision = c.judge.Train.DType()
	if p.scorer, err = model.NewScorer(p.model, readTokens(c.judge.Train, c.Microbatch, c.Sequence)); err == nil {
		if err = s.settleKernels(ctx, "scoring", c.dir, []*compute.Program{p.scorer.Program()}); err == nil {
			err = p.scorer.Load(s.device)
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.began = time.Now()
	return p, nil
}

func (p *pass) close() {
	if p.scorer != nil {
		p.scorer.Close()
	}
	p.s.device.Free(p.model.Storages()...)
}

// syncEvery is how often the scores and the time that they took are put on the disk.
const syncEvery = 5 * time.Second

// score scores the candidates after those that w has, block by block.
func (p *pass) score(ctx context.Context, w *scores.Writer, candidates []int64) error {
	if err := w.Reopen(); err != nil {
		return err
	}
	p.from = w.Sequences()
	defer func() {
		if p.shown != nil {
			p.s.meter.Done(*p.shown) // else the live line would stand in what follows
		}
	}()
	health := p.s.overPass("scores", p.file(), p.scorer.Program())
	for last := time.Now(); w.Sequences() < len(candidates); {
		first := w.Sequences()
		if err := p.s.spoil(int64(first/w.Head.Block) + 1); err != nil {
			return err
		}
		block, err := p.block(ctx, candidates[first:min(len(candidates), first+w.Head.Block)])
		if ctx.Err() != nil {
			return fmt.Errorf("scoring stopped at %d of %d sequences, kept in %s; the same command goes on from there: %w", first, len(candidates), p.file(), context.Cause(ctx))
		}
		if err != nil {
			return err
		}
		if err := w.Write(block); err != nil {
			return fmt.Errorf("the early SLM (%s): %w", p.slm, err)
		}
		p.show(w.Sequences(), len(candidates))
		if err := health.batch(ctx); err != nil {
			return err
		}
		if time.Since(last) > syncEvery {
			if err := errors.Join(w.Sync(), keepSeconds(p.dir, p.seconds())); err != nil {
				return err
			}
			last = time.Now()
		}
	}
	return health.end(ctx)
}

// block scores the sequences of one block, a microbatch at a time; what is missing in the last is masked.
func (p *pass) block(ctx context.Context, ids []int64) ([]scores.Sequence, error) {
	B, T := p.Microbatch, p.Sequence
	list, text := make([]scores.Sequence, 0, len(ids)), make([]uint32, T+1)
	for i := 0; i < len(ids); i += B {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		loss, rank := make([]float32, B*T), make([]uint32, B*T)
		err := p.scorer.Score(func(_ int, in, labels []uint32) error {
			for j := range B {
				row, want := in[j*T:(j+1)*T], labels[j*T:(j+1)*T]
				if i+j >= len(ids) {
					for t := range row {
						row[t], want[t] = 0, compute.Masked
					}
					continue
				}
				if err := p.s.set.Train.Sequence(ids[i+j], text); err != nil {
					return err
				}
				copy(row, text)
				copy(want, text[1:])
			}
			return nil
		}, loss, rank)
		if err != nil {
			return nil, err
		}
		for j := range min(B, len(ids)-i) {
			list = append(list, scores.Sequence{ID: ids[i+j], Loss: loss[j*T : (j+1)*T], Rank: rank[j*T : (j+1)*T]})
		}
	}
	return list, nil
}

// flops is the model's arithmetic of scoring n sequences: forward passes, a third of training.
func (c *scoring) flops(m model.Config, n int64) float64 {
	return m.FLOPsPerToken(c.Sequence) / 3 * float64(n*int64(c.Sequence))
}

func (p *pass) show(done, total int) {
	took := time.Since(p.began)
	rate := float64(done-p.from) / took.Seconds()
	p.shown = &progress.Sample{
		Unit: "scored sequence", Done: int64(done), Total: int64(total), TokensPerSec: rate * float64(p.Sequence),
		FLOPS: p.flops(p.model.Config, 1) * rate, Left: progress.Left(took, int64(done-p.from), int64(total-done)),
	}
	p.s.meter.Update(time.Now(), *p.shown)
}

// seconds is the wall clock of scoring, over all restarts.
func (p *pass) seconds() float64 { return p.before + time.Since(p.began).Seconds() }
