package slurm

import (
	"fmt"
	"strconv"
	"strings"

	"saltern/cluster"
)

// FromEnv reads who this process is among the tasks of its step from what srun set. Outside of a step, and in one of a single task,
// the process is alone and ok false. The ranks of a heterogeneous job count through its groups. Dir is left to the caller.
func FromEnv(lookup func(string) (string, bool)) (id cluster.Identity, ok bool, err error) {
	env := func(name string) string { v, _ := lookup(name); return v }
	if env("SLURM_PROCID") == "" || env("SLURM_STEP_NUM_TASKS") == "" || env("SLURM_STEP_NUM_TASKS") == "1" {
		return id, false, nil
	}
	for _, n := range []struct {
		name string
		into *int
	}{
		{"SLURM_PROCID", &id.Rank}, {"SLURM_STEP_NUM_TASKS", &id.Size}, {"SLURM_LOCALID", &id.LocalRank},
		{"SLURM_NODEID", &id.Node}, {"SLURM_STEP_NUM_NODES", &id.Nodes},
	} {
		if *n.into, err = strconv.Atoi(env(n.name)); err != nil {
			return id, true, fmt.Errorf("%s is %q, which is no whole number, and srun sets it: start the ranks by srun", n.name, env(n.name))
		}
	}
	tasks, err := TasksPerNode(env("SLURM_STEP_TASKS_PER_NODE"))
	if err != nil {
		return id, true, fmt.Errorf("SLURM_STEP_TASKS_PER_NODE: %w", err)
	}
	if id.Node < 0 || id.Node >= len(tasks) {
		return id, true, fmt.Errorf("SLURM_NODEID is %d, but SLURM_STEP_TASKS_PER_NODE, %q, is of %d nodes", id.Node, env("SLURM_STEP_TASKS_PER_NODE"), len(tasks))
	}
	id.LocalSize = tasks[id.Node]
	if id.NodeNames, err = Hosts(env("SLURM_STEP_NODELIST")); err != nil {
		return id, true, fmt.Errorf("SLURM_STEP_NODELIST: %w", err)
	}
	if len(id.NodeNames) != id.Nodes {
		return id, true, fmt.Errorf("SLURM_STEP_NODELIST, %q, has %d nodes, but SLURM_STEP_NUM_NODES is %d", env("SLURM_STEP_NODELIST"), len(id.NodeNames), id.Nodes)
	}
	id.Job = job(env)
	return id, true, nil
}

// job names the attempt: a step of a job in one of its turns.
func job(env func(string) string) string {
	name := "slurm"
	for _, v := range []string{"SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"} {
		text := env(v)
		if v == "SLURM_JOB_ID" && env("SLURM_JOB_ID_HET_GROUP_0") != "" {
			text = env("SLURM_JOB_ID_HET_GROUP_0") // the groups have ids of their own, too
		}
		if text == "" {
			text = "0" // there is no count of restarts in a job's first turn
		}
		name += "-" + text
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
}
