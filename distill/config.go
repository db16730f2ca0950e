package distill

import (
	"fmt"
	"math"
	"sort"

	"saltern/compute"
	"saltern/distill/labels"
)

// Config says how the small model (the teacher, SLM) helps the large one (the student, LLM):
// the loss of step i is (1-w_i) NLL + w_i CE(teacher, student), with w_i = WeightAt(i).
type Config struct {
	// Method is "baseline" (no teacher), "rkd" (teacher at every step), "salt" (teacher in the first KDSteps steps, then
	// plain training; arXiv 2410.18779) or "salt-ds" (the same, with those first steps on sequences that an early SLM
	// selected: see [select]). Empty means "salt".
	Method string `toml:"method"`

	// Preset is "" or "salt-paper", which fills weight = 0.667 and temperature = 0.25 where they are left out. Those
	// two are a recollection of the paper's values that no source at hand confirms, least of all the convention of
	// the temperature: a starting point, not a claim.
	Preset string `toml:"preset"`

	// Teacher is who teaches: "slm"; "self", a BASELINE of the same LLM and seed, trained first (self-distillation); "uniform",
	// which takes every token for equally likely (label smoothing, with Weight as its epsilon); or "equal-entropy", the same with
	// the epsilon that gives the targets the mean entropy that they would have with the SLM, Weight and Temperature. The last
	// three tell what of a gain is the SLM's knowledge; the last two need Labels "online". Or the folder of a checkpoint, or of a
	// run's checkpoints of which the last counts, written with a slash: another run's model teaches, a worse one, or one of other
	// text; it must have the job's tokenizer (tokenizer.file), and the job trains no SLM. Relative to the working folder, as
	// run_dir is. Empty means "slm".
	Teacher string `toml:"teacher"`

	// Weight is w, the part of the loss that is the teacher's. Left out it means 0.5, or the preset's; 0 trains
	// exactly as "baseline" does, at the teacher's cost. 0 to 1.
	Weight float64 `toml:"weight" explicit:"keep"`

	// Temperature divides the teacher's logits (never the student's, and no T^2 factor): below 1 sharpens its
	// distribution, above 1 flattens it. Zero means 1, or the preset's. Above 0, at most 100.
	Temperature float64 `toml:"temperature"`

	// KDSteps is n_KD, the number of steps in stage 1 of "salt" and "salt-ds": from then on the loss is plain NLL. Steps, not
	// tokens. Zero means 17.3% of the LLM's steps, the paper's 36K of 208K. Must be less than those steps. With Transition
	// "auto" it is the most that the teacher may help; there zero means all steps for "salt", which it may equal then, and what
	// the selection holds for "salt-ds", 17.3%. The other methods do not look at it, so one job file can be run with each.
	KDSteps int64 `toml:"kd_steps"`

	// Transition is how w ends at n_KD: "step" keeps it and drops it at once, the paper's way; "linear" lets it fall
	// from Weight at step 0 to 0 at n_KD; "linear-ratio" lets the ratio of the two terms, w / (1-w), fall so, which takes
	// w below the straight line; it needs a Weight below 1. "auto" decides from the training itself: w falls, and ends, as the
	// teacher loses against the student in telling the text, for tokens of low and of high teacher's entropy separately; and there is no
	// help from a teacher whom the student, by a forecast, will have overtaken after a quarter of its steps. Empty means "step". Only "salt" and "salt-ds" look at it.
	Transition string `toml:"transition"`

	// Window is how many steps "auto" looks at before it decides again. Zero means as many as have 4096 tokens, but at least 1%
	// and at most a tenth of the LLM's steps; a window that knows too little is lengthened by itself. The other transitions do not look at it.
	Window int64 `toml:"window"`

	// Labels is where the teacher's soft labels come from: "online" runs the teacher within the student's steps, its whole
	// distribution at hand; "offline" writes sparse soft labels to a file of the run folder first (saltern label), once for any
	// number of students, which then train without the teacher on the device. Empty means "online".
	Labels string `toml:"labels"`

	// LabelForm is what is kept of the teacher's distribution offline: "sample", ids drawn from it with replacement, whose
	// shares are right on average (RS-KD, arXiv 2503.16870); or "top-k", the most likely ids, which leave a bias in whatever way
	// LabelTail deals with the others. Empty means "sample".
	LabelForm string `toml:"label_form"`

	// LabelCount is the number of draws of each token, N, or of likely ids, k. Zero means 50, of which some 12 to 25
	// are distinct. 1 to 256, k at most the vocabulary.
	LabelCount int `toml:"label_count"`

	// LabelTail is what becomes of the mass outside the top k: "renormalise" gives it to the k, so that with kept mass a the
	// student is driven to q/a; "ghost" lets one more id stand for all others, and leaves to the student how they share.
	// Empty means "ghost". "sample" has no tail.
	LabelTail string `toml:"label_tail"`
}

// Offline says that the student learns from a file of soft labels.
func (c Config) Offline() bool { return c.Labels == "offline" }

// Ghost says that an id stands for the tail of the soft labels.
func (c Config) Ghost() bool { return c.LabelForm == labels.TopK && c.LabelTail == "ghost" }

// PaperKDRatio is the paper's n_KD over its number of steps, 36K of 208K.
const PaperKDRatio = 36.0 / 208.0

// PaperKDSteps is n_KD by the paper's ratio.
func PaperKDSteps(steps int64) int64 { return max(1, int64(math.Round(PaperKDRatio*float64(steps)))) }

// Auto says that the training itself decides how long the teacher helps.
func (c Config) Auto() bool { return c.Staged() && c.Transition == "auto" }

// ForBatch returns c, which has been through Defaults, with a Window for a student of that many steps and tokens in each.
func (c Config) ForBatch(steps, tokens int64) Config {
	if c.Auto() && c.Window == 0 {
		c.Window = min(max((windowTokens+tokens-1)/max(1, tokens), steps/100), max(1, steps/10))
	}
	return c
}

// windowTokens is how many tokens a window has at least, where the training is long enough: few, as a teacher that is bad must be
// found out early.
const windowTokens = 4096

// Defaults returns c with every zero field chosen, for a student trained for that many steps. It is idempotent.
func (c Config) Defaults(steps int64) Config {
	weight, temperature := 0.5, 1.0
	if c.Preset == "salt-paper" {
		weight, temperature = 0.667, 0.25
	}
	if c.Method == "" {
		c.Method = "salt"
	}
	if c.Weight == 0 {
		c.Weight = weight
	}
	if c.Temperature == 0 {
		c.Temperature = temperature
	}
	if c.KDSteps == 0 {
		c.KDSteps = PaperKDSteps(steps)
		if c.Method == "salt" && c.Transition == "auto" {
			c.KDSteps = steps
		}
	}
	for _, f := range []struct {
		field   *string
		initial string
	}{{&c.Teacher, SLM}, {&c.Transition, "step"}, {&c.Labels, "online"}, {&c.LabelForm, labels.Sample}, {&c.LabelTail, "ghost"}} {
		if *f.field == "" {
			*f.field = f.initial
		}
	}
	if c.LabelCount == 0 {
		c.LabelCount = 50
	}
	return c
}

// Check calls bad for every problem of c, which has been through Defaults, for a student trained for that many steps:
// key is the TOML key in this table that is to blame, message says what is wrong and what would be right.
func (c Config) Check(steps int64, bad func(key, message string)) {
	switch c.Method {
	case "baseline", "rkd", "salt", "salt-ds":
	default:
		bad("method", fmt.Sprintf(`method = %q is unknown; use "baseline", "rkd", "salt" or "salt-ds"`, c.Method))
	}
	c.checkTeacher(bad)
	if c.Preset != "" && c.Preset != "salt-paper" {
		bad("preset", fmt.Sprintf(`preset = %q is unknown; use "salt-paper", or leave it out`, c.Preset))
	}
	if !(c.Weight >= 0 && c.Weight <= 1) {
		bad("weight", fmt.Sprintf("weight = %g must lie between 0 (no teacher) and 1 (teacher only)", c.Weight))
	}
	if !(c.Temperature > 0 && c.Temperature <= 100) {
		bad("temperature", fmt.Sprintf("temperature = %g must lie above 0 and be at most 100; 1 leaves the teacher as it is",
			c.Temperature))
	}
	switch {
	case !c.Staged() || steps <= 0 || c.KDSteps >= 1 && c.KDSteps < steps:
	case c.Auto() && c.KDSteps == steps:
	case c.Auto():
		bad("kd_steps", fmt.Sprintf("kd_steps = %d must be at least 1 and at most the LLM's steps = %d; leave it out, and the training itself ends the teacher's help",
			c.KDSteps, steps))
	default:
		bad("kd_steps", fmt.Sprintf(`kd_steps = %d must be at least 1 and less than the LLM's steps = %d; the paper's ratio gives %d, and `+
			`method = "rkd" distils at every step`, c.KDSteps, steps, PaperKDSteps(steps)))
	}
	if c.Window < 0 {
		bad("window", fmt.Sprintf("window = %d must be at least 1 step; leave it out for one that has enough tokens", c.Window))
	}
	switch c.Transition {
	case "step", "linear", "auto":
	case "linear-ratio":
		if c.Staged() && c.Weight == 1 {
			bad("transition", `transition = "linear-ratio" lets w / (1-w) fall to 0, and weight = 1 makes that infinite; use "linear", or a weight below 1`)
		}
	default:
		bad("transition", fmt.Sprintf(`transition = %q is unknown; use "step", "linear", "linear-ratio" or "auto"`, c.Transition))
	}
	c.checkLabels(bad)
}

func (c Config) checkLabels(bad func(key, message string)) {
	if c.Labels != "online" && c.Labels != "offline" {
		bad("labels", fmt.Sprintf(`labels = %q is unknown; use "online" (the teacher runs beside the student) or "offline" (from a file)`, c.Labels))
	}
	if c.LabelForm != labels.Sample && c.LabelForm != labels.TopK {
		bad("label_form", fmt.Sprintf(`label_form = %q is unknown; use "sample" or "top-k"`, c.LabelForm))
	}
	if c.LabelCount < 1 || c.LabelCount > compute.MaxKept {
		bad("label_count", fmt.Sprintf("label_count = %d is out of bounds; use 1 to %d, 50 is usual", c.LabelCount, compute.MaxKept))
	}
	if c.LabelTail != "renormalise" && c.LabelTail != "ghost" {
		bad("label_tail", fmt.Sprintf(`label_tail = %q is unknown; use "ghost" or "renormalise"`, c.LabelTail))
	}
}

// TeacherSteps is how many of a run's steps have the teacher's help, with "auto" at most; they are its first.
func (c Config) TeacherSteps(steps int64) int64 {
	return int64(sort.Search(int(steps), func(step int) bool { return c.WeightAt(int64(step), steps) == 0 }))
}

// Staged says that the teacher leaves at n_KD.
func (c Config) Staged() bool { return c.Method == "salt" || c.Method == "salt-ds" }

// WeightAt is w at optimizer step number step, counted from 0, of a resolved Config and a run of that many steps. It is
// a function of its arguments alone, so that every rank switches stage at the same step and a resumed run goes on in
// the right one. Zero means that the teacher is not asked at all. With "auto" it is the most that w can be: see Auto.
//
// With x falling linearly from 1 at step 0 to 0 at n_KD, "linear" is w x, and "linear-ratio" the u with u / (1-u) =
// x w / (1-w): our reading of the name, as the sources at hand do not define it.
func (c Config) WeightAt(step, steps int64) float64 {
	end := min(c.KDSteps, steps)
	switch {
	case c.Method == "baseline":
		return 0
	case c.Method == "rkd":
		return c.Weight
	case step >= end:
		return 0
	}
	x := float64(end-step) / float64(end)
	switch c.Transition {
	case "linear":
		return c.Weight * x
	case "linear-ratio":
		return c.Weight * x / (1 - c.Weight + c.Weight*x)
	}
	return c.Weight
}

// Selects says that a step, counted from 0, reads the selected sequences instead of the ordinary stream: stage 1 of "salt-ds",
// whatever w is there, so that w = 0 is selection without distillation.
func (c Config) Selects(step int64) bool { return c.Method == "salt-ds" && step < c.KDSteps }
