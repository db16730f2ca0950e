package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// problems runs a check and returns its findings as "key: message".
func problems(check func(bad func(key, message string))) []string {
	var found []string
	check(func(key, message string) { found = append(found, key+": "+message) })
	return found
}

func TestPresetsCountWhatTheirNamesSay(t *testing.T) {
	var last int64
	for _, p := range Presets() {
		c := Config{Preset: p.Name, Vocab: p.Vocab}.Defaults()
		for _, problem := range problems(c.Check) {
			t.Errorf("preset %s: %s", p.Name, problem)
		}
		number := strings.TrimSuffix(p.Name, "-like")
		unit := map[byte]float64{'M': 1e6, 'B': 1e9}[number[len(number)-1]]
		said, err := strconv.ParseFloat(number[:len(number)-1], 64)
		if err != nil || unit == 0 {
			t.Fatalf("preset %q is not named by a count such as 10M or 1.5B-like", p.Name)
		}
		n := c.Params()
		if off := float64(n)/(said*unit) - 1; math.Abs(off) > 0.05 {
			t.Errorf("preset %s has %d parameters at vocabulary %d, %+.1f%% off its name", p.Name, n, p.Vocab, 100*off)
		}
		if n <= last {
			t.Errorf("preset %s has %d parameters, no more than the one before it; keep them in order", p.Name, n)
		}
		last = n
	}
}

func TestParamsAndFLOPsByHand(t *testing.T) {
	// D = 8, H = 2 of size 4, one KV head, F = 16, L = 3, V = 10:
	// attention 2*8*8 + 2*8*4 = 192, feed-forward 3*8*16 = 384, norms 2*8 = 16; embeddings 80 each; last norm 8.
	c := Config{Vocab: 10, Layers: 3, Width: 8, Heads: 2, KVHeads: 1, FFN: 16}.Defaults()
	if got, want := c.Params(), int64(3*(192+384+16)+2*80+8); got != want {
		t.Errorf("untied: %d parameters, want %d", got, want)
	}
	c.TieEmbeddings = true
	if got, want := c.Params(), int64(3*(192+384+16)+80+8); got != want {
		t.Errorf("tied: %d parameters, want %d", got, want)
	}
	if got, want := c.FLOPsPerToken(32), 6.0*(3*(192+384)+80)+6*3*32*8; got != want {
		t.Errorf("%g FLOPs per token, want %g", got, want)
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Preset: "10M", Layers: 2, Vocab: 4096}.Defaults()
	if c.Layers != 2 || c.Width != 320 || c.HeadSize != 64 || c.FFN != 896 || !c.TieEmbeddings {
		t.Errorf("a preset with one field of its own resolved to %+v", c)
	}
	if c != c.Defaults() {
		t.Errorf("Defaults is not idempotent: %+v, then %+v", c, c.Defaults())
	}
	if c := (Config{Preset: "8B", Width: 1024, Vocab: 256}).Defaults(); c.FFN != 2752 || c.HeadSize != 32 {
		t.Errorf("another width than the preset's must derive ffn and head_size anew, got %d and %d", c.FFN, c.HeadSize)
	}
}

func TestConfigCheck(t *testing.T) {
	good := Config{Vocab: 256, Layers: 2, Width: 512, Heads: 8}
	for _, test := range []struct {
		why    string
		change func(c *Config)
		want   []string // the beginning of each problem, in order
	}{
		{"the base of the others is right", func(c *Config) {}, nil},
		{"advice names the counts on both sides", func(c *Config) { c.Heads = 7 },
			[]string{"heads: heads = 7 does not divide width = 512; use 8 (head size 64) or 4 (head size 128)"}},
		{"heads of size 1 cannot be rotated", func(c *Config) { c.Heads = 512 },
			[]string{"heads: heads = 512 makes heads of size 1, but rotary positions need an even"}},
		{"a written head size frees heads from width", func(c *Config) { c.Heads, c.HeadSize = 7, 64 }, nil},
		{"odd head size", func(c *Config) { c.HeadSize = 63 }, []string{"head_size: head_size = 63, but rotary"}},
		{"an odd width divides into no even head", func(c *Config) { c.Width, c.Heads = 15, 4 },
			[]string{"heads: heads = 4 does not divide width = 15; width = 15 has no even divisor"}},
		{"KV heads are shared evenly", func(c *Config) { c.KVHeads = 3 },
			[]string{"kv_heads: kv_heads = 3 does not divide heads = 8; use one of 1, 2, 4, 8"}},
		{"all that is missing is said at once", func(c *Config) { *c = Config{Vocab: 256} },
			[]string{"width: width is not set", "layers: layers is not set", "heads: heads is not set"}},
		{"an unknown preset explains all that is missing", func(c *Config) { *c = Config{Preset: "11M"} },
			[]string{`preset: "11M" is no preset; there are 0.25M, `}},
		{"NaN is no bound's friend", func(c *Config) { c.NormEps, c.InitStd, c.RopeTheta = math.NaN(), math.NaN(), math.NaN() },
			[]string{"rope_theta: ", "norm_eps: ", "init_std: "}},
		{"a vocabulary of one has nothing to predict", func(c *Config) { c.Vocab = 1 }, []string{"vocab: "}},
		{"negative numbers", func(c *Config) { c.Layers, c.Context = -1, -5 },
			[]string{"layers: layers = -1 is out of bounds", "context: context = -5 is out of bounds"}},
	} {
		c := good
		test.change(&c)
		compare(t, test.why, problems(c.Defaults().Check), test.want)
	}
}

func TestTrainConfigCheck(t *testing.T) {
	good := TrainConfig{Steps: 1000, Sequence: 256}
	for _, test := range []struct {
		why    string
		change func(c *TrainConfig)
		want   []string
	}{
		{"the base of the others is right", func(c *TrainConfig) {}, nil},
		{"steps cannot be guessed", func(c *TrainConfig) { c.Steps = 0 }, []string{"steps: steps is not set"}},
		{"a warmup that never ends", func(c *TrainConfig) { c.Warmup = 1000 }, []string{"warmup: warmup = 1000 leaves nothing"}},
		{"longer than the model can see", func(c *TrainConfig) { c.Sequence = 1024 },
			[]string{"sequence: sequence = 1024 exceeds the model's context = 512"}},
		{"an uneven microbatch", func(c *TrainConfig) { c.Microbatch = 5 },
			[]string{"microbatch: microbatch = 5 does not divide batch = 32; use one of 1, 2, 4, 8, 16, 32"}},
		{"several at once", func(c *TrainConfig) { c.LR, c.Schedule, c.LogEvery = math.NaN(), "cosin", -1 },
			[]string{"log_every: ", "lr: ", `schedule: schedule = "cosin" is unknown`}},
	} {
		c := good
		test.change(&c)
		compare(t, test.why, problems(func(bad func(key, message string)) { c.Defaults().Check(512, bad) }), test.want)
	}
}

func TestLearningRate(t *testing.T) {
	cosine := TrainConfig{Steps: 100, Warmup: 10, LR: 2, MinLR: 0.1}.Defaults()
	wsd := TrainConfig{Steps: 100, Warmup: 10, LR: 2, MinLR: 0.1, Schedule: "wsd", DecayFraction: 0.4}.Defaults()
	cold := cosine
	cold.Warmup = 0
	for _, test := range []struct {
		why  string
		c    TrainConfig
		step int64
		want float64
	}{
		{"the first step is not wasted on a rate of 0", cosine, 0, 0.2},
		{"the warmup's last step is at the peak", cosine, 9, 2},
		{"half way down the cosine", cosine, 54, 2 * (1 + 0.1) / 2},
		{"the last step is at the minimum", cosine, 99, 0.2},
		{"so is all that follows", cosine, 500, 0.2},
		{"without warmup the first step has begun to fall", cold, 0, 2 * (1 - 0.9*(1-math.Cos(math.Pi/100))/2)},
		{"wsd holds", wsd, 59, 2},
		{"wsd falls in a straight line", wsd, 79, 2 * (1 - 0.9/2)},
		{"wsd ends at the minimum", wsd, 99, 0.2},
	} {
		if got := test.c.LearningRate(test.step); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s: step %d has %g, want %g", test.why, test.step, got, test.want)
		}
	}
	for step := int64(10); step < 100; step++ {
		if cosine.LearningRate(step) >= cosine.LearningRate(step-1) {
			t.Errorf("the cosine does not fall from step %d to %d", step-1, step)
		}
	}
}

// compare wants got to begin, line by line, as want says.
func compare(t *testing.T, why string, got, want []string) {
	t.Helper()
	same := slices.EqualFunc(got, want, strings.HasPrefix)
	if !same {
		t.Errorf("%s:\n got %s\nwant %s", why, list(got), list(want))
	}
}

func list(lines []string) string {
	if len(lines) == 0 {
		return "no problem"
	}
	return fmt.Sprintf("%q", lines)
}
