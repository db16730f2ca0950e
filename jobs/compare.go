package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"saltern/jobs/compare"
)

// compareCommand compares ways to train.
func compareCommand() *Command {
	var flags compareFlags
	return &Command{
		Name:    "compare",
		Usage:   "[--seeds N] [--arm 'NAME: key=value...']... [--sweep key=value,value]... [--dry-run] [--report] [--set key=value]... [--device D] [--fresh] [--json] job.toml",
		Summary: "compare methods over several seeds, with the controls that tell what a gain comes from",
		Help: `Trains the job's LLM by each method of [compare] with each of several seeds, and by the controls:
BASELINE with a schedule of its own for 70% of the steps, the selected text without a teacher,
label smoothing of the SLM's entropy, and self-distillation. Sweeps vary one key at a time; an
arm is any set of keys: --arm 'weak: slm.train.steps=100'. Then one table and report.html. The
seed decides weights and the order of the data; text, tokenizer and held-out documents are the
same for all. Each seed has an SLM of its own, unless compare.teacher = "shared".

Small models differ from seed to seed by about as much as methods do: look at the differences
to BASELINE of the same seed, and at their intervals.

Every training has a folder in compare/ of the run folder, named after all that decides its
result. Arms that come to the same training share it, and so do comparisons: add arms and seeds
later, and only what is new is trained; what "saltern run" made of the same job counts too.
Interrupt it at any moment: the same command goes on. A training that diverges is reported, and
the others go on. --dry-run lists the trainings, which of them are done, and what the others
will take, as far as those that ended can tell. --report writes table and page of what is done,
also while another process goes on with the comparison.

The microbatch is the largest with which every arm fits the device. A later arm that needs
more memory would make all others anew: set train.microbatch to be sure that it does not.`,
		Example: `saltern compare --dry-run examples/go-source.toml
saltern compare --seeds 5 --sweep distill.kd_steps=40,80,160 job.toml
saltern compare --arm 'sharp: distill.temperature=0.5 distill.weight=0.667' job.toml`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, SickDevice},
		Ranks: flags.job,
		Flags: flags.define,
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			job, err := flags.job(args)
			if err != nil {
				return err
			}
			s, err := openJob(ctx, io, job)
			if err != nil {
				return err
			}
			defer func() { err = s.done(err) }()
			c, err := newComparison(s)
			if err != nil {
				return err
			}
			c.again = flags.command(job.File)
			if flags.fresh && !flags.dry && !flags.report {
				if err := s.ranks.first(ctx, c.remove); err != nil {
					return err
				}
			}
			if err := c.look(); err != nil {
				return err
			}
			if flags.dry {
				return c.plan().Write(io.Out, flags.json)
			}
			var study compare.Study // what the page was written of last
			write := func() (err error) {
				return s.ranks.first(ctx, func() error {
					study, err = c.write(ctx)
					return err
				})
			}
			if flags.report {
				err = write()
			} else if flags.only != "" {
				return c.runSeed(ctx, flags.only)
			} else {
				err = c.run(ctx, write)
			}
			if err != nil {
				return err
			}
			if !s.ranks.leads() {
				return c.failures()
			}
			return errors.Join(studyTable(study).Write(io.Out, flags.json), c.failures())
		},
	}
}

// compareFlags are the flags of compare.
type compareFlags struct {
	runFlags
	seeds       int
	only        string
	sweep, arms listFlag
	dry, report bool
}

func (f *compareFlags) define(fs *flag.FlagSet) {
	fs.IntVar(&f.seeds, "seeds", 0, "run each arm with `N` seeds, instead of compare.seeds")
	fs.StringVar(&f.only, "only-seed", "", "train only what has this `seed`, and write no page: for the tasks of a job array")
	fs.Var(&f.arms, "arm", "another arm, `'NAME: key=value...'`, beside those of compare.arms; may be given more than once")
	fs.Var(&f.sweep, "sweep", "another sweep, `key=value,value...`, beside those of compare.sweep; may be given more than once")
	fs.BoolVar(&f.dry, "dry-run", false, "list the trainings and what they will take; train nothing")
	fs.BoolVar(&f.report, "report", false, "write the table and the page of what is done up to now; train nothing")
	f.runFlags.define(fs, "the comparison's models")
}

// job is the job with what the flags say of [compare]. Every arm is known to be one.
func (f *compareFlags) job(args []string) (*Job, error) {
	job, err := f.runFlags.job("compare", args)
	if err != nil {
		return nil, err
	}
	if f.seeds != 0 {
		job.Compare.Seeds = f.seeds
	}
	job.Compare.Arms, job.Compare.Sweep = append(job.Compare.Arms, f.arms...), append(job.Compare.Sweep, f.sweep...)
	var wrong []string
	job.Compare.check(func(key, message string) { wrong = append(wrong, job.File+": compare: "+message) })
	if len(wrong) > 0 {
		return nil, &Error{BadConfig, errors.New(strings.Join(wrong, "\n"))}
	}
	arms, err := job.arms()
	for i := 0; i < len(arms) && err == nil; i++ {
		_, err = arms[i].job(job)
	}
	return job, err
}

// command is the command line that the flags were on.
func (f *compareFlags) command(file string) string {
	words := []string{"saltern compare"}
	if f.seeds != 0 {
		words = append(words, fmt.Sprint("--seeds ", f.seeds))
	}
	for _, list := range []struct {
		name   string
		values listFlag
	}{{"arm", f.arms}, {"sweep", f.sweep}, {"set", f.sets}} {
		for _, v := range list.values {
			words = append(words, "--"+list.name+" "+shellWord(v))
		}
	}
	return strings.Join(append(words, shellWord(file)), " ")
}

// shellWord is a word of a command as a shell takes it.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-=/,:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// write writes the page of what is known up to now into the comparison's folder.
func (c *comparison) write(ctx context.Context) (compare.Study, error) {
	study, err := c.study(context.WithoutCancel(ctx))
	if err != nil {
		return study, err
	}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return study, err
	}
	path, err := writePages(c.dir, compare.Report(study))
	if err == nil {
		c.s.say("report: %s", path)
	}
	return study, err
}

// state says what has become of a training.
func (t *compared) state() string {
	switch {
	case t.outcome != nil:
		return "done"
	case t.failed != nil && KindOf(t.failed) == Diverged:
		return "diverged"
	case t.failed != nil:
		return "failed"
	}
	return "to do"
}

// plan lists the trainings, in the order in which they run.
func (c *comparison) plan() Table {
	t := Table{Columns: []Column{
		{Key: "training", Title: "training"}, {Key: "folder", Title: "folder"}, {Key: "arms", Title: "for the arms"}, {Key: "steps", Title: "steps"},
		{Key: "state", Title: "state"}, {Key: "tflops", Title: "compute", Unit: "TFLOP", Format: "%.4g"}, {Key: "seconds", Title: "time", Unit: "s", Format: "%.0f"},
		{Key: "tflops_left", Title: "to go", Unit: "TFLOP", Format: "%.4g"}, {Key: "time_left", Title: "to go", Unit: "about"},
	}}
	add := func(name, folder, arms string, steps any, state string, flops, seconds, flopsLeft, secondsLeft float64) {
		row := []any{name, folder, arms, steps, state, flops / 1e12, seconds, flopsLeft / 1e12, nil}
		if seconds == 0 {
			row[6] = nil
		}
		if secondsLeft > 0 {
			row[8] = time.Duration(secondsLeft * float64(time.Second)).Round(time.Second).String()
		}
		t.Rows = append(t.Rows, row)
	}
	var flops, seconds, flopsLeft, secondsLeft float64
	for _, x := range c.order {
		f, took := x.modelFLOPs(), 0.0
		if x.outcome != nil {
			f, took = x.outcome.FLOPs, x.outcome.Seconds
		}
		toGo, left := c.toGo(x)
		arms := strings.Join(x.arms[:min(3, len(x.arms))], ", ")
		if more := len(x.arms) - 3; more > 0 {
			arms += fmt.Sprintf(" and %d more", more)
		}
		add(x.label, filepath.Base(x.dir), arms, x.Train.Steps, x.state(), f, took, toGo, left)
		flops, seconds, flopsLeft, secondsLeft = flops+f, seconds+took, flopsLeft+toGo, secondsLeft+left
	}
	add("all", "", "", nil, "", flops, seconds, flopsLeft, secondsLeft)
	return t
}
