package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"saltern/compute"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/token"
)

// evaluateCommand measures a checkpoint on any text.
func evaluateCommand() *Command {
	var flags struct {
		text   listFlag
		tasks  taskFlags
		device string
		batch  int
		window int
		judge  string
		json   bool
	}
	return &Command{
		Name:    "evaluate",
		Usage:   "--text FILE [FILE]... | --task FILE [--task FILE]... [--shots N] [--bos] [--window N] [--judge CHECKPOINT] [--device D] [--json] checkpoint",
		Summary: "loss and bits per byte of a checkpoint on any text, and how it answers a benchmark's questions",
		Help: `Reads the checkpoint (its folder, or the folder that holds a run's checkpoints: then the
latest; or a model of others, a folder with config.json, tokenizer.json and safetensors as
Hugging Face's transformers saves it), tokenizes each file with the checkpoint's own tokenizer,
and measures how well the model predicts it, every token but the first once, in windows of
the model's context, but of at most 4096 tokens, or of --window.

Bits per byte and perplexity per byte do not depend on the tokenizer: use them to compare
models with different vocabularies.

--judge names another checkpoint with the same tokenizer, the SLM for example, and adds the model's
loss on the third of each text's windows that the judge finds easiest, on the medium and on the
hardest third: a smaller --window makes for finer thirds.

` + tasksHelp,
		Example: `saltern evaluate --text notes.txt runs/go-source/llm-salt/checkpoints
saltern evaluate --text notes.txt --window 128 --judge runs/go-source/slm/checkpoints runs/go-source/llm-salt/checkpoints
saltern evaluate --task arc.jsonl --shots 5 runs/go-source/llm-salt/checkpoints`,
		Exits: []Kind{BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			fs.Var(&flags.text, "text", "a text `file` to evaluate on; more may follow, before the checkpoint, which comes last")
			flags.tasks.define(fs)
			deviceFlag(fs, &flags.device)
			fs.IntVar(&flags.batch, "batch", 8, "sequences at a time")
			windowFlag(fs, &flags.window)
			fs.StringVar(&flags.judge, "judge", "", "with --text: the `checkpoint` that says what is easy and what is hard")
			jsonFlag(fs, &flags.json)
		},
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			if len(args) == 0 || (len(flags.text) == 0) == (len(flags.tasks.files) == 0) {
				return fail(Usage, "evaluate takes at least one --text FILE, or --task FILE, and then a checkpoint; run: saltern help evaluate")
			}
			if len(flags.tasks.files) > 0 && (flags.judge != "" || flags.window != 0) {
				return fail(Usage, "--judge and --window go with --text: a benchmark's questions are shown in the model's whole context, and have no thirds; leave them out")
			}
			if len(flags.tasks.files) > 0 {
				return flags.tasks.evaluate(ctx, io, args, flags.device, max(1, flags.batch), flags.json)
			}
			files, path := append(flags.text, args[:len(args)-1]...), args[len(args)-1]
			l, err := loadCheckpoint(io, path, flags.device)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.device.CloseChecked()) }()
			e, err := model.NewEvaluator(l.model, max(1, flags.batch), l.window(flags.window))
			if err != nil {
				return err
			}
			if err := e.Load(l.device); err != nil {
				return err
			}
			defer e.Close()
			t := evaluationTable()
			var j *difficulty
			if flags.judge != "" {
				if j, err = l.judgedBy(flags.judge, max(1, flags.batch), l.window(flags.window)); err != nil {
					return err
				}
				defer j.close()
				t.Columns = append(t.Columns, Column{Key: "loss_easy_nats", Title: "easy", Unit: "nats/token", Format: "%.4f"},
					Column{Key: "loss_medium_nats", Title: "medium", Unit: "nats/token", Format: "%.4f"}, Column{Key: "loss_hard_nats", Title: "hard", Unit: "nats/token", Format: "%.4f"})
			}
			for _, path := range files {
				row, err := evaluateFile(ctx, e, l.tokenizer, j, path)
				if err != nil {
					return err
				}
				t.Rows = append(t.Rows, row)
			}
			return t.Write(io.Out, flags.json)
		},
	}
}

func evaluationTable() Table {
	return Table{Columns: []Column{
		{Key: "text", Title: "text"}, {Key: "bytes", Title: "bytes"}, {Key: "tokens", Title: "tokens"},
		{Key: "loss_nats", Title: "loss", Unit: "nats/token", Format: "%.4f"}, {Key: "perplexity", Title: "perplexity", Unit: "per token", Format: "%.2f"},
		{Key: "accuracy", Title: "accuracy", Unit: "next token", Format: "%.3f"}, {Key: "bits_per_byte", Title: "bits per byte", Format: "%.4f"},
		{Key: "perplexity_per_byte", Title: "perplexity", Unit: "per byte", Format: "%.4f"},
	}}
}

// evaluateFile is the table's row for one file. The text stands behind what documents stand behind in training,
// so that its first token is predicted too. j, if not nil, adds the loss on what it finds easy, medium and hard.
func evaluateFile(ctx context.Context, e *model.Evaluator, tok *token.Tokenizer, j *difficulty, path string) ([]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fail(BadData, "the text cannot be read: %w; name a text file", err)
	}
	if len(text) == 0 {
		return nil, fail(BadData, "%s is empty; there is nothing to evaluate", path)
	}
	if strings.IndexByte(string(text[:min(len(text), 8192)]), 0) >= 0 {
		return nil, fail(BadData, "%s is not text: it holds NUL bytes; name a text file", path)
	}
	before, _ := tok.Frame()
	ids := tok.Encode(slices.Clone(before), text)
	stats, err := e.EvaluateText(ctx, model.TokenSlice(ids), int64(len(ids)))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("stopped while evaluating %s: %w", path, context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	bits := stats.NLL * float64(stats.Tokens) / float64(len(text)) / math.Ln2
	row := []any{path, len(text), stats.Tokens, stats.NLL, perplexity(stats.NLL), stats.Accuracy, bits, exp2(bits)}
	if j == nil {
		return row, nil
	}
	thirds, err := j.slices(ctx, ids)
	for _, loss := range thirds {
		row = append(row, loss)
	}
	return row, err
}

// loaded is a checkpoint's model on a device, with its tokenizer.
type loaded struct {
	model     *model.Model
	tokenizer *token.Tokenizer
	device    *compute.Device
}

func loadCheckpoint(io IO, path, selector string) (*loaded, error) {
	d, _, err := openTuned(io, selector)
	if err != nil {
		return nil, err
	}
	m, c, err := model.Load(d, path, "model")
	if err == nil {
		var tok *token.Tokenizer
		if tok, err = checkpointTokenizer(c); err == nil && tok.VocabSize() > m.Vocab {
			err = fail(BadCheckpoint, "%s: tokenizer.json has %d tokens, and config.json says vocab_size = %d: they are of different models", c.Dir, tok.VocabSize(), m.Vocab)
		}
		if err == nil {
			return &loaded{m, tok, d}, nil
		}
	}
	return nil, errors.Join(badCheckpoint(err, ""), d.CloseChecked())
}

func checkpointTokenizer(c *checkpoint.Checkpoint) (*token.Tokenizer, error) {
	text, err := c.Tokenizer()
	if err != nil {
		return nil, err
	}
	tok, err := token.Parse(text)
	if err != nil {
		return nil, fail(BadCheckpoint, "%s: tokenizer.json: %w", c.Dir, err)
	}
	return tok, nil
}

// window is how many tokens the model is shown at a time; asked is zero where nobody said.
func (l *loaded) window(asked int) int {
	if asked <= 0 {
		asked = defaultWindow
	}
	return min(asked, l.model.Context)
}

// defaultWindow bounds what evaluate and generate show a model whose context is longer: memory grows with it.
const defaultWindow = 4096

// windowFlag defines --window.
func windowFlag(fs *flag.FlagSet, window *int) {
	fs.IntVar(window, "window", 0, "how many `tokens` the model sees at a time; 0: its context, but at most 4096")
}

// deviceFlag defines --device, which every command that uses a device has.
func deviceFlag(fs *flag.FlagSet, device *string) {
	fs.StringVar(device, "device", "", "the Vulkan `device`: an index, a UUID, a PCI address or a part of its name (see saltern devices)")
}
