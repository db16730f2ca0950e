package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"saltern/jobs/metrics"
	"saltern/jobs/watch"
)

// watchCommand shows a job while it runs.
func watchCommand() *Command {
	var flags struct {
		once     bool
		interval time.Duration
	}
	return &Command{
		Name:    "watch",
		Usage:   "[--once] [--interval D] [run folder or job.toml]",
		Summary: "look at a job while it runs, or afterwards: loss, speed, ranks, log",
		Help: `Shows a run as a picture that changes: the training loss, smoothed, and the held-out loss,
BASELINE's beside it where there is one; the last lines of the log. q or Ctrl-C ends the picture and
leaves the job as it is. A job that has ended is shown as it was, and the command ends.

Name a run folder, or the job file that it belongs to; without either it is the newest run in runs/.
Where nothing has begun yet, it waits.

How to read it. Stage 1 is while the teacher helps; w is its weight in the loss; tau, with transition
"auto", says whom the text sides with: 1 the teacher, 0 the student. The number behind BASELINE's
held-out loss is how much this training's is above it at the same step: below 0 is better. MFU is the
share of the device's own best matrix product. In the table of ranks a step's time holds what the rank
waited for others: the slow one is who waits least. It stands out when its own part takes 1.25 times
the median, when it is steps behind, or when it has been silent for 5 s.

What is shown comes from the files of the run folder, which are read and nothing more: a login node
that sees the folder is enough. The table of ranks, with bytes on the wire, comes from the ranks of
a job that runs, for the user who runs it, on a machine that reaches rank 0's node; how to reach
them stands in watch.json in the run folder, which is that user's alone.

Where the output is no terminal, it is one plain line per interval. --once prints one picture, of
COLUMNS by LINES (80 by 24), which is what to put into a script or a mail.`,
		Example: `saltern watch
saltern watch runs/go-source
COLUMNS=120 LINES=40 saltern watch --once job.toml > picture.txt`,
		Exits: []Kind{BadConfig},
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&flags.once, "once", false, "print one picture and end")
			fs.DurationVar(&flags.interval, "interval", 0, "look at the files, or print a line, every `D`, as 2s or 1m; 0: 1s on a terminal, else 10s")
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			if flags.interval != 0 && flags.interval < 100*time.Millisecond {
				return fail(Usage, "--interval %v is too short; use 100ms or more", flags.interval)
			}
			dir, err := watched(args)
			if err != nil {
				return err
			}
			return watch.Run(ctx, watch.Options{
				Dir: dir, Last: lastTraining(dir), Once: flags.once, Interval: flags.interval, In: io.In, Out: io.Out, Env: io.Env,
			})
		},
	}
}

// watched is the run folder that the arguments mean.
func watched(args []string) (string, error) {
	switch len(args) {
	case 0:
		return newestRun("runs")
	case 1:
	default:
		return "", fail(Usage, "watch takes one run folder or job file, not %d arguments; run: saltern help watch", len(args))
	}
	info, err := os.Stat(args[0])
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fail(Usage, "there is no %s%s", args[0], otherRuns(args[0]))
	case err != nil:
		return "", err
	case !info.IsDir():
		job, err := ReadConfig(args[0], nil)
		if err != nil {
			return "", err
		}
		return job.RunDir, nil
	case exists(os.DirFS(args[0]), "training.toml"): // one of a run's trainings
		return filepath.Dir(filepath.Clean(args[0])), nil
	}
	return args[0], nil
}

// otherRuns says which runs there are.
func otherRuns(asked string) string {
	runs, _ := filepath.Glob(filepath.Join("runs", "*"))
	if len(runs) == 0 {
		return "; give a run folder or a job file"
	}
	if n := nearest(asked, runs); n != "" {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	slices.Sort(runs)
	more := ""
	if len(runs) > 8 {
		runs, more = runs[:8], ", ..."
	}
	return "; there are " + strings.Join(runs, ", ") + more
}

// newestRun is the folder in root where something was written last.
func newestRun(root string) (string, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	found := ""
	var at time.Time
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		for _, pattern := range []string{"job.toml", "*/" + metrics.Name, "*/training.toml", "compare/*/" + metrics.Name} {
			files, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, file := range files {
				if info, err := os.Stat(file); err == nil && (found == "" || info.ModTime().After(at)) {
					found, at = dir, info.ModTime()
				}
			}
		}
	}
	if found == "" {
		return "", fail(Usage, "there is no run in %s yet; give a run folder or a job file, or begin with: saltern run job.toml", root)
	}
	return found, nil
}

// lastTraining is the folder of the training that a run ends with, by the job file in its folder; empty where that cannot be told.
func lastTraining(dir string) string {
	job, err := ReadConfig(filepath.Join(dir, "job.toml"), nil)
	if err != nil {
		return ""
	}
	return job.student("").name
}
