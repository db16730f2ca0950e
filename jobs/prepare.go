package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"saltern/jobs/progress"
	"saltern/model/corpus"
)

// prepareCommand makes tokens of a job's text.
func prepareCommand() *Command {
	var flags struct {
		sets   listFlag
		export string
		json   bool
	}
	return &Command{
		Name:    "prepare",
		Usage:   "[--set key=value]... [--export nanogpt] [--json] job.toml",
		Summary: "make token shards of a job's text, with a tokenizer trained on it",
		Help: `Reads the sources of [corpus], drops duplicates, keeps some documents out of training, trains
the tokenizer (or takes tokenizer.file), and writes the token shards into the folder corpus
of the run folder. "saltern run" and "saltern train" do this by themselves; use it to see
what the text amounts to, and on a cluster, once, before the job is queued. It needs no GPU.

What is there already, from the same settings and files, is kept. The folder is complete or
not there: it can be interrupted at any moment, and goes on with the shards that it had.

llm.c reads the shards as they are. --export nanogpt also writes nanogpt/train.bin and
nanogpt/val.bin in the run folder, as nanoGPT's train.py reads them.`,
		Example: `saltern prepare examples/go-source.toml
saltern prepare --set corpus.max_bytes=1000000 --json job.toml`,
		Exits: []Kind{BadConfig, BadData, DiskFull, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			fs.StringVar(&flags.export, "export", "", "also write the tokens in this `form`: nanogpt")
			jsonFlag(fs, &flags.json)
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			if flags.export != "" && flags.export != "nanogpt" {
				return fail(Usage, "--export is nanogpt, not %q; llm.c reads the shards of the folder corpus as they are", flags.export)
			}
			job, err := jobArgument("prepare", args, flags.sets)
			if err != nil {
				return err
			}
			if err := writeResolved(job); err != nil {
				return err
			}
			m, err := prepareCorpus(ctx, io, job)
			if err != nil {
				return err
			}
			if flags.export != "" {
				if err := exportCorpus(job); err != nil {
					return err
				}
			}
			if err := corpusTable(m).Write(io.Out, flags.json); err != nil {
				return err
			}
			_, err = fmt.Fprintf(io.Err, "prepared: %s, vocabulary %d\n", job.corpusDir(), m.VocabSize)
			return err
		},
	}
}

// corpusDir is where the job's prepared text lies.
func (j *Job) corpusDir() string { return filepath.Join(j.RunDir, "corpus") }

// exportCorpus writes the job's prepared text for nanoGPT.
func exportCorpus(job *Job) (err error) {
	set, err := corpus.Open(job.corpusDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	return set.ExportNanoGPT(filepath.Join(job.RunDir, "nanogpt"))
}

// prepareCorpus makes the job's token shards, or finds them made. What is wrong with text or tokenizer is a BadData.
func prepareCorpus(ctx context.Context, io IO, job *Job) (*corpus.Manifest, error) {
	p := stages{meter: newMeter(io, 0)}
	m, err := corpus.Prepare(ctx, job.Corpus, job.Tokenizer, job.corpusDir(), func(stage string, done, total int64) {
		p.update(time.Now(), stage, done, total)
	})
	p.done()
	if err != nil {
		switch KindOf(err) { // a full disk has a kind of its own
		case Failed:
			err = &Error{BadData, err}
		case Interrupted:
			err = fmt.Errorf("preparing the text stopped; the same command goes on with what is kept of it: %w", err)
		}
		return nil, err
	}
	return m, nil
}

// stages shows the progress of one stage after the other.
type stages struct {
	meter *progress.Meter
	start time.Time // of the stage under way
	last  progress.Sample
}

func (p *stages) update(now time.Time, stage string, done, total int64) {
	if stage != p.last.Unit {
		p.done()
		p.start = now
	}
	p.last = progress.Sample{Unit: stage, Done: done, Total: total, Left: progress.Left(now.Sub(p.start), done, total-done)}
	p.meter.Update(now, p.last)
}

// done lets the line of the stage under way stand.
func (p *stages) done() {
	if p.last.Unit != "" {
		p.last.Left = 0
		p.meter.Done(p.last)
	}
}

// corpusTable says what was read, what was made of it, and what was left out.
func corpusTable(m *corpus.Manifest) Table {
	t := Table{Columns: []Column{
		{Key: "part", Title: "part"}, {Key: "files", Title: "files"}, {Key: "documents", Title: "documents"}, {Key: "bytes", Title: "bytes"},
		{Key: "tokens", Title: "tokens"}, {Key: "bytes_per_token", Title: "bytes per token", Format: "%.3f"},
	}}
	add := func(part string, values ...any) { t.Rows = append(t.Rows, append([]any{part}, values...)) }
	part := func(name string, p corpus.Part) { add(name, nil, p.Documents, p.Bytes, p.Tokens, p.BytesPerToken()) }
	add("read", m.Files, nil, m.FileBytes, nil, nil)
	add("skipped, as not text", m.BinaryFiles, nil, nil, nil, nil)
	add("duplicates, dropped", nil, m.Duplicates, nil, nil, nil)
	add("empty, dropped", nil, m.Empty, nil, nil, nil)
	add("beyond max_bytes", nil, m.Unused, nil, nil, nil)
	part("held out", m.HeldOut)
	part("for training", m.Train)
	return t
}
