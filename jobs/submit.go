package jobs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"saltern/cluster"
	"saltern/distill"
	"saltern/slurm"
)

// submitFlags are what saltern submit asks of the queue.
type submitFlags struct {
	sets                              listFlag
	nodes, gpus, tasks, cpus          int
	teacherNodes, teacherGPUs         int
	teacherTasks, grace               int
	time, partition, account, program string
	teacherPartition, teacherProgram  string
	seeds                             string
	options, teacherOptions           listFlag
	chain, dryRun                     bool
}

func (f *submitFlags) define(fs *flag.FlagSet) {
	setFlag(fs, &f.sets)
	fs.IntVar(&f.nodes, "nodes", 1, "nodes")
	fs.IntVar(&f.gpus, "gpus-per-node", 0, "GPUs of each node; 0 asks for none")
	fs.IntVar(&f.tasks, "tasks-per-node", 0, "ranks of each node; 0 is one for each GPU, or one")
	fs.IntVar(&f.cpus, "cpus-per-task", 0, "CPUs of each rank; 0 leaves it to the site")
	fs.StringVar(&f.time, "time", "", "time `limit`, as 12:00:00; empty is the partition's")
	fs.IntVar(&f.grace, "grace", 120, "seconds before the limit at which the ranks save and stop, and the job is queued again; 0: never")
	fs.StringVar(&f.partition, "partition", "", "`partition` of the queue")
	fs.StringVar(&f.account, "account", "", "`account` that pays")
	fs.Var(&f.options, "sbatch", "another `option` of sbatch, as --qos=high; may be given more than once")
	fs.IntVar(&f.teacherNodes, "teacher-nodes", 0, "nodes of another kind, for teacher ranks: a heterogeneous job")
	fs.IntVar(&f.teacherGPUs, "teacher-gpus-per-node", 0, "GPUs of each of them")
	fs.IntVar(&f.teacherTasks, "teacher-tasks-per-node", 0, "ranks of each of them; 0 is one for each GPU, or one")
	fs.StringVar(&f.teacherPartition, "teacher-partition", "", "`partition` of theirs")
	fs.StringVar(&f.teacherProgram, "teacher-program", "", "the `saltern` that they run, as a script that enters a container with their driver; empty is that of the others")
	fs.Var(&f.teacherOptions, "teacher-sbatch", "another `option` of sbatch for them; may be given more than once")
	fs.StringVar(&f.seeds, "seeds", "", "run \"saltern compare\" with these `seeds`, as 1-3, one task of a job array each, and then the comparison")
	fs.BoolVar(&f.chain, "chain", false, "one job for each step: prepare, train the SLM, score or label, train the LLM; each waits for the one before")
	fs.StringVar(&f.program, "program", "", "the `saltern` that the nodes run; empty is this one")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the scripts; submit nothing")
}

// submitCommand puts a job into Slurm's queue.
func submitCommand() *Command {
	var flags submitFlags
	return &Command{
		Name:    "submit",
		Usage:   "[--nodes N] [--gpus-per-node N] [--time LIMIT] [--chain] [--seeds LIST] [--dry-run] [--set key=value]... job.toml",
		Summary: "put a job into Slurm's queue: one script, a chain of them, or an array of seeds",
		Help: `Writes a batch script for sbatch, with a word on every line that is not plain, and submits it. The
job file is checked first. --dry-run prints the script and submits nothing: keep it, change it,
sbatch it yourself.

The job is "saltern run" with one rank on each GPU; without GPUs, one on each node, on its CPU.
--chain makes one job of each step, so that what needs no GPU does not hold any, and a step that
fails leaves those that are done: its log says which step failed, and Slurm removes the rest.
--seeds runs "saltern compare", a seed in each task of a job array, and joins the results.
--teacher-nodes asks for nodes of another kind in the same job, whose ranks are the teachers, unless cluster.roles
says otherwise: with "auto" they are those whose devices are too small or too slow to train.

Two minutes before the time limit (--grace) all ranks finish their step and save; the job is put
back into the queue and goes on from there, as often as it takes.

The log is slurm-*.out where you submitted; the run folder has a link to it.`,
		Example: `saltern submit --nodes 4 --gpus-per-node 8 --time 12:00:00 --dry-run job.toml
saltern submit --chain --gpus-per-node 1 --time 2:00:00 --partition gpu job.toml
saltern submit --seeds 1-3 --gpus-per-node 1 job.toml`,
		Exits: []Kind{BadConfig},
		Flags: flags.define,
		Run: func(ctx context.Context, io IO, args []string) error {
			job, err := jobArgument("submit", args, flags.sets)
			if err != nil {
				return err
			}
			list, err := flags.queue(job, args[0])
			if err != nil {
				return err
			}
			if flags.dryRun {
				for i, j := range list {
					if i > 0 {
						fmt.Fprintf(io.Out, "\n# ---- the next job, submitted with --dependency=afterok on the one above ----\n\n")
					}
					fmt.Fprint(io.Out, j.Script())
				}
				return nil
			}
			return submit(ctx, io, job, list)
		},
	}
}

// queue lists the jobs that come of a job file, in the order in which they wait for each other.
func (f *submitFlags) queue(job *Job, file string) ([]slurm.Job, error) {
	if err := f.check(job); err != nil {
		return nil, err
	}
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	program := f.program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	arguments := func(command ...string) []string {
		for _, s := range f.sets {
			command = append(command, "--set", s)
		}
		return append(command, file)
	}
	list := f.steps(job, arguments)
	for i := range list {
		j := &list[i]
		j.Program, j.Folder, j.Time, j.Grace, j.Elastic = program, folder, f.time, f.grace, job.Cluster.Elastic
		j.Options = f.common()
		j.Run = job.Config.RunDir
		if len(list) > 1 {
			j.Link = fmt.Sprintf("%d of %d", i+1, len(list))
		}
	}
	return list, nil
}

func (f *submitFlags) check(job *Job) error {
	for name, n := range map[string]int{"nodes": f.nodes - 1, "gpus-per-node": f.gpus, "tasks-per-node": f.tasks, "cpus-per-task": f.cpus, "grace": f.grace,
		"teacher-nodes": f.teacherNodes, "teacher-gpus-per-node": f.teacherGPUs, "teacher-tasks-per-node": f.teacherTasks} {
		if n < 0 {
			return fail(Usage, "submit: --%s is too small; run: saltern help submit", name)
		}
	}
	switch {
	case f.chain && f.seeds != "":
		return fail(Usage, "submit: --chain and --seeds are two ways to split a job; use one of them")
	case f.seeds != "" && strings.Trim(f.seeds, "0123456789-,%") != "":
		return fail(Usage, "submit: --seeds %s is no list of an array's tasks, as 1-3 or 1,4,5", f.seeds)
	case f.teacherNodes > 0 && !job.Distill.NeedsSLM() && job.Distill.Method == "baseline":
		return fail(Usage, `submit: --teacher-nodes %d: method = "baseline" has no teacher`, f.teacherNodes)
	case f.seeds != "" && job.Compare.Teacher == "shared":
		return fail(Usage, `submit: --seeds with compare.teacher = "shared": the seeds would wait for one SLM; let each have its own, or sbatch "saltern compare" as one job`)
	case f.teacherNodes > 0 && f.seeds != "":
		return fail(Usage, "submit: --seeds with --teacher-nodes: Slurm has no arrays of heterogeneous jobs; submit each seed with --set seed=N")
	}
	return nil
}

// common are the options of sbatch for every job.
func (f *submitFlags) common() (list []string) {
	if f.account != "" {
		list = append(list, "--account="+f.account)
	}
	return list
}

func ranksOf(tasks, gpus int) int {
	switch {
	case tasks > 0:
		return tasks
	case gpus > 0:
		return gpus
	}
	return 1
}

// students are the nodes that train.
func (f *submitFlags) students() slurm.Group {
	g := slurm.Group{Nodes: f.nodes, Tasks: ranksOf(f.tasks, f.gpus), GPUs: f.gpus, CPUsPerTask: f.cpus}
	if f.partition != "" {
		g.Options = append(g.Options, "--partition="+f.partition)
	}
	g.Options = append(g.Options, f.options...)
	return g
}

// teachers are the nodes that teach.
func (f *submitFlags) teachers() slurm.Group {
	g := slurm.Group{Nodes: f.teacherNodes, Tasks: ranksOf(f.teacherTasks, f.teacherGPUs), GPUs: f.teacherGPUs, CPUsPerTask: f.cpus, Program: f.teacherProgram}
	if p := either(f.teacherPartition, f.partition); p != "" {
		g.Options = append(g.Options, "--partition="+p)
	}
	g.Options = append(g.Options, f.teacherOptions...)
	return g
}

// steps are the jobs with their nodes and commands.
func (f *submitFlags) steps(job *Job, arguments func(...string) []string) []slurm.Job {
	all := []slurm.Group{f.students()}
	teachers := []string(nil)
	if f.teacherNodes > 0 {
		g := f.teachers()
		if all = append(all, g); job.Cluster.Roles == cluster.RolesLast { // else the job says who teaches
			teachers = []string{"--set", fmt.Sprintf("cluster.teachers=%d", g.Nodes*g.Tasks)}
		}
	}
	one := f.students()
	one.Nodes, one.Tasks = 1, 1
	text := one
	text.GPUs = 0 // a tokenizer needs none
	step := func(name, what string, groups []slurm.Group, command ...string) slurm.Job {
		return slurm.Job{Name: job.Config.Name + "-" + name, What: what, Groups: groups, Command: arguments(command...)}
	}
	switch {
	case f.seeds != "":
		seeds := step("seeds", "train each method with one seed, in each task of the array", []slurm.Group{f.students()}, "compare", "--only-seed", slurm.TaskID)
		seeds.Array = f.seeds
		return []slurm.Job{
			step("prepare", "prepare the text", []slurm.Group{text}, "prepare"),
			seeds,
			step("compare", "join the seeds to one comparison", []slurm.Group{one}, "compare", "--report"),
		}
	case !f.chain:
		run := step("run", "the whole job: text, SLM, LLM with and without its help, comparison", all, append([]string{"run"}, teachers...)...)
		run.Name = job.Config.Name
		return []slurm.Job{run}
	}
	students := []slurm.Group{f.students()}
	list := []slurm.Job{step("prepare", "prepare the text", []slurm.Group{text}, "prepare")}
	if job.Distill.NeedsSLM() {
		list = append(list, step("slm", "train the SLM", students, "train", "--only", "slm"))
	}
	if job.Distill.Teacher == distill.Self {
		list = append(list, step("baseline", "train BASELINE, which is the teacher", students, "train", "--only", "baseline"))
	}
	if job.Distill.Method == "salt-ds" {
		list = append(list, step("score", "have the early SLM judge the candidates", []slurm.Group{one}, "score"))
	}
	if job.Distill.Offline() {
		list = append(list, step("label", "write the teacher's soft labels", []slurm.Group{one}, "label"))
	}
	return append(list, step("run", "train the LLM with and without help, compare", all, append([]string{"run"}, teachers...)...))
}

// submit hands the jobs to sbatch, each to wait for the one before, and says how to watch them.
func submit(ctx context.Context, io IO, job *Job, list []slurm.Job) error {
	if _, err := exec.LookPath("sbatch"); err != nil {
		return fail(Failed, "there is no sbatch here: submit from a login node of the cluster, or see the scripts with --dry-run")
	}
	var ids []string
	for i, j := range list {
		args := []string{"--parsable"}
		if i > 0 {
			args = append(args, "--dependency=afterok:"+ids[i-1], "--kill-on-invalid-dep=yes")
		}
		cmd := exec.CommandContext(ctx, "sbatch", args...)
		cmd.Stdin = strings.NewReader(j.Script())
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			err = fail(Failed, "sbatch refused job %d of %d, %s: %s", i+1, len(list), j.Name, either(strings.TrimSpace(said.String()), err.Error()))
			if i > 0 {
				err = errors.Join(err, fmt.Errorf("those before it are queued; to take them back: scancel %s", strings.Join(ids, " ")))
			}
			return err
		}
		id, _, _ := strings.Cut(strings.TrimSpace(string(out)), ";")
		ids = append(ids, id)
		fmt.Fprintf(io.Out, "%s  %s: %s\n", id, j.Name, j.What)
	}
	fmt.Fprintf(io.Out, "\nlogs: slurm-*.out here, and in %s\nqueue: squeue --me\nstop: scancel %s\n", job.Config.RunDir, strings.Join(ids, " "))
	return nil
}
