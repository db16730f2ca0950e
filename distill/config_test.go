package distill

import (
	"math"
	"strings"
	"testing"
)

func TestWeightAt(t *testing.T) {
	for _, test := range []struct {
		why  string
		c    Config
		step int64
		want float64
	}{
		{"a baseline has no teacher", Config{Method: "baseline", Weight: 0.5}, 0, 0},
		{"rkd distils to the end", Config{Method: "rkd", Weight: 0.5, KDSteps: 10}, 99, 0.5},
		{"salt distils in stage 1", Config{Weight: 0.5, KDSteps: 10}, 9, 0.5},
		{"n_KD steps, not one more", Config{Weight: 0.5, KDSteps: 10}, 10, 0},
		{"linear begins at w", Config{Weight: 0.5, KDSteps: 10, Transition: "linear"}, 0, 0.5},
		{"linear is at half of w half way", Config{Weight: 0.5, KDSteps: 10, Transition: "linear"}, 5, 0.25},
		{"linear has reached 0 at n_KD", Config{Weight: 0.5, KDSteps: 10, Transition: "linear"}, 10, 0},
		{"linear-ratio begins at w", Config{Weight: 0.5, KDSteps: 10, Transition: "linear-ratio"}, 0, 0.5},
		{"half way w/(1-w) is at half of 1", Config{Weight: 0.5, KDSteps: 10, Transition: "linear-ratio"}, 5, 1. / 3},
		{"the same from 4: 1/10 of the way on, 3.6", Config{Weight: 0.8, KDSteps: 10, Transition: "linear-ratio"}, 1, 3.6 / 4.6},
		{"linear-ratio has reached 0 at n_KD", Config{Weight: 0.8, KDSteps: 10, Transition: "linear-ratio"}, 10, 0},
		{"no weight, no ratio", Config{Weight: 0.5, KDSteps: 10, Transition: "linear-ratio", Method: "baseline"}, 0, 0},
		{"salt-ds distils in stage 1", Config{Method: "salt-ds", Weight: 0.5, KDSteps: 10}, 9, 0.5},
		{"and not in stage 2", Config{Method: "salt-ds", Weight: 0.5, KDSteps: 10}, 10, 0},
		{"the default is the paper's 17.3%: step 16 of 100 is in", Config{}, 16, 0.5},
		{"and step 17 is out", Config{}, 17, 0},
		{"the preset's weight", Config{Preset: "salt-paper"}, 0, 0.667},
		{"auto says the most that w can be, to the end", Config{Transition: "auto"}, 99, 0.5},
		{"or to a bound of one's own", Config{Transition: "auto", KDSteps: 10}, 10, 0},
		{"with salt-ds to the end of the selection", Config{Method: "salt-ds", Transition: "auto"}, 17, 0},
		{"rkd does not look at auto", Config{Method: "rkd", Transition: "auto", KDSteps: 10}, 99, 0.5},
		{"one's own weight beats the preset's", Config{Preset: "salt-paper", Weight: 0.3}, 0, 0.3},
	} {
		if got := test.c.Defaults(100).WeightAt(test.step, 100); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s: step %d has w = %g, want %g", test.why, test.step, got, test.want)
		}
	}
	zero := Config{}.Defaults(100)
	zero.Weight = 0
	if got := zero.WeightAt(0, 100); got != 0 {
		t.Errorf("a weight set to 0 after Defaults became %g", got)
	}
}

// TestStageOneReadsTheSelection: for n_KD steps of salt-ds, not one more, and also where w is 0.
func TestStageOneReadsTheSelection(t *testing.T) {
	for _, test := range []struct {
		c    Config
		step int64
		want bool
	}{
		{Config{Method: "salt-ds", KDSteps: 10}, 0, true}, {Config{Method: "salt-ds", KDSteps: 10, Weight: 0}, 9, true},
		{Config{Method: "salt-ds", KDSteps: 10}, 10, false}, {Config{Method: "salt", KDSteps: 10}, 0, false},
		{Config{Method: "baseline", KDSteps: 10}, 0, false}, {Config{Method: "rkd", KDSteps: 10}, 0, false},
	} {
		if got := test.c.Selects(test.step); got != test.want {
			t.Errorf("%s at step %d reads the selection: %v, want %v", test.c.Method, test.step, got, test.want)
		}
	}
}

func TestTeacherSteps(t *testing.T) {
	for _, test := range []struct {
		why  string
		c    Config
		want int64
	}{
		{"a baseline has none", Config{Method: "baseline"}, 0},
		{"rkd has no others", Config{Method: "rkd"}, 100},
		{"salt has n_KD", Config{KDSteps: 10}, 10},
		{"auto may ask it at each", Config{Transition: "auto"}, 100},
		{"linear as well: the last has a little", Config{KDSteps: 10, Transition: "linear"}, 10},
	} {
		if got := test.c.Defaults(100).TeacherSteps(100); got != test.want {
			t.Errorf("%s: %d steps, want %d", test.why, got, test.want)
		}
	}
}

func TestDefaultsAtThePapersScale(t *testing.T) {
	c := Config{}.Defaults(208_000)
	if c.KDSteps != 36_000 {
		t.Errorf("n_KD of 208000 steps is %d, want the paper's 36000", c.KDSteps)
	}
	if c != c.Defaults(208_000) {
		t.Error("Defaults is not idempotent")
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		why  string
		c    Config
		want string // the beginnings of the problems, joined by "; "
	}{
		{"all defaults are right", Config{}, ""},
		{"n_KD beyond the end", Config{KDSteps: 200}, "kd_steps: kd_steps = 200 must be at least 1 and less than the LLM's steps = 100"},
		{"n_KD at the end is rkd under another name", Config{KDSteps: 100}, "kd_steps: "},
		{"a negative n_KD", Config{KDSteps: -1}, "kd_steps: "},
		{"the other methods do not look at n_KD", Config{Method: "rkd", KDSteps: 200}, ""},
		{"n_KD is asked of salt-ds too", Config{Method: "salt-ds", KDSteps: 100}, "kd_steps: "},
		{"an infinite ratio has no half", Config{Weight: 1, Transition: "linear-ratio"}, `transition: transition = "linear-ratio" lets w / (1-w) fall`},
		{"which rkd does not look at", Config{Method: "rkd", Weight: 1, Transition: "linear-ratio"}, ""},
		{"auto may ask the teacher to the end", Config{Transition: "auto", KDSteps: 100}, ""},
		{"and not beyond", Config{Transition: "auto", KDSteps: 101}, "kd_steps: kd_steps = 101 must be at least 1 and at most"},
		{"a window of no steps", Config{Transition: "auto", Window: -1}, "window: window = -1"},
		{"a method that never was", Config{Method: "pepper"}, `method: method = "pepper" is unknown`},
		{"a preset that never was", Config{Preset: "paper"}, "preset: "},
		{"several at once", Config{Weight: 1.5, Temperature: -1, Transition: "cosine"}, "weight: ; temperature: ; transition: "},
		{"soft labels that never were", Config{Labels: "off", LabelForm: "topk", LabelCount: 300, LabelTail: "drop"},
			`labels: labels = "off" is unknown; label_form: ; label_count: label_count = 300 is out of bounds; label_tail: `},
		{"NaN lies between nothing", Config{Weight: math.NaN()}, "weight: "},
	} {
		var got []string
		test.c.Defaults(100).Check(100, func(key, message string) { got = append(got, key+": "+message) })
		want := strings.Split(test.want, "; ")
		if test.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], want[i])
		}
		if !ok {
			t.Errorf("%s:\n got %q\nwant %q", test.why, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		why                 string
		c                   Config
		steps, tokens, want int64
	}{
		{"as many steps as have 4096 tokens", Config{Transition: "auto"}, 400, 1024, 4},
		{"rounded up", Config{Transition: "auto"}, 400, 1000, 5},
		{"one where a step has more", Config{Transition: "auto"}, 90, 1 << 20, 1},
		{"a hundredth of a long training", Config{Transition: "auto"}, 208_000, 1 << 20, 2080},
		{"ten windows in a short one", Config{Transition: "auto"}, 50, 128, 5},
		{"and in one of five steps", Config{Transition: "auto"}, 5, 128, 1},
		{"one's own", Config{Transition: "auto", Window: 3}, 400, 1024, 3},
		{"the other transitions have none", Config{}, 400, 1024, 0},
		{"nor has rkd", Config{Method: "rkd", Transition: "auto"}, 400, 1024, 0},
	} {
		c := test.c.Defaults(test.steps).ForBatch(test.steps, test.tokens)
		if c.Window != test.want || c != c.ForBatch(test.steps, test.tokens) {
			t.Errorf("%s: %d, want %d", test.why, c.Window, test.want)
		}
	}
}
