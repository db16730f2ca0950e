package jobs

import (
	"context"
	"errors"
	"flag"

	"saltern/model/corpus"
)

// selectCommand shows what a rule selects of text that was scored.
func selectCommand() *Command {
	var flags struct {
		sets listFlag
		json bool
	}
	return &Command{
		Name:    "select",
		Usage:   "[--set key=value]... [--json] job.toml",
		Summary: "show what a rule selects of the scored text: scores, sources, examples",
		Help: `Ranks the candidates that "saltern score" judged, by the rule of [select]: top_k, masked and keep
can be changed by --set without scoring again. Shows how the scores are distributed and what
was kept of them, what share of each source was kept, and a few texts from both sides of the
line. It needs no GPU and writes nothing: method "salt-ds" makes the same selection from
the same scores and rule when it trains.

A source is what lies first below the folder that holds all files of the corpus.`,
		Example: `saltern select job.toml
saltern select --set select.top_k=50 --set select.masked=drop job.toml`,
		Exits: []Kind{BadConfig, BadData},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			jsonFlag(fs, &flags.json)
		},
		Run: func(_ context.Context, io IO, args []string) (err error) {
			job, err := jobArgument("select", args, flags.sets)
			if err != nil {
				return err
			}
			if err := job.needsSLM(); err != nil {
				return err
			}
			set, err := corpus.Open(job.corpusDir())
			if err != nil {
				return &Error{BadData, err}
			}
			defer func() { err = errors.Join(err, set.Close()) }()
			c := scoring{dir: job.scoreDir()}
			sel, err := selectFrom(c.file(), set, job.LLM.Train.Sequence, job.Select)
			if err != nil {
				return err
			}
			view, err := sel.view(set, job.Select)
			if err != nil {
				return err
			}
			return view.write(io.Out, flags.json)
		},
	}
}
