package cluster

import (
	"fmt"
	"regexp"
	"strconv"
)

// Identity is which of a job's processes this one is.
type Identity struct {
	// Job names one attempt at a job: all ranks of the attempt, and nothing else, have the same. A restart takes another, so
	// that what is left of an earlier attempt is not mistaken for this one's. Letters, digits, "-" and "_".
	Job string

	// Rank is the number of this process among Size, from 0.
	Rank, Size int

	// Node is the number of the node it runs on among Nodes, from 0. Rank 0 is on node 0.
	Node, Nodes int

	// LocalRank is its number among the LocalSize ranks of its node, from 0. Number 0 runs the node's server.
	LocalRank, LocalSize int

	// Dir is the job's folder for rendezvous, on a file system that all nodes share. Rank 0 makes it. Several jobs may
	// have the same. With Config.URL it is not looked at.
	Dir string

	// NodeNames are the nodes' names by number, where they are known beforehand: for messages alone. May be nil.
	NodeNames []string

	// Host is the address of this node for the others. Empty means Config.Host's.
	Host string

	// Version and Digest are what all ranks must have the same of: the program's version, and a checksum of the resolved job
	// file. They are compared as they are.
	Version, Digest string
}

var jobNames = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// check is what is wrong with id on its own.
func (id Identity) check(external bool) error {
	for _, c := range []struct {
		what    string
		n, size int
	}{{"rank", id.Rank, id.Size}, {"node", id.Node, id.Nodes}, {"local rank", id.LocalRank, id.LocalSize}} {
		if c.n < 0 || c.n >= c.size {
			return fmt.Errorf("%s %d is not one of %d; they count from 0", c.what, c.n, c.size)
		}
	}
	switch {
	case !jobNames.MatchString(id.Job):
		return fmt.Errorf("the job's name %q is not of letters, digits, - and _", id.Job)
	case id.Rank == 0 && (id.Node != 0 || id.LocalRank != 0):
		return fmt.Errorf("rank 0 must be the first rank of node 0, not local rank %d of node %d", id.LocalRank, id.Node)
	case id.Nodes > id.Size:
		return fmt.Errorf("%d nodes cannot have but %d ranks", id.Nodes, id.Size)
	case id.LocalSize > id.Size:
		return fmt.Errorf("a node cannot have %d of %d ranks", id.LocalSize, id.Size)
	case id.Dir == "" && !external:
		return fmt.Errorf("there is no folder where the ranks could meet; set SALTERN_RENDEZVOUS to one that all nodes share")
	}
	return nil
}

// embeds says that this rank runs its node's server.
func (id Identity) embeds(c Config) bool { return id.LocalRank == 0 && !c.external() }

// FromEnv reads who this process is from SALTERN_RANK, SALTERN_WORLD_SIZE, SALTERN_LOCAL_RANK, SALTERN_LOCAL_SIZE, SALTERN_NODE,
// SALTERN_NODES, SALTERN_RENDEZVOUS (the folder) and SALTERN_JOB, which whoever starts the ranks sets. Without SALTERN_RANK the
// process is alone and ok false. The local ones and the node's may be left out together: then all ranks are on one node.
func FromEnv(lookup func(string) (string, bool)) (id Identity, ok bool, err error) {
	if _, ok := lookup("SALTERN_RANK"); !ok {
		if v, set := lookup("SALTERN_WORLD_SIZE"); set {
			return Identity{}, false, fmt.Errorf("SALTERN_WORLD_SIZE is %s but SALTERN_RANK is not set; set both, or neither for a process of its own", v)
		}
		return Identity{}, false, nil
	}
	id.Dir, _ = lookup("SALTERN_RENDEZVOUS")
	id.Job, _ = lookup("SALTERN_JOB")
	if id.Job == "" {
		return id, true, fmt.Errorf("SALTERN_RANK is set but SALTERN_JOB is not; give all ranks of one start of the job the same name there")
	}
	numbers := []struct {
		name string
		into *int
	}{
		{"SALTERN_RANK", &id.Rank}, {"SALTERN_WORLD_SIZE", &id.Size},
		{"SALTERN_LOCAL_RANK", &id.LocalRank}, {"SALTERN_LOCAL_SIZE", &id.LocalSize}, {"SALTERN_NODE", &id.Node}, {"SALTERN_NODES", &id.Nodes},
	}
	var missing []string
	for _, n := range numbers {
		text, set := lookup(n.name)
		if !set {
			missing = append(missing, n.name)
			continue
		}
		if *n.into, err = strconv.Atoi(text); err != nil {
			return id, true, fmt.Errorf("%s is %q, which is no whole number", n.name, text)
		}
	}
	switch {
	case len(missing) == 4 && missing[0] == "SALTERN_LOCAL_RANK":
		id.LocalRank, id.LocalSize, id.Nodes = id.Rank, id.Size, 1
	case len(missing) > 0:
		return id, true, fmt.Errorf("SALTERN_RANK is set but %s is not; whoever starts the ranks must set all", missing[0])
	}
	return id, true, id.check(true) // whether a folder is needed is the job file's to say
}
