package slurm

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"saltern/cluster"
)

// seen is what srun of Slurm 22.05 set for a task of a heterogeneous job, the second on its second node.
var seen = map[string]string{
	"SLURM_JOB_ID": "2", "SLURM_JOB_ID_HET_GROUP_0": "2", "SLURM_JOB_ID_HET_GROUP_1": "3", "SLURM_STEP_ID": "0",
	"SLURM_PROCID": "4", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3",
	"SLURM_STEP_TASKS_PER_NODE": "3,2,1", "SLURM_STEP_NODELIST": "node[1-3]",
}

func with(changes ...string) func(string) (string, bool) {
	env := maps.Clone(seen)
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestFromEnv(t *testing.T) {
	want := cluster.Identity{Job: "slurm-2-0-0", Rank: 4, Size: 6, Node: 1, Nodes: 3, LocalRank: 1, LocalSize: 2, NodeNames: []string{"node1", "node2", "node3"}}
	for job, lookup := range map[string]func(string) (string, bool){
		"slurm-2-0-0":   with(),
		"slurm-2-0-3":   with("SLURM_RESTART_COUNT=3"),
		"slurm-7-1-0":   with("SLURM_JOB_ID=7", "SLURM_JOB_ID_HET_GROUP_0=", "SLURM_STEP_ID=1"),
		"slurm-2-a_b-0": with("SLURM_STEP_ID=a+b"),
	} {
		want.Job = job
		if id, ok, err := FromEnv(lookup); err != nil || !ok || !reflect.DeepEqual(id, want) {
			t.Errorf("%+v, %v, %v; want %+v", id, ok, err, want)
		}
	}
}

// TestAlone has no rank where there is no step, as in the batch script itself, or but one task.
func TestAlone(t *testing.T) {
	for _, lookup := range []func(string) (string, bool){
		func(string) (string, bool) { return "", false },
		with("SLURM_PROCID="), with("SLURM_STEP_NUM_TASKS=1"), with("SLURM_STEP_NUM_TASKS="),
	} {
		if id, ok, err := FromEnv(lookup); ok || err != nil {
			t.Errorf("%+v, %v, %v; want a process that is alone", id, ok, err)
		}
	}
}

func TestFromEnvSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ change, want string }{
		{"SLURM_PROCID=x", "SLURM_PROCID"}, {"SLURM_LOCALID=", "SLURM_LOCALID"}, {"SLURM_NODEID=3", "is of 3 nodes"},
		{"SLURM_STEP_TASKS_PER_NODE=?", "SLURM_STEP_TASKS_PER_NODE"}, {"SLURM_STEP_NODELIST=node[1-", "SLURM_STEP_NODELIST"},
		{"SLURM_STEP_NODELIST=node[1-2]", "has 2 nodes"},
	} {
		if _, ok, err := FromEnv(with(test.change)); !ok || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want an error with %q", test.change, ok, err, test.want)
		}
	}
}
