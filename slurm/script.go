package slurm

import (
	"cmp"
	"fmt"
	"strings"
)

// Group is one kind of nodes that a job asks for. A job with more than one is heterogeneous; its ranks count through all of
// them, in their order.
type Group struct {
	Nodes       int
	Tasks       int    // ranks of a node
	GPUs        int    // of a node; 0: none is asked for
	CPUsPerTask int    // 0: Slurm's own choice
	Program     string // saltern as these nodes start it; empty: the job's Program

	// Options are further ones of sbatch, as "--partition=small".
	Options []string
}

// Job is one job of the queue: a saltern command on some nodes.
type Job struct {
	Name string // in the queue
	What string // what it does, for people
	Link string // which of how many jobs that wait for each other it is, as "2 of 5"; empty: it stands alone

	Groups  []Group
	Time    string   // limit, as Slurm writes it; empty: the partition's
	Options []string // of sbatch, for all groups
	Array   string   // the ids of an array's tasks, as "1-3"; empty: no array
	Run     string   // folder that is to have a link to the log, which lies where sbatch was called; it need not be there yet; empty: none
	Elastic bool     // ranks may go on without one that is lost
	Grace   int      // seconds before the limit at which the ranks are told to save and stop; 0: they are not

	Program string   // saltern, by its whole path
	Command []string // and its arguments; TaskID among them is an array's task id
	Folder  string   // where it runs
}

// Script is the job's batch script, with a word on everything that is not plain.
func (j Job) Script() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/bash")
	line("# %s", j.What)
	line("#SBATCH --job-name=%s", quote(j.Name))
	line("#SBATCH --open-mode=append     # after a requeue the log goes on")
	if j.Time != "" {
		line("#SBATCH --time=%s", j.Time)
	}
	if j.Grace > 0 {
		line("#SBATCH --signal=USR1@%-8d # so many seconds before the limit: finish the step, save, stop", j.Grace)
		line("#SBATCH --requeue              # the job may be put back into the queue, where it goes on from what was saved")
	}
	if j.Array != "" {
		line("#SBATCH --array=%s", j.Array)
	}
	for i, g := range j.Groups {
		if i > 0 {
			line("#SBATCH hetjob                 # what follows is for other nodes of the same job")
		}
		line("#SBATCH --nodes=%d", g.Nodes)
		line("#SBATCH --ntasks-per-node=%-5d # one rank each", g.Tasks)
		if g.GPUs > 0 {
			line("#SBATCH --gpus-per-node=%d", g.GPUs)
		}
		if g.CPUsPerTask > 0 {
			line("#SBATCH --cpus-per-task=%d", g.CPUsPerTask)
		}
		for _, o := range append(append([]string(nil), j.Options...), g.Options...) {
			line("#SBATCH %s", quote(o))
		}
	}
	line("")
	line("cd %s || exit", quote(j.Folder))
	if j.Run != "" {
		line(`mkdir -p %s && ln -sf "$SLURM_SUBMIT_DIR/%s" %[1]s # so that the log is found in the run folder too`, quote(j.Run), j.log())
	}
	line("")
	line("# No MPI is needed: the ranks find each other by SLURM_* and a file in the run folder. When one fails, the others stop by")
	line("# themselves and say so; --wait ends whatever might be left of them, 0 nothing.")
	line("srun --mpi=none --kill-on-bad-exit=0 --wait=%d %s", j.wait(), j.tasks())
	line("code=$?")
	line("")
	line("# 75: time is up or a rank is lost, all is saved, there is more to do. 137: so it is, but srun says that a process was killed; one that is")
	line("# killed soon after each start, for want of memory say, is not tried for ever.")
	line(`if [ $code -eq 75 ] || { [ $code -eq 137 ] && { [ $SECONDS -ge 600 ] || [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; }; }; then`)
	line(`	scontrol requeue "$SLURM_JOB_ID" && sleep 60 && exit $code # in the meantime Slurm ends this script`)
	line("fi")
	if j.Link != "" {
		line("if [ $code -ne 0 ]; then")
		line("	echo %s >&2", strings.ReplaceAll(quote("job "+j.Link+", "+j.Name+", failed with exit code CODE; those that wait for it are not started"), "CODE", `'"$code"'`))
		line("fi")
	}
	line("exit $code")
	return b.String()
}

// log is the file that Slurm writes where nothing else is asked for, as the shell sees it.
func (j Job) log() string {
	if j.Array != "" {
		return "slurm-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID.out"
	}
	return "slurm-$SLURM_JOB_ID.out"
}

// wait is how many seconds after the first task has ended srun ends the others; 0: it does not.
func (j Job) wait() int {
	if j.Elastic {
		return 0
	}
	return 120
}

// tasks is what srun starts: the command, for each group of a heterogeneous job.
func (j Job) tasks() string {
	var parts []string
	for i, g := range j.Groups {
		options := ""
		if len(j.Groups) > 1 {
			options = fmt.Sprintf("--het-group=%d ", i)
		}
		if g.CPUsPerTask > 0 { // which srun does not take from the job
			options += fmt.Sprintf("--cpus-per-task=%d ", g.CPUsPerTask)
		}
		parts = append(parts, options+quoteAll(append([]string{cmp.Or(g.Program, j.Program)}, j.Command...)))
	}
	return strings.Join(parts, " : \\\n     ")
}

// TaskID, as an argument of a Job's command, is the id of the array's task.
const TaskID = "$SLURM_ARRAY_TASK_ID"

// quoteAll quotes words for the shell, except that a task id is looked up.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
		if w == TaskID {
			quoted[i] = `"` + w + `"`
		}
	}
	return strings.Join(quoted, " ")
}

// quote makes one word of the shell, as it is where it needs no quotes.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+./:,%@", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
