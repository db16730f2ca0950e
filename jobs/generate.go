package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	stdio "io"
	"slices"

	"saltern/model"
)

// generateCommand continues a text.
func generateCommand() *Command {
	var flags struct {
		prompt, device string
		sampling       model.Sampling
		tokens, window int
	}
	return &Command{
		Name:    "generate",
		Usage:   "[--prompt TEXT] [--tokens N] [--temperature T] [--top-k K] [--top-p P] [--seed S] [--window N] [--device D] checkpoint",
		Summary: "continue a text with a checkpoint's model",
		Help: `Writes the prompt and what the model adds to it, token by token as they come. Without --prompt
the model begins a new document; --prompt - reads the prompt from standard input.

--temperature 0 takes the most likely token each time. --top-k keeps the K most likely
tokens, --top-p the most likely that together reach that probability; both may be given. The same
seed on the same device gives the same text. Ends at the token that ends a document. The
checkpoint may be a model of others (see saltern help evaluate); the special tokens of its
tokenizer are understood where the prompt spells them out, as in <|im_start|>user.`,
		Example: `saltern generate --prompt "func main() {" --temperature 0.8 --top-p 0.95 runs/go-source/llm-salt/checkpoints`,
		Exits:   []Kind{NoDevice, LacksFeature, NoMemory, BadCheckpoint, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&flags.prompt, "prompt", "", "the `text` to continue; - reads standard input")
			fs.IntVar(&flags.tokens, "tokens", 200, "how many tokens to add at most")
			fs.Float64Var(&flags.sampling.Temperature, "temperature", 0.8, "divides the logits; 0: always the most likely token")
			fs.IntVar(&flags.sampling.TopK, "top-k", 0, "draw from the K most likely tokens; 0: from all")
			fs.Float64Var(&flags.sampling.TopP, "top-p", 1, "draw from the most likely tokens that together reach this probability")
			fs.Int64Var(&flags.sampling.Seed, "seed", 0, "of the draws")
			windowFlag(fs, &flags.window)
			deviceFlag(fs, &flags.device)
		},
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			s := flags.sampling
			switch {
			case len(args) != 1:
				return fail(Usage, "generate takes one checkpoint, not %d arguments; run: saltern help generate", len(args))
			case s.Temperature < 0 || s.TopK < 0 || s.TopP <= 0 || s.TopP > 1 || flags.tokens < 0:
				return fail(Usage, "--temperature, --top-k and --tokens must not be negative, and --top-p must lie above 0 and be at most 1")
			}
			prompt, err := promptText(io.In, flags.prompt)
			if err != nil {
				return err
			}
			l, err := loadCheckpoint(io, args[0], flags.device)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.device.CloseChecked()) }()
			s.Never = l.tokenizer.Unwritten()
			for id := l.tokenizer.VocabSize(); id < l.model.Vocab; id++ { // a vocabulary may be longer than the tokenizer's
				s.Never = append(s.Never, uint32(id))
			}
			return generate(ctx, io.Out, l, prompt, l.window(flags.window), flags.tokens, s)
		},
	}
}

func promptText(in stdio.Reader, prompt string) (string, error) {
	if prompt != "-" {
		return prompt, nil
	}
	text, err := stdio.ReadAll(in)
	return string(text), err
}

func generate(ctx context.Context, out stdio.Writer, l *loaded, prompt string, window, tokens int, s model.Sampling) error {
	g, err := model.NewGenerator(l.device, l.model, window)
	if err != nil {
		return err
	}
	defer g.Close()
	if _, err := stdio.WriteString(out, prompt); err != nil {
		return err
	}
	before, _ := l.tokenizer.Frame()
	ids := l.tokenizer.EncodeMarked(slices.Clone(before), []byte(prompt))
	ends := l.tokenizer.Ends()
	var failed error
	err = g.Generate(ctx, ids, tokens, s, func(id uint32) bool {
		if slices.Contains(ends, id) {
			return false
		}
		_, failed = out.Write(l.tokenizer.Token(id))
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("stopped while writing: %w", context.Cause(ctx))
	}
	if failed == nil { // also a text that was cut short ends its line
		_, failed = stdio.WriteString(out, "\n")
		err = errors.Join(err, failed)
	}
	return err
}
