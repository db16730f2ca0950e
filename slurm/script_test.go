package slurm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func exampleJobs(folder string) map[string]Job {
	return map[string]Job{
		"plain": {
			Name: "go-source", What: "run the job", Groups: []Group{{Nodes: 4, Tasks: 8, GPUs: 8, CPUsPerTask: 6}}, Time: "12:00:00", Grace: 120,
			Run: "runs/go source 50%j", Options: []string{"--account=abc"}, Program: "/opt/saltern", Command: []string{"run", "job.toml"}, Folder: folder,
		},
		"elastic": {
			Name: "elastic", What: "go on without those that are lost", Groups: []Group{{Nodes: 2, Tasks: 1}}, Elastic: true,
			Program: "/opt/saltern", Command: []string{"run", "job.toml"}, Folder: folder,
		},
		"mixed": {
			Name: "it's mixed", What: "teachers on small GPUs", Groups: []Group{{Nodes: 2, Tasks: 4, GPUs: 4}, {Nodes: 1, Tasks: 2, GPUs: 2, Program: "/opt/mesa 26/saltern", Options: []string{"--partition=small"}}},
			Program: "/opt/my programs/saltern", Command: []string{"run", "it's $HOME.toml"}, Folder: folder,
		},
		"array": {
			Name: "seeds", What: "one seed each", Link: "2 of 3", Array: "1-3", Groups: []Group{{Nodes: 1, Tasks: 1}},
			Program: "echo", Command: []string{"compare", "--seed", TaskID, "job.toml"}, Folder: folder,
		},
	}
}

func TestScriptsAreTheirGoldens(t *testing.T) {
	for name, job := range exampleJobs("/home/me/my jobs") {
		golden := filepath.Join("testdata", name+".sbatch")
		want, err := os.ReadFile(golden)
		if got := job.Script(); err != nil || got != string(want) {
			t.Errorf("%s: %v; the script is now\n%s", golden, err, got)
		}
	}
}

// TestScriptsRun runs each script with a srun and a scontrol that print their words, one in brackets each.
func TestScriptsRun(t *testing.T) {
	bin := t.TempDir()
	for name, text := range map[string]string{
		"srun":     `printf '[%s]' "$@"; echo; exit ${EXIT:-0}`,
		"sleep":    ``,
		"scontrol": `printf 'scontrol'; printf '[%s]' "$@"; echo`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(t.TempDir(), "it's a $folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	jobs := exampleJobs(folder)
	const start = "[--mpi=none][--kill-on-bad-exit=0][--wait=120]"
	for _, test := range []struct {
		job, exit, want string
		more            []string // of the environment
	}{
		{job: "plain", exit: "0", want: start + "[--cpus-per-task=6][/opt/saltern][run][job.toml]\n"},
		{job: "plain", exit: "75", want: start + "[--cpus-per-task=6][/opt/saltern][run][job.toml]\nscontrol[requeue][42]\n"},
		{job: "mixed", exit: "0", want: start + "[--het-group=0][/opt/my programs/saltern][run][it's $HOME.toml][:][--het-group=1][/opt/mesa 26/saltern][run][it's $HOME.toml]\n"},
		{job: "array", exit: "71", want: start + "[echo][compare][--seed][7][job.toml]\njob 2 of 3, seeds, failed with exit code 71; those that wait for it are not started\n"},
		{job: "plain", exit: "75", more: []string{"SLURM_RESTART_COUNT=9"}, want: start + "[--cpus-per-task=6][/opt/saltern][run][job.toml]\nscontrol[requeue][42]\n"},
		{job: "plain", exit: "137", more: []string{"SLURM_RESTART_COUNT=9"}, want: start + "[--cpus-per-task=6][/opt/saltern][run][job.toml]\n"},
		{job: "plain", exit: "137", want: start + "[--cpus-per-task=6][/opt/saltern][run][job.toml]\nscontrol[requeue][42]\n"},
		{job: "elastic", exit: "0", want: strings.Replace(start, "120", "0", 1) + "[/opt/saltern][run][job.toml]\n"},
		{job: "array", exit: "75", want: start + "[echo][compare][--seed][7][job.toml]\nscontrol[requeue][42]\n"},
	} {
		cmd := exec.Command("bash", "-c", jobs[test.job].Script())
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "EXIT="+test.exit, "SLURM_JOB_ID=42", "SLURM_ARRAY_TASK_ID=7")
		cmd.Env = append(cmd.Env, test.more...)
		out, err := cmd.CombinedOutput()
		if string(out) != test.want {
			t.Errorf("%s printed\n%swant\n%s", test.job, out, test.want)
		}
		if exit := cmd.ProcessState.ExitCode(); test.exit != strconv.Itoa(exit) {
			t.Errorf("%s: exit code %d (%v), want %s", test.job, exit, err, test.exit)
		}
	}
}
