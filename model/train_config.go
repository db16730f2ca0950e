package model

import (
	"fmt"
	"math"
)

// TrainConfig says how one model is trained: how long, on how much at a time, and by which AdamW schedule. Every
// count of steps is in optimizer steps. A zero field means "choose for me" (see Defaults), except that a zero which is
// written out in the job file is kept where the comment says what it then means.
type TrainConfig struct {
	// Steps is the length of the run in optimizer steps. Must be set; at least 1.
	Steps int64 `toml:"steps"`

	// Batch is B, the number of sequences per step, over all ranks together: each has its share, as even as microbatches go. Zero means
	// 32. 1 to 1048576, and at least one microbatch for each rank.
	Batch int `toml:"batch"`

	// Microbatch is the number of sequences that one device takes at once; gradients accumulate over the rest of its
	// share of Batch. Zero means the largest that fits the device, the same on all ranks. Must divide Batch. Set it where a run may go on
	// with another number of ranks.
	Microbatch int `toml:"microbatch"`

	// Sequence is T, the length in tokens of a training sequence. Zero means the model's context, which it must not exceed.
	Sequence int `toml:"sequence"`

	// Objective is what the model learns to predict: "causal", each token from those before it; or "ul2", a mixture of 60% such
	// sequences, 20% of which it sees the beginning both ways and writes the rest, and 20% with gaps to fill (UL2, arXiv
	// 2205.05131). The loss is the mean of the tokens that are predicted, some three in four, and the held-out loss is the causal
	// one; the tokenizer takes on special tokens. The LLM's teacher must have learned the same. Empty means "causal".
	Objective string `toml:"objective"`

	// DocumentMasks keeps attention within documents: of the several that a sequence may hold, none sees the others, in training, in
	// evaluation and of the teacher. Positions count through the sequence; as rotary positions are relative, that is the same to
	// the model as counting anew. False: a token sees all of its sequence before it. Not with objective "ul2".
	DocumentMasks bool `toml:"document_masks"`

	// EndOfText is the id that each document begins with; it comes from the tokenizer and has no key of its own.
	EndOfText uint32 `toml:"-"`

	// Precision is what goes into matrix products: "float32"; "float16", under a loss scale that finds its size by
	// itself; "bfloat16"; or "auto", which takes the 16-bit type that a GPU has matrix units for, else float32. Weights,
	// optimizer and sums are float32 in each. Empty means "auto".
	Precision string `toml:"precision"`

	// LR is the peak learning rate. Zero means 3e-4, right for some 100M parameters and more; a model of 1M takes
	// 3e-3. Above 0, at most 1.
	LR float64 `toml:"lr"`

	// MinLR is the learning rate of the last step as a part of LR. Left out it means 0.1; 0 means that the rate ends
	// at zero. 0 to 1.
	MinLR float64 `toml:"min_lr" explicit:"keep"`

	// Warmup is the number of steps over which the learning rate rises linearly to LR. Left out it means 2% of
	// Steps, at most 2000; 0 means none. Less than Steps.
	Warmup int64 `toml:"warmup" explicit:"keep"`

	// Schedule is what follows the warmup: "cosine" falls to MinLR along half a cosine; "wsd" (warmup, stable, decay)
	// stays at LR and falls linearly over the last DecayFraction of Steps. Empty means "cosine".
	Schedule string `toml:"schedule"`

	// DecayFraction is the part of Steps over which "wsd" decays; "cosine" does not look at it. Zero means 0.2. Above
	// 0, at most 1.
	DecayFraction float64 `toml:"decay_fraction"`

	// Beta1 is AdamW's decay of the mean gradient (Loshchilov & Hutter, arXiv 1711.05101). Zero means 0.9. Above 0,
	// below 1.
	Beta1 float64 `toml:"beta1"`

	// Beta2 is AdamW's decay of the mean squared gradient. Zero means 0.95. Above 0, below 1.
	Beta2 float64 `toml:"beta2"`

	// Eps is added to AdamW's denominator. Zero means 1e-8. Above 0.
	Eps float64 `toml:"eps"`

	// WeightDecay is AdamW's decoupled decay of every matrix; gains of norms are never decayed. Left out it means
	// 0.1; 0 means none. 0 to 1.
	WeightDecay float64 `toml:"weight_decay" explicit:"keep"`

	// ClipNorm is the largest global norm a gradient may keep. Left out it means 1; 0 means no clipping. At least 0.
	ClipNorm float64 `toml:"clip_norm" explicit:"keep"`

	// CheckpointEvery is the number of steps between checkpoints; the last step always writes one. Zero means a
	// tenth of Steps.
	CheckpointEvery int64 `toml:"checkpoint_every"`

	// KeepCheckpoints is the number of checkpoints kept; older ones are removed once a newer one is complete. Zero
	// means 3.
	KeepCheckpoints int `toml:"keep_checkpoints"`

	// EvalEvery is the number of steps between evaluations on held-out text; the last step always has one. Zero
	// means a tenth of Steps.
	EvalEvery int64 `toml:"eval_every"`

	// EvalTokens is the number of held-out tokens that an evaluation reads. Zero means 65536. At least 1; no more
	// than there are is read.
	EvalTokens int64 `toml:"eval_tokens"`

	// LogEvery is the number of steps between lines of metrics. Zero means 10.
	LogEvery int64 `toml:"log_every"`

	// MaxSkippedSteps is the number of steps in a row that may be skipped for a loss or gradient norm that is not
	// finite; one more ends the job as diverged, its last good checkpoint intact. Zero means 10.
	MaxSkippedSteps int `toml:"max_skipped_steps"`
}

// Defaults returns c with every zero field chosen. It leaves alone what it cannot choose (Steps, Sequence), and
// Microbatch, which the planner chooses for the device.
func (c TrainConfig) Defaults() TrainConfig {
	orInt(&c.Batch, 32)
	orFloat(&c.LR, 3e-4)
	orFloat(&c.MinLR, 0.1)
	orInt(&c.Warmup, min(c.Steps/50, 2000))
	if c.Schedule == "" {
		c.Schedule = "cosine"
	}
	if c.Objective == "" {
		c.Objective = Causal
	}
	if c.Precision == "" {
		c.Precision = Auto
	}
	orFloat(&c.DecayFraction, 0.2)
	orFloat(&c.Beta1, 0.9)
	orFloat(&c.Beta2, 0.95)
	orFloat(&c.Eps, 1e-8)
	orFloat(&c.WeightDecay, 0.1)
	orFloat(&c.ClipNorm, 1)
	orInt(&c.CheckpointEvery, max(c.Steps/10, 1))
	orInt(&c.KeepCheckpoints, 3)
	orInt(&c.EvalEvery, max(c.Steps/10, 1))
	orInt(&c.EvalTokens, 65536)
	orInt(&c.LogEvery, 10)
	orInt(&c.MaxSkippedSteps, 10)
	return c
}

// Check calls bad for every problem of c, which has been through Defaults and belongs to a model of that context.
func (c TrainConfig) Check(context int, bad func(key, message string)) {
	c.checkCounts(context, bad)
	c.checkRates(bad)
	c.checkObjective(bad)
}

func (c TrainConfig) checkCounts(context int, bad func(key, message string)) {
	if c.Steps == 0 {
		bad("steps", "steps is not set; say how many optimizer steps the run has")
	}
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"steps", c.Steps}, {"warmup", c.Warmup}, {"microbatch", int64(c.Microbatch)},
		{"batch", int64(c.Batch)}, {"sequence", int64(c.Sequence)},
		{"checkpoint_every", c.CheckpointEvery}, {"keep_checkpoints", int64(c.KeepCheckpoints)},
		{"eval_every", c.EvalEvery}, {"eval_tokens", c.EvalTokens},
		{"log_every", c.LogEvery}, {"max_skipped_steps", int64(c.MaxSkippedSteps)},
	} {
		if n.value < 0 {
			bad(n.key, fmt.Sprintf("%s = %d must not be negative", n.key, n.value))
		}
	}
	if c.Steps > 0 && c.Warmup >= c.Steps {
		bad("warmup", fmt.Sprintf("warmup = %d leaves nothing of steps = %d; use less than half", c.Warmup, c.Steps))
	}
	if c.Sequence > context && context > 0 {
		bad("sequence", fmt.Sprintf("sequence = %d exceeds the model's context = %d; lower it, or raise context",
			c.Sequence, context))
	}
	if c.Sequence == 0 {
		bad("sequence", "sequence is not set, and the model has no context to take it from")
	}
	const maxBatch = 1 << 20
	if c.Batch > maxBatch {
		bad("batch", fmt.Sprintf("batch = %d is out of bounds; use 1 to %d", c.Batch, maxBatch))
	} else if c.Microbatch > 0 && c.Batch > 0 && c.Batch%c.Microbatch != 0 {
		bad("microbatch", fmt.Sprintf("microbatch = %d does not divide batch = %d; use one of %s, or leave it out",
			c.Microbatch, c.Batch, join(divisors(c.Batch))))
	}
}

func (c TrainConfig) checkRates(bad func(key, message string)) {
	for _, r := range []struct {
		key           string
		value         float64
		ok            bool
		bounds, usual string
	}{
		{"lr", c.LR, c.LR > 0 && c.LR <= 1, "lie above 0 and be at most 1", "3e-4 is usual"},
		{"min_lr", c.MinLR, c.MinLR >= 0 && c.MinLR <= 1, "lie between 0 and 1, as it is a part of lr", "0.1 is usual"},
		{"decay_fraction", c.DecayFraction, c.DecayFraction > 0 && c.DecayFraction <= 1, "lie above 0 and be at most 1",
			"0.2 is usual"},
		{"beta1", c.Beta1, c.Beta1 > 0 && c.Beta1 < 1, "lie above 0 and below 1", "0.9 is usual"},
		{"beta2", c.Beta2, c.Beta2 > 0 && c.Beta2 < 1, "lie above 0 and below 1", "0.95 is usual"},
		{"eps", c.Eps, c.Eps > 0 && c.Eps < 1, "lie above 0 and below 1", "1e-8 is usual"},
		{"weight_decay", c.WeightDecay, c.WeightDecay >= 0 && c.WeightDecay <= 1, "lie between 0 and 1", "0.1 is usual"},
		{"clip_norm", c.ClipNorm, c.ClipNorm >= 0 && !math.IsInf(c.ClipNorm, 0), "be a number of at least 0", "1 is usual, 0 is off"},
	} {
		if !r.ok {
			bad(r.key, fmt.Sprintf("%s = %g must %s; %s", r.key, r.value, r.bounds, r.usual))
		}
	}
	if _, ok := precisions[c.Precision]; !ok {
		bad("precision", fmt.Sprintf("precision = %q is unknown; use \"auto\", \"float32\", \"float16\" or \"bfloat16\"", c.Precision))
	}
	if c.Schedule != "cosine" && c.Schedule != "wsd" {
		bad("schedule", fmt.Sprintf("schedule = %q is unknown; use \"cosine\" or \"wsd\"", c.Schedule))
	}
}

// LearningRate is the learning rate of optimizer step number step, counted from 0, of a resolved TrainConfig. It is a
// function of the step alone, so a resumed run goes on as if it had never stopped. Step Warmup-1 has exactly LR and
// step Steps-1 exactly LR*MinLR, as have all later ones.
func (c TrainConfig) LearningRate(step int64) float64 {
	done := step + 1
	if done < c.Warmup {
		return c.LR * float64(done) / float64(c.Warmup)
	}
	start := c.Warmup
	if c.Schedule == "wsd" {
		start = max(start, c.Steps-int64(math.Round(c.DecayFraction*float64(c.Steps))))
	}
	if done >= c.Steps {
		return c.LR * c.MinLR
	}
	if done <= start {
		return c.LR
	}
	x := float64(done-start) / float64(c.Steps-start) // 0 at the peak, 1 at the end
	if c.Schedule == "cosine" {
		x = (1 - math.Cos(math.Pi*x)) / 2
	}
	return c.LR * (1 - (1-c.MinLR)*x)
}
