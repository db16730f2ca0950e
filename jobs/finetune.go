package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"saltern/distill"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
	"saltern/model/token"
)

// finetuneFlags are what finetune is told beside the data.
type finetuneFlags struct {
	runFlags
	from, run string
	fields    exampleFields
	epochs    float64
	trace     traceFlags
}

// finetuneCommand trains a checkpoint on with prompts and responses.
func finetuneCommand() *Command {
	var flags finetuneFlags
	return &Command{
		Name:    "finetune",
		Usage:   "--from CHECKPOINT [--run FOLDER] [--epochs N] [--set key=value]... [--device D] [--fresh] [--json] data.jsonl...",
		Summary: "train a checkpoint on with prompts and the responses to them",
		Help: `Reads examples from .jsonl files (plain, .gz or .zst; folders and globs too), in each line a
"prompt" and a "response", and trains the checkpoint on to give the responses: the prompts
are read and not predicted. Examples are packed into sequences, none is cut, and none sees
another. Some are held out to measure the loss on (corpus.held_out); exact duplicates and
those longer than a sequence are left out, and counted.

The training is any other's: its folder is llm-finetune in the run folder, its keys are
those of [llm.train], set with --set, and the same command goes on from its last checkpoint.
Left out, llm.train.lr is 1e-4, the batch 16 sequences, and as many steps as --epochs takes.
What comes out are checkpoints like any other. Several ranks share each batch: "saltern launch",
or srun in a batch script.`,
		Example: `saltern finetune --from runs/go-source/llm-salt/checkpoints --run runs/answers answers.jsonl
saltern generate --prompt 'What is a slice?' runs/answers/llm-finetune/checkpoints
saltern launch -n 4 finetune --from Qwen3-1.7B-Base --run runs/answers answers.jsonl`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, SickDevice, RankLost, Requeue},
		Ranks: flags.launched,
		Flags: func(fs *flag.FlagSet) {
			flags.define(fs, "the run's model")
			fs.StringVar(&flags.from, "from", "", "the `checkpoint` to start from: its folder, or a run's folder of them, then the latest")
			fs.StringVar(&flags.run, "run", "runs/finetune", "the run `folder`")
			fs.StringVar(&flags.fields.prompt, "prompt", "prompt", "the `field` of the prompt")
			fs.StringVar(&flags.fields.response, "response", "response", "the `field` of the response")
			fs.Float64Var(&flags.epochs, "epochs", 3, "how often each example is read, where llm.train.steps is not set")
			flags.trace.define(fs)
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			if err := flags.check(args); err != nil {
				return err
			}
			done, err := flags.finetune(ctx, io, args)
			if err != nil {
				return err
			}
			return resultTable(done).Write(io.Out, flags.json)
		},
	}
}

func (f *finetuneFlags) check(data []string) error {
	if f.from == "" || len(data) == 0 || !(f.epochs > 0) {
		return fail(Usage, "finetune takes --from CHECKPOINT and at least one file of examples, and --epochs above 0; run: saltern help finetune")
	}
	return f.trace.check()
}

// launched is the job before its examples are counted, for who starts its ranks, each of which reads the weights.
func (f *finetuneFlags) launched(data []string) (*Job, error) {
	if err := f.check(data); err != nil {
		return nil, err
	}
	c, err := checkpoint.Find(f.from)
	if err != nil {
		return nil, noStart(err)
	}
	from, err := readStart(c)
	if err != nil {
		return nil, err
	}
	return f.job(from, data, 1)
}

// startingPoint is a checkpoint to train on from.
type startingPoint struct {
	*checkpoint.Checkpoint
	model     model.Config
	tokenizer []byte // tokenizer.json
	tok       *token.Tokenizer
}

// openStart opens it, which reads all weights.
func openStart(path string) (s startingPoint, err error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return s, noStart(err)
	}
	return readStart(c)
}

// readStart is what stands beside the weights.
func readStart(c *checkpoint.Checkpoint) (s startingPoint, err error) {
	s.Checkpoint = c
	text, err := s.Config()
	if err != nil {
		return s, err
	}
	if s.model, err = model.ParseConfigJSON(text); err != nil {
		return s, fail(BadCheckpoint, "%s: %w", s.Dir, err)
	}
	if s.tokenizer, err = s.Tokenizer(); err != nil {
		return s, err
	}
	if s.tok, err = token.Parse(s.tokenizer); err != nil {
		return s, fail(BadCheckpoint, "%s: tokenizer.json: %w", s.Dir, err)
	}
	return s, nil
}

// noStart is the error of a checkpoint that cannot be opened.
func noStart(err error) error {
	return badCheckpoint(err, "--from is a checkpoint's folder, or a run's folder of them such as runs/other/llm-salt/checkpoints")
}

// job is the job of a training from the checkpoint, for so many steps where the user does not set them.
func (f *finetuneFlags) job(from startingPoint, data []string, steps int64) (*Job, error) {
	var c struct {
		RunDir string `toml:"run_dir"`
		Corpus struct {
			Sources []string `toml:"sources"`
		} `toml:"corpus"`
		Tokenizer struct {
			File string `toml:"file"`
		} `toml:"tokenizer"`
		LLM struct {
			Model model.Config   `toml:"model"`
			Train map[string]any `toml:"train"`
		} `toml:"llm"`
		Distill struct {
			Method string `toml:"method"`
		} `toml:"distill"`
	}
	c.RunDir, c.Distill.Method, c.LLM.Model = f.run, "baseline", from.model
	c.LLM.Train = map[string]any{"steps": steps, "batch": 16, "lr": 1e-4, "document_masks": true}
	var err error
	if c.Tokenizer.File, err = filepath.Abs(filepath.Join(from.Dir, "tokenizer.json")); err != nil {
		return nil, err
	}
	for _, path := range data {
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		c.Corpus.Sources = append(c.Corpus.Sources, strings.ReplaceAll(path, "$", "$$"))
	}
	text, err := toml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("bug: the job of a checkpoint has no TOML: %w", err)
	}
	job, err := readJob("finetune.toml", text, f.sets)
	if err != nil {
		return nil, err
	}
	job.Config.Device, job.listen = either(f.device, job.Config.Device), f.listen
	job.Config = job.withTokenizer(from.tok.VocabSize(), from.tok.DocumentStart())
	job.LLM.Model.Vocab = from.model.Vocab // a matrix may have more rows than there are tokens
	if !job.LLM.Train.DocumentMasks {
		return nil, fail(BadConfig, "--set: llm.train: document_masks = false lets examples see each other, which finetune does not do; leave it out")
	}
	return job, nil
}

// finetune reads the examples and trains.
func (f *finetuneFlags) finetune(ctx context.Context, io IO, data []string) (done []finishedTraining, err error) {
	from, err := openStart(f.from)
	if err != nil {
		return nil, err
	}
	job, x, err := f.examples(from, data)
	if err != nil {
		return nil, err
	}
	s, err := openExamples(ctx, io, job, from, x)
	if err != nil {
		return nil, err
	}
	defer func() { err = s.done(err) }()
	s.say("examples: %d, of %d tokens in prompts and %d in responses; %d duplicates and %d longer than %d tokens left out", x.count, x.prompt, x.answers, x.duplicates, x.long, x.T)
	fresh := f.fresh && !s.ranks.isLate()
	return done, s.overLosses(ctx, func() error {
		t := job.training(methodName("finetune"), "FINETUNE", job.LLM, distill.Config{Method: "baseline"}, x.key)
		t.examples, t.from, t.begins = x, from.Dir, from.Checkpoint
		if s.ranks.leads() {
			t.trace = f.trace
		}
		if fresh {
			if err := s.ranks.first(ctx, t.remove); err != nil {
				return err
			}
			fresh = false
		}
		o, err := t.train(ctx, s)
		if err != nil {
			return err
		}
		done = []finishedTraining{{t, o, s.set.Manifest.HeldOut.BitsPerByte(o.HeldOut.NLL)}}
		return nil
	})
}

// examples reads them, and gives the job of as many steps as they are to be read for.
func (f *finetuneFlags) examples(from startingPoint, data []string) (*Job, *examples, error) {
	job, err := f.job(from, data, 1)
	if err != nil {
		return nil, nil, err
	}
	x, err := readExamples(job.Corpus, f.fields, from.tok, job.LLM.Train.Sequence)
	if err != nil {
		return nil, nil, &Error{BadData, err}
	}
	if job.Origin("llm.train.steps") != "--set" {
		batch := float64(job.LLM.Train.Batch)
		job, err = f.job(from, data, int64(max(1, (f.epochs*float64(x.train.count())+batch-1)/batch)))
	}
	return job, x, err
}

// openExamples is openJob for a job whose text is examples, which each rank has read.
func openExamples(ctx context.Context, io IO, job *Job, from startingPoint, x *examples) (*session, error) {
	set := &corpus.Set{
		Manifest: &corpus.Manifest{Key: x.key, VocabSize: job.LLM.Model.Vocab, EndOfText: from.tok.EndOfText(), DocumentStart: from.tok.DocumentStart(), HeldOut: x.heldOut.part},
		Train:    &corpus.Stream{}, HeldOut: &corpus.Stream{},
	}
	r, err := joinRanks(ctx, io, job)
	if err != nil {
		return nil, err
	}
	if !r.isLate() {
		err = r.first(ctx, func() error { return writeResolved(job) })
	}
	var s *session
	if err == nil {
		s, err = openOn(io, job, r, set, from.tokenizer)
	}
	if err != nil {
		return nil, errors.Join(err, r.close(err))
	}
	return s.enter(ctx)
}
