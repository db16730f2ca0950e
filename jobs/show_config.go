package jobs

import (
	"context"
	"flag"
)

// configCommand shows a resolved job.
func configCommand() *Command {
	var flags struct {
		sets listFlag
		json bool
	}
	return &Command{
		Name:    "config",
		Usage:   "[--set key=value]... [--json] job.toml",
		Summary: "check a job file and show every value that it leads to",
		Help: `Reads the job file, lays --set over it, fills in presets and defaults, and checks the whole.
When something is wrong, every problem is listed at once, each with file:line:column.
Otherwise the resolved job is printed as TOML that gives the same job again; behind each
value stands where it came from: a place in the job file, --set, a preset, or a default.

Use it before a long job is queued, and to see what a preset holds. It needs no GPU and
writes nothing. For the keys and what they mean: saltern help job-file.`,
		Example: `saltern config job.toml
saltern config --set llm.train.steps=10 --set distill.method=baseline job.toml`,
		Exits: []Kind{BadConfig},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			jsonFlag(fs, &flags.json)
		},
		Run: func(_ context.Context, io IO, args []string) error {
			job, err := jobArgument("config", args, flags.sets)
			if err != nil {
				return err
			}
			if flags.json {
				return job.table().Write(io.Out, true)
			}
			return job.WriteTOML(io.Out)
		},
	}
}

// setFlag defines --set, which every command that reads a job file has.
func setFlag(fs *flag.FlagSet, sets *listFlag) {
	fs.Var(sets, "set", "override one `key=value` of the job file, as llm.train.steps=10; may be given more than once")
}

// jsonFlag defines --json, which every command that shows a Table has.
func jsonFlag(fs *flag.FlagSet, json *bool) {
	fs.BoolVar(json, "json", false, "write JSON, whose keys stay the same from version to version")
}

// jobArgument reads the job file that is a command's only argument.
func jobArgument(command string, args []string, sets []string) (*Job, error) {
	if len(args) != 1 {
		return nil, fail(Usage, "%s takes one job file, not %d arguments; run: saltern help %s", command, len(args), command)
	}
	return ReadConfig(args[0], sets)
}

// runFlags are those of every command that works on a job's run folder with a device.
type runFlags struct {
	sets        listFlag
	device      string
	listen      string // address for Prometheus; empty: none
	fresh, json bool
}

// define defines them; remove says what --fresh removes.
func (f *runFlags) define(fs *flag.FlagSet, remove string) {
	setFlag(fs, &f.sets)
	deviceFlag(fs, &f.device)
	fs.StringVar(&f.listen, "metrics-listen", "", "show the last step's metrics to Prometheus at this `address`, such as :9100, under /metrics")
	fs.BoolVar(&f.fresh, "fresh", false, "begin anew: remove "+remove+" first")
	jsonFlag(fs, &f.json)
}

// job reads the job file that is the command's only argument.
func (f *runFlags) job(command string, args []string) (*Job, error) {
	job, err := jobArgument(command, args, f.sets)
	if err != nil {
		return nil, err
	}
	job.Config.Device, job.listen = either(f.device, job.Config.Device), f.listen
	return job, nil
}

// table lists every key of the job with its value and origin.
func (j *Job) table() Table {
	t := Table{Columns: []Column{
		{Key: "key", Title: "key"}, {Key: "value", Title: "value"}, {Key: "origin", Title: "from"},
	}}
	for _, l := range leafList() {
		if !j.unused(l) {
			t.Rows = append(t.Rows, []any{l.key, l.value(&j.Config), j.Origin(l.key)})
		}
	}
	return t
}
