package jobs

import (
	"fmt"
	"strings"

	"saltern/docs"
)

// jobFileTopic explains the job file and holds the reference of its keys.
func jobFileTopic() *Command {
	return &Command{
		Name:    "job-file",
		Summary: "the TOML file that describes a job, key by key",
		Help:    docs.Config,
	}
}

// exitCodesTopic is the table of exit codes.
func exitCodesTopic() *Command {
	var b strings.Builder
	b.WriteString("The numbers never change; scripts may rely on them. \"saltern help COMMAND\" lists those that a\ncommand can end with.\n\n")
	for _, e := range exitCodes() {
		fmt.Fprintf(&b, "%2d  %-26s%s\n", int(e.kind), e.name, e.meaning)
	}
	return &Command{
		Name:    "exit-codes",
		Summary: "what the exit codes mean",
		Help:    b.String(),
	}
}

// variable is an environment variable that saltern looks at.
type variable struct{ name, meaning string }

// variables is the one table of environment variables; one that is not here is not looked at.
func variables() []variable {
	return []variable{
		{"SALTERN_CACHE", "The folder of the cache of kernel choices, tune.json; otherwise $XDG_CACHE_HOME/saltern or ~/.cache/saltern."},
		{"SALTERN_RANK", "The number of this process among the ranks of a job, from 0. saltern launch sets it, and with it SALTERN_WORLD_SIZE, SALTERN_LOCAL_RANK, SALTERN_LOCAL_SIZE, SALTERN_NODE, SALTERN_NODES, SALTERN_RENDEZVOUS (a folder that all ranks share) and SALTERN_JOB (a name for this start)."},
		{"SALTERN_DEVICE", "The device of this process, as device in the job file, and instead of it: ranks of one job may differ in it. saltern launch --env sets it for one rank."},
		{"SALTERN_MEMORY", "How much of its device's memory this process may take, as 20GiB; otherwise all of it, or its part where ranks share one. Where others use a GPU too, a desktop for example, it leaves them the rest. saltern launch --env sets it for one rank."},
		{"CUDA_VISIBLE_DEVICES", "The NVIDIA GPUs that may be used, by index or UUID; CUDA_DEVICE_ORDER=PCI_BUS_ID says how they are counted. ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES are AMD's, ZE_AFFINITY_MASK is Intel's, SLURM_STEP_GPUS or else SLURM_JOB_GPUS counts all where none of these is set: saltern devices --slurm shows what comes of them."},
		{"SALTERN_FAULT", "matmul@20 has the kernels of that operation compute wrongly on this process's device from step 20 of a training, or batch 20 of a pass, on, as a driver that miscompiles them would: for trying out that a job notices (cluster.check_every). saltern launch --env sets it for one rank."},
		{"SALTERN_SLOWDOWN", "2 has this process take twice as long for all that it runs on its device, by waiting: for trying out what a slow rank does to a job; see saltern bench shares."},
		{"LP_NUM_THREADS", "The threads of Mesa's driver for processors; saltern launch divides the processor's among its ranks where it is not set."},
		{"SALTERN_VALIDATION", "1 has the Vulkan validation layers, which must be installed, check every call; what they find fails the command. make test sets it."},
		{"SLURM_JOB_ID", "Set by Slurm: a SIGTERM then means that the job is to be queued again, exit code 75, as SIGUSR1 does anywhere."},
		{"TERM", "\"dumb\" draws no progress bars and no pictures, only plain lines."},
		{"NO_COLOR", "Anything draws pictures without colours."},
		{"LANG", "Where it names UTF-8, or LC_ALL or LC_CTYPE before it, saltern watch draws curves in braille, otherwise in ASCII."},
		{"COLUMNS, LINES", "The size of saltern watch's picture where the output is no terminal, otherwise 80 and 24."},
	}
}

// environmentTopic is the table of environment variables.
func environmentTopic() *Command {
	var b strings.Builder
	b.WriteString("Everything that belongs to a job is in its job file. The environment says the rest:\n\n")
	for _, v := range variables() {
		fmt.Fprintf(&b, "%-20s %s\n", v.name, v.meaning)
	}
	return &Command{
		Name:    "environment",
		Summary: "the environment variables that saltern looks at",
		Help:    b.String(),
	}
}
