package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	stdio "io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"saltern/model"
	"saltern/model/checkpoint"
)

// exportCommand writes a checkpoint for other programs.
func exportCommand() *Command {
	var flags struct{ format, floats string }
	return &Command{
		Name:    "export",
		Usage:   "--format hf|gguf [--type f32|f16] checkpoint out",
		Summary: "write a checkpoint for other programs: Hugging Face's transformers, llama.cpp",
		Help: `Writes the model and the tokenizer of a checkpoint (its folder, or the folder that holds a run's
checkpoints: then the latest; or a model of others) without the optimizer. It needs no GPU.

--format hf makes the folder out, which transformers loads as AutoModelForCausalLM and
AutoTokenizer: config.json, safetensors, tokenizer.json, tokenizer_config.json. --format gguf makes
the file out, which llama.cpp loads, of the Llama family alone; --type f16 writes its matrices as float16.`,
		Example: `saltern export --format gguf --type f16 runs/go-source/llm-salt/checkpoints go-source.gguf
saltern export --format hf runs/go-source/llm-salt/checkpoints go-source-hf`,
		Exits: []Kind{BadData, BadCheckpoint, DiskFull},
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&flags.format, "format", "", "hf or gguf")
			fs.StringVar(&flags.floats, "type", "f32", "of the numbers in a GGUF file: f32 or f16")
		},
		Run: func(_ context.Context, io IO, args []string) error {
			switch {
			case len(args) != 2 || flags.format != "hf" && flags.format != "gguf":
				return fail(Usage, "export takes --format hf or --format gguf, a checkpoint and where to write; run: saltern help export")
			case flags.floats != "f32" && flags.floats != "f16" || flags.format == "hf" && flags.floats != "f32":
				return fail(Usage, "--type is f32 or f16, the latter of --format gguf alone")
			}
			c, err := checkpoint.Open(args[0])
			if err != nil {
				return badCheckpoint(err, "")
			}
			if flags.format == "hf" {
				err = exportFolder(c, args[1])
			} else {
				err = exportGGUF(io.Err, c, args[1], flags.floats == "f16")
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(io.Err, "written: %s, of %s\n", args[1], c.Dir)
			return nil
		},
	}
}

// exportGGUF writes the file out, whole or not at all.
func exportGGUF(say stdio.Writer, c *checkpoint.Checkpoint, out string, half bool) (err error) {
	f, err := renameio.NewPendingFile(out, renameio.WithTempDir(filepath.Dir(out)), renameio.WithPermissions(0o644))
	if err != nil {
		return fail(BadData, "%s cannot be written: %w", out, err)
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	notes, err := model.WriteGGUF(f, c, half, strings.TrimSuffix(filepath.Base(out), ".gguf"))
	if err != nil {
		return badCheckpoint(err, "")
	}
	for _, n := range notes {
		fmt.Fprintf(say, "note: %s\n", n)
	}
	return f.CloseAtomicallyReplace()
}

// exportFolder makes the folder out, whole or not at all.
func exportFolder(c *checkpoint.Checkpoint, out string) (err error) {
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		return fail(BadData, "%s is there already; name a folder that is not", out)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(out)), 0o777); err != nil {
		return fail(BadData, "%s cannot be written: %w", out, err)
	}
	part, err := os.MkdirTemp(filepath.Dir(filepath.Clean(out)), ".export-")
	if err != nil {
		return fail(BadData, "%s cannot be written: %w", out, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	files, err := c.Export()
	if err != nil {
		return badCheckpoint(err, "")
	}
	for _, path := range files {
		if err := copyTo(filepath.Join(part, filepath.Base(path)), path); err != nil {
			return err
		}
	}
	text, err := tokenizerConfig(c)
	if err == nil {
		err = os.WriteFile(filepath.Join(part, "tokenizer_config.json"), text, 0o644)
	}
	if err == nil {
		err = os.Chmod(part, 0o755)
	}
	if err != nil {
		return err
	}
	return os.Rename(part, out)
}

func copyTo(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = stdio.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// tokenizerConfig says to transformers what the special tokens of tokenizer.json are for.
func tokenizerConfig(c *checkpoint.Checkpoint) ([]byte, error) {
	tok, err := checkpointTokenizer(c)
	if err != nil {
		return nil, err
	}
	context, _, err := model.ReadConfig(c.Dir)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": string(tok.Token(tok.DocumentStart())), "eos_token": string(tok.Token(tok.EndOfText())),
		"model_max_length": context.Context, "clean_up_tokenization_spaces": false,
	}, "", "  ")
}
