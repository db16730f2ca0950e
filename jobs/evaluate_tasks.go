package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"saltern/compute"
	"saltern/jobs/tasks"
	"saltern/model"
)

const tasksHelp = `--task asks the questions of a benchmark, as the lm-evaluation-harness does and with its
numbers. Its file is .jsonl: in each line a document with "text" and "target" (what the model
should say, for "acc" and "perplexity"), or with "choices" too, of which the target is one or
the number of one ("acc"; "acc_norm", per character; "acc_bytes"; "ece", how far the model's
certainty is off). The first line may be settings, by the harness's names: output_type
("multiple_choice", "loglikelihood", or "generate_until", which writes and wants an
"exact_match"), doc_to_text, doc_to_target, doc_to_choice (a field, or a text with
{{fields}}), description, target_delimiter, fewshot_delimiter, num_fewshot, fewshot (a file
of examples), until, max_gen_toks. Each number comes with its standard error.`

// taskFlags are those of benchmarks.
type taskFlags struct {
	files listFlag
	shots int
	bos   bool
}

func (f *taskFlags) define(fs *flag.FlagSet) {
	fs.Var(&f.files, "task", "a benchmark's `file`, .jsonl; may be given again")
	fs.IntVar(&f.shots, "shots", -1, "examples in each context; -1: as many as the task says, none as a rule")
	fs.BoolVar(&f.bos, "bos", false, "begin each context with the end-of-text token, as documents do in training")
}

// evaluate prints how the checkpoint in args answers the tasks.
func (f *taskFlags) evaluate(ctx context.Context, io IO, args []string, device string, batch int, asJSON bool) (err error) {
	if len(args) != 1 {
		return fail(Usage, "evaluate --task takes one checkpoint, not %d arguments; give each task a --task of its own", len(args))
	}
	list := make([]*tasks.Task, len(f.files))
	for i, path := range f.files {
		if list[i], err = tasks.Read(path); err != nil {
			return &Error{BadData, err}
		}
		if f.shots >= 0 {
			list[i].NumFewshot = f.shots
		}
	}
	l, err := loadCheckpoint(io, args[0], device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.device.CloseChecked()) }()
	m := &examinee{loaded: l, bos: f.bos, batch: batch}
	defer m.close()
	t := taskTable()
	for _, task := range list {
		r, err := task.Run(ctx, m)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped while evaluating %s: %w", task.Task, context.Cause(ctx))
		}
		if KindOf(err) == Failed { // of the task's documents; the device's have kinds of their own
			err = &Error{BadData, err}
		}
		if err != nil {
			return err
		}
		for _, x := range r.Metrics {
			var stderr any
			if !math.IsNaN(x.Stderr) {
				stderr = x.Stderr
			}
			t.Rows = append(t.Rows, []any{r.Task, r.OutputType, r.Documents, r.Shots, x.Name, x.Value, stderr})
		}
	}
	return t.Write(io.Out, asJSON)
}

func taskTable() Table {
	return Table{Columns: []Column{
		{Key: "task", Title: "task"}, {Key: "output_type", Title: "output type"}, {Key: "documents", Title: "documents"}, {Key: "shots", Title: "shots"},
		{Key: "metric", Title: "metric"}, {Key: "value", Title: "value", Format: "%.4f"}, {Key: "stderr", Title: "stderr", Format: "%.4f"},
	}}
}

// examinee is a checkpoint's model as tasks ask it.
type examinee struct {
	*loaded
	bos       bool
	batch     int
	generator *model.Generator
}

func (e *examinee) close() {
	if e.generator != nil {
		e.generator.Close()
	}
}

// pair is a request in tokens.
type pair struct {
	ids   []uint32 // context and continuation
	count int      // tokens of the continuation, the last of ids
}

// encode tokenizes context and continuation together. White space at the context's end is the continuation's, as words' first spaces
// are in tokens.
func (e *examinee) encode(r tasks.Request) (pair, error) {
	text := strings.TrimRightFunc(r.Context, isPythonSpace)
	continuation := r.Context[len(text):] + r.Continuation
	head := e.tokenizer.Encode(e.start(text), []byte(text))
	whole := e.tokenizer.Encode(e.start(text), []byte(text+continuation))
	if r.Context == "" && len(whole) > 1 && whole[1] == whole[0] { // the text brings its own
		whole = whole[1:]
	}
	p := pair{whole, len(whole) - len(head)}
	if p.count < 1 || p.count > e.model.Context {
		return p, fmt.Errorf("the continuation %.40q... is %d tokens, of which the model reads 1 to %d", continuation, p.count, e.model.Context)
	}
	return p, nil
}

// start is what stands before a context.
func (e *examinee) start(text string) []uint32 {
	if e.bos || text == "" {
		return []uint32{e.tokenizer.DocumentStart()}
	}
	return nil
}

// isPythonSpace is what str.rstrip of Python takes away.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// lengthStep is what the length of a batch's sequences is rounded up to, so that few kernels have to be chosen.
const lengthStep = 64

// Score gives the likelihoods of continuations; a context that is too long loses its beginning.
func (e *examinee) Score(ctx context.Context, requests []tasks.Request) ([]tasks.Score, error) {
	pairs, longest := make([]pair, len(requests)), 0
	for i, r := range requests {
		p, err := e.encode(r)
		if err != nil {
			return nil, err
		}
		if extra := len(p.ids) - (e.model.Context + 1); extra > 0 {
			p.ids = p.ids[extra:]
		}
		pairs[i], longest = p, max(longest, len(p.ids)-1)
	}
	T := min(e.model.Context, (longest+lengthStep-1)/lengthStep*lengthStep)
	s, err := model.NewScorer(e.model, model.NewTokens(e.batch, T))
	if err != nil {
		return nil, err
	}
	if err := s.Load(e.device); err != nil {
		return nil, err
	}
	defer s.Close()
	loss, rank := make([]float32, e.batch*T), make([]uint32, e.batch*T)
	scores := make([]tasks.Score, 0, len(pairs))
	for batch := range slices.Chunk(pairs, e.batch) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := s.Score(func(_ int, ids, labels []uint32) error {
			fillPairs(batch, T, ids, labels)
			return nil
		}, loss, rank)
		if err != nil {
			return nil, err
		}
		for i, p := range batch {
			x, end := tasks.Score{Greedy: true}, i*T+len(p.ids)-1
			for t := end - p.count; t < end; t++ {
				x.LogLikelihood -= float64(loss[t])
				x.Greedy = x.Greedy && rank[t] == 0
			}
			scores = append(scores, x)
		}
	}
	return scores, nil
}

// fillPairs makes sequences of T tokens of pairs: inputs are all ids but the last, labels those of the continuations.
func fillPairs(batch []pair, T int, ids, labels []uint32) {
	clear(ids)
	for i := range labels {
		labels[i] = compute.Masked
	}
	for i, p := range batch {
		n := len(p.ids) - 1
		copy(ids[i*T:], p.ids[:n])
		copy(labels[i*T+n-p.count:i*T+n], p.ids[len(p.ids)-p.count:])
	}
}

// Write writes the likeliest tokens.
func (e *examinee) Write(ctx context.Context, text string, until []string, tokens int) (string, error) {
	room := e.model.Context - tokens
	if room < 1 {
		return "", fmt.Errorf("max_gen_toks = %d leaves nothing of the model's context of %d tokens for the question; lower it", tokens, e.model.Context)
	}
	if e.generator == nil {
		var err error
		if e.generator, err = model.NewGenerator(e.device, e.model, e.model.Context); err != nil {
			return "", err
		}
	}
	ids := e.tokenizer.Encode(e.start(text), []byte(text))
	ids = ids[max(0, len(ids)-room):]
	var out []byte
	err := e.generator.Generate(ctx, ids, tokens, model.Sampling{}, func(id uint32) bool {
		if slices.Contains(e.tokenizer.Ends(), id) {
			return false
		}
		out = append(out, e.tokenizer.Decode([]uint32{id})...)
		return tasks.Cut(string(out), until) == string(out)
	})
	return strings.ToValidUTF8(string(out), "\ufffd"), err
}
