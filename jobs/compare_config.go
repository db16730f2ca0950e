package jobs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// CompareConfig says what "saltern compare" sets against BASELINE, each arm with each seed. Every arm is the job with a few keys
// set otherwise.
type CompareConfig struct {
	// Methods are values of distill.method. "baseline" is always one of them. Empty means all four.
	Methods []string `toml:"methods"`

	// Seeds is how many seeds each arm is run with: the job's and those that follow it. They decide weights and order of the data;
	// text, tokenizer and held-out documents are the same for all. Zero means 3, the least that gives an interval. 1 to 1000.
	Seeds int `toml:"seeds"`

	// Controls tell what a gain comes from: "baseline-70", BASELINE with 70% of the steps and a learning rate that decays over
	// those (any whole percentage); "selection", SALT_DS with w = 0; "smoothing", the job's method with label smoothing of the
	// SLM's entropy in place of the SLM; "self-distillation", with a finished BASELINE in its place. Empty means these four;
	// "none" means none.
	Controls []string `toml:"controls"`

	// Sweep lists keys with the values to try, "distill.kd_steps=40,80,160", each alone, by the job's method; a key of [select] by
	// "salt-ds". Another method may stand before the key: "rkd distill.weight=0.3,0.7".
	Sweep []string `toml:"sweep"`

	// Arms are others, "name: key=value key=value": the job with those keys set. Keys of [slm] train another SLM. The keys of text
	// and tokenizer, of the run's name and place, and the seed cannot be set.
	Arms []string `toml:"arms"`

	// Teacher is how many SLMs there are: "per-seed", one for each seed, so that the intervals hold for the method as a whole;
	// "shared", one of the job's seed for all, which is cheaper and leaves its part of the chance out. Empty means "per-seed".
	Teacher string `toml:"teacher"`
}

// noControls is how the job file says that there are none.
const noControls = "none"

// defaults returns c with every zero field chosen.
func (c CompareConfig) defaults() CompareConfig {
	if len(c.Methods) == 0 {
		c.Methods = []string{"baseline", "rkd", "salt", "salt-ds"}
	}
	if c.Seeds == 0 {
		c.Seeds = 3
	}
	if len(c.Controls) == 0 {
		c.Controls = []string{"baseline-70", "selection", "smoothing", "self-distillation"}
	}
	if c.Teacher == "" {
		c.Teacher = "per-seed"
	}
	return c
}

// check calls bad for every problem of a resolved c. What is wrong with an arm's keys is found when its job is read.
func (c CompareConfig) check(bad func(key, message string)) {
	for _, m := range c.Methods {
		if methodLabel(m) == "" {
			bad("methods", fmt.Sprintf(`methods has %q; use "baseline", "rkd", "salt" or "salt-ds"`, m))
		}
	}
	if c.Seeds < 1 || c.Seeds > 1000 {
		bad("seeds", fmt.Sprintf("seeds = %d is out of bounds; use 1 to 1000, 3 is usual", c.Seeds))
	}
	for _, name := range c.Controls {
		if _, ok := baselinePercent(name); !ok && !slices.Contains([]string{"selection", "smoothing", "self-distillation"}, name) && (name != noControls || len(c.Controls) > 1) {
			bad("controls", fmt.Sprintf(`controls has %q; use "baseline-70", "selection", "smoothing" or "self-distillation", or "none" alone`, name))
		}
	}
	for _, s := range c.Sweep {
		head, values, ok := strings.Cut(s, "=")
		words := strings.Fields(head)
		if !ok || len(words) < 1 || len(words) > 2 || strings.TrimSpace(values) == "" || len(words) == 2 && methodLabel(words[0]) == "" {
			bad("sweep", fmt.Sprintf("sweep has %q, which is not key=value,value, as in distill.kd_steps=40,80, with a method before it perhaps", s))
		}
	}
	for _, a := range c.Arms {
		name, sets, ok := strings.Cut(a, ":")
		if !ok || !armName.MatchString(name) || len(strings.Fields(sets)) == 0 {
			bad("arms", fmt.Sprintf(`arms has %q, which is not "name: key=value key=value"; a name is of letters, digits, dots, dashes and underscores`, a))
		}
	}
	if c.Teacher != "per-seed" && c.Teacher != "shared" {
		bad("teacher", fmt.Sprintf(`teacher = %q is unknown; use "per-seed" or "shared"`, c.Teacher))
	}
}

var armName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// baselinePercent is the 70 of "baseline-70".
func baselinePercent(control string) (int, bool) {
	digits, ok := strings.CutPrefix(control, "baseline-")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && n < 100 && digits[0] != '0'
}
