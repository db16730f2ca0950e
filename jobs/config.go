package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"saltern/cluster"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/corpus"
	"saltern/model/token"
)

// Config is a job: what one TOML file says. Each table's struct lives where its meaning does.
type Config struct {
	// Name names the job in reports and in its run folder. Empty means the job file's name without ".toml". No slash.
	Name string `toml:"name"`

	// Seed starts every random choice: weights, order of the data, held-out documents. The same seed on the same
	// ranks and device gives the same losses, bit by bit. Zero is a seed like any other.
	Seed int64 `toml:"seed"`

	// Device chooses the Vulkan device by index, UUID, PCI address or a part of its name. Empty means the local rank's, of those that
	// CUDA_VISIBLE_DEVICES and the like leave, else the most capable; a CPU device only when there is no other. SALTERN_DEVICE
	// in the environment of a process says it for that one.
	Device string `toml:"device"`

	// ShareDevice lets several ranks have one GPU, each a part of its memory. Left out, that is an error, as it is mostly a
	// mistake. Processors are shared anyway.
	ShareDevice bool `toml:"share_device"`

	// RunDir is the folder that receives tokenizer, shards, checkpoints, metrics and the resolved job. Empty means
	// runs/<name>.
	RunDir string `toml:"run_dir"`

	// Corpus is the text.
	Corpus corpus.Config `toml:"corpus"`

	// Tokenizer makes tokens of it, the same for both models.
	Tokenizer token.Config `toml:"tokenizer"`

	// SLM is the small model, the teacher. It may be left out when the method is "baseline".
	SLM ModelConfig `toml:"slm"`

	// LLM is the large model, the student: what the job is for.
	LLM ModelConfig `toml:"llm"`

	// Distill is how the one helps the other.
	Distill distill.Config `toml:"distill"`

	// Select is how an early small model selects text for "salt-ds". "saltern score" and "saltern select" look at it for any
	// method.
	Select distill.SelectConfig `toml:"select"`

	// Compare is what "saltern compare" compares. No other command looks at it.
	Compare CompareConfig `toml:"compare"`

	// Cluster is how several processes find each other. One process alone does not look at it.
	Cluster cluster.Config `toml:"cluster"`
}

// ModelConfig is one of the two models of a job and how it is trained.
type ModelConfig struct {
	// From is the folder of a model to take instead of beginning one: a checkpoint, a run's folder of them, or a model of others as
	// Hugging Face's transformers saves it (config.json, tokenizer.json, safetensors; "saltern help evaluate" names the families).
	// As [llm] its training begins with these weights; as [slm] it teaches as it is, as distill.teacher does, and is not trained.
	// It brings its shape, so the table of the model must be left out, and its tokenizer, unless [tokenizer] says another; sequences
	// are then of 1024 tokens at most where train.sequence is left out. Relative to the job file's folder. Empty means none.
	From string `toml:"from"`

	// Model is its shape.
	Model model.Config `toml:"model"`

	// Train is its training.
	Train model.TrainConfig `toml:"train"`
}

// defaults returns c resolved; file, the job file's path, names the job where it has no name of its own, and its folder is
// where relative sources start: they become absolute, so that the resolved job reads the same text wherever it lies. A job
// without teacher and without [slm] keeps an SLM of zeros. Where the tokenizer is a file, the vocabulary is 0: see withTokenizer.
func (c Config) defaults(file string) Config {
	if c.Name == "" {
		c.Name = strings.TrimSuffix(filepath.Base(file), ".toml")
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join("runs", c.Name)
	}
	folder := filepath.Dir(file)
	if absolute, err := filepath.Abs(folder); err == nil { // else the working folder is gone, which reading will tell
		folder = absolute
	}
	sources := append([]string(nil), c.Corpus.Sources...)
	for i, s := range sources {
		sources[i] = absoluteSource(folder, s)
	}
	c.Corpus.Sources, c.Corpus.Base = sources, folder
	if f := c.Tokenizer.File; f != "" && !filepath.IsAbs(f) {
		c.Tokenizer.File = filepath.Join(folder, f)
	}
	for _, f := range []*string{&c.Cluster.Credentials, &c.Cluster.CA} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(folder, *f)
		}
	}
	c = c.takeModels(folder)
	c.Corpus = c.Corpus.Defaults()
	c.Tokenizer = c.Tokenizer.Defaults()
	c.Tokenizer.Denoising = c.SLM.Train.Objective == model.UL2 || c.LLM.Train.Objective == model.UL2
	c.LLM = c.LLM.defaults(c.Tokenizer.VocabSize)
	if c.Distill.Defaults(c.LLM.Train.Steps).NeedsSLM() || c.SLM != (ModelConfig{}) {
		c.SLM = c.SLM.defaults(c.Tokenizer.VocabSize)
	}
	c.Distill = c.Distill.Defaults(c.LLM.Train.Steps).ForBatch(c.LLM.Train.Steps, int64(c.LLM.Train.Batch)*int64(c.LLM.Train.Sequence))
	c.Select = c.Select.Defaults(c.stageOne())
	c.Compare = c.Compare.defaults()
	c.Cluster = c.Cluster.Defaults()
	return c
}

// stageOne is the number of sequences that the LLM reads in stage 1, the usual one where the training itself says how long that is.
func (c Config) stageOne() int64 {
	steps := c.Distill.KDSteps
	if c.Distill.Auto() && c.Distill.Method != "salt-ds" {
		steps = min(steps, distill.PaperKDSteps(c.LLM.Train.Steps))
	}
	return max(1, steps*int64(c.LLM.Train.Batch))
}

// absoluteSource is a source of [corpus] as seen from anywhere. One that begins with a variable stays as it is where the variable
// holds a whole path; the folder's own dollar signs are doubled, as a source's are.
func absoluteSource(folder, source string) string {
	start := os.Expand(source, func(name string) string {
		if name == "GOROOT" { // known to the corpus without being set
			return "/"
		}
		return os.Getenv(name)
	})
	if source == "" || filepath.IsAbs(source) || strings.HasPrefix(source, "$") && filepath.IsAbs(start) {
		return source
	}
	return filepath.Join(strings.ReplaceAll(folder, "$", "$$"), source)
}

// withTokenizer returns a resolved c whose models know what only the loaded tokenizer could tell: the vocabulary and the id that documents
// begin with.
func (c Config) withTokenizer(vocab int, endOfText uint32) Config {
	vocab = c.vocab(vocab)
	c.LLM.Model.Vocab, c.LLM.Train.EndOfText = vocab, endOfText
	if c.SLM != (ModelConfig{}) {
		c.SLM.Model.Vocab, c.SLM.Train.EndOfText = vocab, endOfText
	}
	return c
}

func (c ModelConfig) defaults(vocab int) ModelConfig {
	if c.From == "" {
		c.Model.Vocab = vocab
	}
	c.Model = c.Model.Defaults()
	if c.Train.Sequence == 0 {
		c.Train.Sequence = c.Model.Context
		if c.From != "" {
			c.Train.Sequence = min(c.Model.Context, fromSequence)
		}
	}
	c.Train = c.Train.Defaults()
	return c
}

// check calls bad for every problem of a resolved Config, with the full key.
func (c Config) check(bad func(key, message string)) {
	under := func(table string) func(key, message string) {
		return func(key, message string) { bad(table+"."+key, message) }
	}
	if strings.ContainsAny(c.Name, `/\`) || c.Name == "." || c.Name == ".." {
		bad("name", fmt.Sprintf("name = %q must not be a path, as it names a folder; use run_dir to place it", c.Name))
	}
	c.Corpus.Check(under("corpus"))
	c.Tokenizer.Check(under("tokenizer"))
	c.checkFrom(bad)
	c.LLM.check(under("llm"))
	c.Distill.Check(c.LLM.Train.Steps, under("distill"))
	c.Select.Check(c.Distill.Method, c.stageOne(), under("select"))
	c.Compare.check(under("compare"))
	c.Cluster.Check(under("cluster"))
	c.checkRoles(bad)
	if c.SLM == (ModelConfig{}) || c.SLM.From != "" {
		return
	}
	if c.SLM.Model.Width == 0 && c.SLM.Model.Preset == "" && c.SLM.Train.Steps == 0 {
		bad("distill.method", fmt.Sprintf("method = %q needs a small model to teach: add [slm.model] and [slm.train], "+
			"or use method = \"baseline\"", c.Distill.Method))
		return
	}
	c.SLM.check(under("slm"))
	c.checkObjectives(bad)
	if d, v := c.Distill, c.Tokenizer.VocabSize; (d.Offline() || c.teaches()) && d.LabelForm == labels.TopK && d.LabelCount > v && v > 0 {
		bad("distill.label_count", fmt.Sprintf("label_count = %d is more than the vocabulary has ids, tokenizer.vocab_size = %d; lower it", d.LabelCount, v))
	}
	if c.Distill.NeedsSLM() && c.SLM.Model.Context < c.LLM.Train.Sequence {
		bad("slm.model.context", fmt.Sprintf("context = %d is too short for llm.train.sequence = %d: the teacher reads "+
			"what the student reads; raise the one or lower the other", c.SLM.Model.Context, c.LLM.Train.Sequence))
	}
}

func (c ModelConfig) check(bad func(key, message string)) {
	c.Model.Check(func(key, message string) {
		if key != "vocab" { // which is the tokenizer's to report
			bad("model."+key, message)
		}
	})
	context := c.Model.Context
	if _, ok := model.FindPreset(c.Model.Preset); c.Model.Preset != "" && !ok {
		context = 0 // the one that the preset would have brought is not known
	}
	c.Train.Check(context, func(key, message string) { bad("train."+key, message) })
}
