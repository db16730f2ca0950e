package jobs

import (
	"fmt"
	"path/filepath"

	"saltern/compute"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/token"
)

// fromSequence is the longest sequence that a model of others is trained with where nobody says: its context may be far longer.
const fromSequence = 1024

// takeModels resolves the models that the job does not begin by itself: slm.from becomes distill.teacher, llm.from brings the
// student's shape, and the tokenizer is the one that lies in their folder, the student's first.
func (c Config) takeModels(folder string) Config {
	for _, from := range []*string{&c.SLM.From, &c.LLM.From} {
		if *from != "" && !filepath.IsAbs(*from) {
			*from = filepath.Join(folder, *from)
		}
	}
	tokenizers := []string{c.LLM.From, c.SLM.From}
	if (c.SLM == ModelConfig{From: c.SLM.From}) && (c.Distill.Teacher == "" || c.Distill.Teacher == "slm") && c.Distill.Method != "salt-ds" && c.SLM.From != "" {
		c.Distill.Teacher, c.SLM = c.SLM.From, ModelConfig{}
	}
	if (c.LLM.Model == model.Config{}) && c.LLM.From != "" {
		c.LLM.Model, _, _ = model.ReadConfig(c.LLM.From) // else check says why not
	}
	for _, from := range tokenizers {
		if from == "" || c.Tokenizer.File != "" || c.Tokenizer.VocabSize != 0 {
			continue
		}
		if _, dir, err := model.ReadConfig(from); err == nil {
			c.Tokenizer.File = filepath.Join(dir, "tokenizer.json")
		}
	}
	return c
}

// checkFrom reports what is wrong with models that the job does not begin by itself.
func (c Config) checkFrom(bad func(key, message string)) {
	if c.SLM.From != "" {
		bad("slm.from", fmt.Sprintf("from = %q is a teacher that the job does not train: [slm.model] and [slm.train] must be left out, distill.teacher too, and "+
			"distill.method = \"salt-ds\" needs an SLM that the job trains, to select text by an early step of it", c.SLM.From))
	}
	if c.LLM.From == "" {
		return
	}
	m, _, err := model.ReadConfig(c.LLM.From)
	switch {
	case err != nil:
		bad("llm.from", fmt.Sprintf("from = %q cannot be taken: %v", c.LLM.From, err))
	case m != c.LLM.Model:
		bad("llm.from", fmt.Sprintf("from = %q brings the model's shape: [llm.model] must be left out", c.LLM.From))
	case c.Tokenizer.VocabSize != 0:
		bad("tokenizer.vocab_size", fmt.Sprintf("vocab_size = %d asks for a new tokenizer, whose ids mean nothing to the model of llm.from; leave it out", c.Tokenizer.VocabSize))
	}
}

// vocab is the number of ids that the job's models know: the tokenizer's, unless one that the job does not begin knows more.
func (c Config) vocab(tokenizer int) int {
	from := c.LLM.From
	if from == "" && c.Distill.Named() && c.Distill.Method != "baseline" {
		from = c.Distill.Teacher
	}
	if from == "" {
		return tokenizer
	}
	m, _, err := model.ReadConfig(from)
	if err != nil { // which opening it will tell
		return tokenizer
	}
	return m.Vocab
}

// checkVocab refuses a tokenizer with more ids than the models know.
func (c Config) checkVocab(tokenizer int) error {
	if n := c.vocab(tokenizer); tokenizer > n {
		return fail(BadConfig, "the tokenizer has %d ids, and the model that the job begins with, or is taught by, knows %d: they do not belong together; leave [tokenizer] out to take the model's own", tokenizer, n)
	}
	return nil
}

// findStart says which weights the training begins with, if it does not draw them. They are opened once, which reads all of them: begin takes
// those that were found, as the run that they are of may go on meanwhile.
func (t *training) findStart() (err error) {
	if t.from == "" {
		return nil
	}
	if t.begins == nil {
		if t.begins, err = checkpoint.Open(t.from); err != nil {
			return badCheckpoint(err, "llm.from is the folder of a model: config.json, tokenizer.json and safetensors, or a checkpoint")
		}
	}
	t.Start, err = t.begins.WeightsSum()
	return err
}

// begin gives a model its first weights: those that the training begins with, or random ones.
func (t *training) begin(b compute.Backend, m *model.Model) error {
	if t.from == "" {
		return m.Init(b, t.Seed)
	}
	return m.LoadWeights(b, t.begins)
}

// sameTokenizer tells whether two tokenizer.json give the same ids.
func sameTokenizer(a, b []byte) (bool, error) {
	one, err := token.Parse(a)
	if err != nil {
		return false, err
	}
	two, err := token.Parse(b)
	return err == nil && one.Hash() == two.Hash(), err
}
