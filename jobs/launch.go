package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"saltern/compute/vk"
)

// launchCommand starts the ranks of a job on this machine.
func launchCommand() *Command {
	var flags struct {
		ranks, restarts int
		env             listFlag
	}
	return &Command{
		Name:    "launch",
		Usage:   "[-n N] [--restarts N] [--env RANK:NAME=VALUE]... [--] COMMAND [flags] job.toml",
		Summary: "run a command on several ranks of this machine, one for each GPU",
		Help: `Starts N processes, ranks, that do one job together: each has a device of its own, as long as there
are enough, computes its share of every batch, and all add up their gradients. train.batch is that of
all ranks together, so the losses are those of one process, but for the last digits: sums have another
order. The same number of ranks, on devices that are alike, gives the same bits again. Where devices differ, each
takes microbatches by its speed (cluster.shares), and weights keep the same bits on all. With cluster.sync = "local" ranks train apart
and come together once in cluster.local_steps: over slow networks, at some cost in loss.

COMMAND is train, run, compare, label or finetune. Without -n there is one rank for each GPU. On a machine
without one, say how many: they share the processor's threads, unless LP_NUM_THREADS says otherwise.

The GPUs may be of several vendors: ranks take them by PCI address, of those that CUDA_VISIBLE_DEVICES and
the like leave (saltern devices --slurm shows them). --env sets a variable for one rank, where it is to have a
device of its own choice (SALTERN_DEVICE) or a driver of its own (VK_DRIVER_FILES).

With cluster.teachers the last ranks run the teacher ahead of the others, who train from its soft labels,
until it helps no more; then they train too. cluster.roles names others, or with "auto" has those teach
whose devices are too small or too slow to train.

What rank 0 has to say is shown; the others write to logs/rank_R.log in the run folder. A run that was
interrupted goes on with the same command, or with another number of ranks, if train.microbatch is set;
then its losses may differ in their last digits from there. The first rank that fails ends all of them,
and a last line names it; the exit code is that rank's. Where a rank is lost, killed or silent for
cluster.heartbeat seconds, the others save the last step that all have done, one line names it, and the
exit code is 75: start the job again. With cluster.elastic they go on without it, as long as rank 0 lives;
with --restarts another process takes its place, which the others let in after the step under way.
Ctrl-C, SIGTERM and SIGUSR1 ask all ranks to stop: they finish the step under way and save it. A second
Ctrl-C or SIGTERM kills.`,
		Example: `saltern launch train job.toml
saltern launch -n 4 train --set llm.train.batch=64 job.toml
saltern launch -n 2 --env 0:SALTERN_DEVICE=nvidia --env 1:SALTERN_DEVICE=radeon train job.toml
saltern launch -n 4 --restarts 3 train --set cluster.elastic=true job.toml`,
		Exits:     []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, RankLost, SickDevice, Requeue},
		Delegates: true,
		Flags: func(fs *flag.FlagSet) {
			fs.IntVar(&flags.ranks, "n", 0, "start `N` ranks; 0: one for each GPU")
			fs.Var(&flags.env, "env", "set a variable in the environment of one rank: `RANK:NAME=VALUE`; may be repeated")
			fs.IntVar(&flags.restarts, "restarts", 0, "with cluster.elastic, replace a rank that is lost, `N` times in all")
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			job, err := launchedJob(args)
			if err != nil {
				return err
			}
			if flags.ranks < 0 {
				return fail(Usage, "-n %d: there must be at least one rank", flags.ranks)
			}
			if flags.restarts < 0 || flags.restarts > 0 && !job.Cluster.Elastic {
				return fail(Usage, "--restarts %d: ranks are replaced where the others go on meanwhile; set cluster.elastic = true, or leave it out", flags.restarts)
			}
			if flags.restarts > 0 && args[0] == "compare" {
				return fail(Usage, "--restarts %d: compare stops when a rank is lost, and the same command goes on; leave it out", flags.restarts)
			}
			if flags.ranks == 0 {
				if flags.ranks, err = countGPUs(io); err != nil {
					return err
				}
			}
			own, err := rankVariables(flags.env, flags.ranks)
			if err != nil {
				return err
			}
			l, err := newLaunch(io, flags.ranks, args, filepath.Join(job.RunDir, "logs"))
			if err != nil {
				return err
			}
			l.own = own
			l.heartbeat, l.elastic, l.restarts = time.Duration(job.Cluster.Heartbeat*float64(time.Second)), job.Cluster.Elastic, flags.restarts
			return errors.Join(l.run(ctx), os.RemoveAll(l.meeting))
		},
	}
}

// launchedJob is the job of the command that is to be launched, read here so that what is wrong with it is said once.
func launchedJob(args []string) (*Job, error) {
	var able []string
	for _, c := range commands() {
		if c.Ranks != nil {
			able = append(able, c.Name)
		}
	}
	if len(args) == 0 {
		return nil, fail(Usage, "launch takes a command to run on every rank: %s; run: saltern help launch", strings.Join(able, ", "))
	}
	c := find(args[0])
	if c == nil || c.Ranks == nil {
		return nil, fail(Usage, "%q does not run on several ranks; those that do are %s", args[0], strings.Join(able, ", "))
	}
	fs := c.flagSet()
	rest, err := c.parse(fs, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil, fail(Usage, "for help, run: saltern help %s", c.Name)
	} else if err != nil {
		return nil, fail(Usage, "%s: %w", c.Name, err)
	}
	return c.Ranks(rest)
}

// countGPUs is how many GPUs the ranks of this machine take.
func countGPUs(io IO) (int, error) {
	n, err := io.node()
	if err != nil {
		return 0, err
	}
	list, err := n.Choices()
	if err != nil {
		return 0, placeKind(err)
	}
	if list[0].Type == vk.CPU {
		return 0, fail(Usage, "this machine has no GPU; say how many ranks are to share the processor: saltern launch -n 2 ...")
	}
	return len(list), nil
}

// launch is some ranks under way.
type launch struct {
	io      IO
	program string
	args    []string
	logs    string // folder
	meeting string // folder where they find each other
	job     string // names this start of the job
	ranks   []*rankProcess
	ended   chan *rankProcess
	again   chan *rankProcess // to be replaced
	ending  time.Time         // when the others were ended, once one had failed

	own map[int][]string // by rank: what it alone has in its environment, NAME=VALUE

	heartbeat time.Duration // the others know by then that a rank was killed
	elastic   bool          // and go on, as long as the first rank does
	restarts  int           // how many more ranks may be replaced
}

func newLaunch(io IO, n int, args []string, logs string) (*launch, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logs, 0o777); err != nil {
		return nil, err
	}
	meeting, err := os.MkdirTemp("", "saltern-")
	if err != nil {
		return nil, err
	}
	l := &launch{io: io, program: program, args: args, logs: logs, meeting: meeting, job: "launch-" + rand.Text(), ended: make(chan *rankProcess, n), again: make(chan *rankProcess, n)}
	for rank := range n {
		l.ranks = append(l.ranks, &rankProcess{rank: rank, log: filepath.Join(logs, fmt.Sprintf("rank_%d.log", rank))})
	}
	return l, nil
}

// environment is what a rank finds in its environment beside what this process has.
func (l *launch) environment(rank int) []string {
	n := len(l.ranks)
	list := []string{
		fmt.Sprintf("SALTERN_RANK=%d", rank), fmt.Sprintf("SALTERN_WORLD_SIZE=%d", n), fmt.Sprintf("SALTERN_LOCAL_RANK=%d", rank),
		fmt.Sprintf("SALTERN_LOCAL_SIZE=%d", n), "SALTERN_NODE=0", "SALTERN_NODES=1", "SALTERN_RENDEZVOUS=" + l.meeting, "SALTERN_JOB=" + l.job,
	}
	if _, set := l.io.Env("LP_NUM_THREADS"); !set && n > 1 { // Mesa's driver for processors would take all of them for each rank
		list = append(list, fmt.Sprintf("LP_NUM_THREADS=%d", max(1, runtime.NumCPU()/n)))
	}
	return append(list, l.own[rank]...)
}

// rankVariables reads RANK:NAME=VALUE.
func rankVariables(list []string, ranks int) (map[int][]string, error) {
	own := map[int][]string{}
	for _, text := range list {
		number, variable, ok := strings.Cut(text, ":")
		rank, err := strconv.Atoi(number)
		if name, _, set := strings.Cut(variable, "="); !ok || err != nil || !set || name == "" {
			return nil, fail(Usage, "--env %s is not RANK:NAME=VALUE, as in --env 1:SALTERN_DEVICE=radeon", text)
		}
		if rank < 0 || rank >= ranks {
			return nil, fail(Usage, "--env %s: there is no rank %d, only 0 to %d", text, rank, ranks-1)
		}
		own[rank] = append(own[rank], variable)
	}
	return own, nil
}
