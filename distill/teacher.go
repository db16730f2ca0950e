package distill

import (
	"fmt"
	"math"
	"strings"

	"saltern/compute"
	"saltern/distill/labels"
	"saltern/model"
)

// Who teaches, the values of Config.Teacher.
const (
	SLM          = "slm"
	Self         = "self"
	Uniform      = "uniform"
	EqualEntropy = "equal-entropy"
)

func (c Config) checkTeacher(bad func(key, message string)) {
	switch c.Teacher {
	case SLM, Self:
	case Uniform, EqualEntropy:
		if c.Offline() {
			bad("teacher", fmt.Sprintf(`teacher = %q has no soft labels to keep in a file; use labels = "online"`, c.Teacher))
		}
	default:
		if !c.Named() {
			bad("teacher", fmt.Sprintf(`teacher = %q is unknown; use "slm", "self", "uniform", "equal-entropy", or the folder of a checkpoint, with a slash`, c.Teacher))
		}
	}
}

// Named says that the teacher is the path of a checkpoint.
func (c Config) Named() bool { return strings.Contains(c.Teacher, "/") }

// NeedsSLM says that a training by c asks a small model: to teach, to select text, or how uncertain it is.
func (c Config) NeedsSLM() bool { return c.Method == "salt-ds" || c.AsksSLM() }

// AsksSLM says that a training by c asks a small model about what the student reads: to teach, or how uncertain it is.
func (c Config) AsksSLM() bool {
	return c.Method != "baseline" && (c.Teacher == SLM || c.Teacher == EqualEntropy)
}

// Smooths says that the teacher knows nothing, so that the loss is NLL with smoothed labels.
func (c Config) Smooths() bool {
	return c.Method != "baseline" && (c.Teacher == Uniform || c.Teacher == EqualEntropy)
}

// Deciding is a resolved c with all that it does not look at left empty: two trainings that differ in nothing else have one result.
func (c Config) Deciding() Config {
	c.Preset = "" // which has filled in what it stands for
	if c.Method == "baseline" {
		return Config{Method: c.Method}
	}
	if !c.Staged() {
		c.KDSteps, c.Transition = 0, ""
	}
	if c.Weight == 0 {
		c.Transition, c.Temperature = "", 0
	}
	if !c.Auto() {
		c.Window = 0
	}
	if c.Teacher == "" {
		c.Teacher = SLM // the only one that there was when the setting was written down
	}
	if c.Teacher == Uniform {
		c.Temperature = 0
	}
	if c.Named() {
		c.Teacher = "checkpoint" // whose weights decide, not where they lie
	}
	if !c.Offline() {
		c.LabelForm, c.LabelCount = "", 0
	}
	if !c.Offline() || c.LabelForm != labels.TopK {
		c.LabelTail = ""
	}
	return c
}

// smoothWidth is the width of the zeros below, one tile of a matrix product.
const smoothWidth = 16

// Smoothing is the uniform u(v) = 1/V in the teacher's place: label smoothing (Szegedy et al., arXiv 1512.00567) in the form of a
// teacher whose logits are all zero. It has the states of the teacher's place, which stay as a backend makes them: zero.
type Smoothing struct {
	hidden, head *compute.Tensor
}

func (s *Smoothing) teach(_ *compute.Recorder, m *model.Model, t *model.Tokens, in *compute.LossInputs) {
	s.hidden = compute.NewTensor(compute.State, "smoothing.hidden", compute.F32, t.B*t.T, smoothWidth)
	s.head = compute.NewTensor(compute.State, "smoothing.head", compute.F32, m.Head().Shape[0], smoothWidth)
	in.TeacherHidden, in.TeacherWeight = s.hidden, s.head
}

// Storages lists the memory of the zeros, to be freed.
func (s *Smoothing) Storages() []*compute.Storage {
	if s.hidden == nil {
		return nil
	}
	return []*compute.Storage{s.hidden.Storage, s.head.Storage}
}

// TargetEntropy is the entropy, in nats, of the target (1-w) e_y + w q, of whose q the entropy is known and -log q(y).
//
//	H = w (H(q) + q_y log q_y) - w (1-q_y) log w - a log a,  a = 1 - w + w q_y
func TargetEntropy(w, entropy, nll float64) float64 {
	q := math.Exp(-nll)
	return math.Max(0, w*(entropy-q*nll)+(1-q)*plogp(w)+plogp(1-w+w*q))
}

// plogp is -p log p.
func plogp(p float64) float64 {
	if p <= 0 {
		return 0
	}
	return -p * math.Log(p)
}

// SmoothingWeight is the w at which the target (1-w) e_y + w/V has that entropy, in nats, over a vocabulary of V: at most 1, where
// the target is uniform.
func SmoothingWeight(entropy float64, vocab int) float64 {
	uniform := math.Log(float64(vocab))
	low, high := 0.0, 1.0 // the entropy rises with w
	for range 100 {
		if w := (low + high) / 2; TargetEntropy(w, uniform, uniform) < entropy {
			low = w
		} else {
			high = w
		}
	}
	return high
}
