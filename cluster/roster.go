package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// Member is a rank as the others know it.
type Member struct {
	Rank      int    `json:"rank"`
	Node      int    `json:"node"`
	LocalRank int    `json:"local_rank"`
	Host      string `json:"host"` // the node's host name
	PID       int    `json:"pid"`
}

// String is "rank 3 (node7, process 4711)".
func (m Member) String() string {
	return fmt.Sprintf("rank %d (%s, process %d)", m.Rank, m.Host, m.PID)
}

// hello is what a rank says to rank 0, again and again until the answer holds what it waits for.
type hello struct {
	Member
	Instance  string `json:"instance"` // random: tells apart two processes that claim one rank
	Size      int    `json:"size"`
	Nodes     int    `json:"nodes"`
	LocalSize int    `json:"local_size"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	Server    string `json:"server,omitempty"`    // where its node's ranks connect to, said by the rank that runs it
	Connected bool   `json:"connected,omitempty"` // said through its node's server, which has routes to all others
	GaveUp    string `json:"gave_up,omitempty"`   // why it will not come
}

// answer is what rank 0 says to that.
type answer struct {
	Failed  string   `json:"failed,omitempty"`  // the ranks will not come together, for this reason
	Later   string   `json:"later,omitempty"`   // the rank is not one of those who are together; another rank 0 may come
	Waiting string   `json:"waiting,omitempty"` // who or what is missing yet
	Attempt string   `json:"attempt"`
	Members []Member `json:"members,omitempty"` // in order of ranks, once all are there
	Servers []string `json:"servers,omitempty"` // of the nodes, once all are there; empty texts with Config.URL
	Done    bool     `json:"done,omitempty"`    // all are connected

	// To a rank that comes to take the place of one that is lost; see applicants.
	Left []int `json:"left,omitempty"` // who is lost, its own number among them
	View *View `json:"view,omitempty"` // the first that it is in
}

// roster is who has come so far: values in, values out. Rank 0 keeps it.
type roster struct {
	attempt string
	embed   bool     // nodes have servers of this job
	here    []*hello // by rank, nil for who has not come
	names   []string // of the nodes by number; may be nil
	failed  string
	told    []bool // by rank: has heard of the failure
}

// newRoster is a roster with rank 0 alone.
func newRoster(attempt string, embed bool, rank0 hello) *roster {
	r := &roster{attempt: attempt, embed: embed, here: make([]*hello, rank0.Size), told: make([]bool, rank0.Size)}
	rank0.Connected = true
	r.here[0] = &rank0
	r.told[0] = true
	return r
}

// hear takes a rank's hello and answers it. What cannot become a job of these ranks fails for all of them at once.
func (r *roster) hear(h hello) answer {
	switch {
	case r.failed != "":
	case r.missing() == "" && (h.Rank < 0 || h.Rank >= len(r.here) || r.here[h.Rank].Instance != h.Instance):
		return answer{Later: fmt.Sprintf("the ranks of this job are all there already, under %v; is an earlier start of it still running?", r.here[0].Member)}
	default:
		r.failed = r.admit(h)
	}
	if r.failed != "" {
		if h.Rank >= 0 && h.Rank < len(r.told) {
			r.told[h.Rank] = true
		}
		return answer{Failed: r.failed}
	}
	a := answer{Attempt: r.attempt, Waiting: r.missing()}
	if slices.Contains(r.here, nil) {
		return a
	}
	for _, m := range r.here {
		a.Members = append(a.Members, m.Member)
	}
	a.Servers = r.servers()
	a.Done = a.Waiting == ""
	return a
}

// differs says why h cannot be of the same job as rank 0; empty where it can.
func (r *roster) differs(h hello) string {
	zero := r.here[0]
	differ := func(what string, theirs, ours any, remedy string) string {
		return fmt.Sprintf("%v has %s %v, %v has %v; %s", h.Member, what, theirs, zero.Member, ours, remedy)
	}
	switch {
	case h.Rank < 0 || h.Rank >= len(r.here):
		return fmt.Sprintf("%v is not one of %d; they count from 0", h.Member, len(r.here))
	case h.Size != zero.Size:
		return differ("a world size of", h.Size, zero.Size, "start all ranks with the same")
	case h.Nodes != zero.Nodes:
		return differ("a number of nodes of", h.Nodes, zero.Nodes, "start all ranks with the same")
	case h.Node < 0 || h.Node >= zero.Nodes:
		return fmt.Sprintf("%v is on node %d, which is not one of %d; they count from 0", h.Member, h.Node, zero.Nodes)
	case h.Version != zero.Version:
		return differ("version", h.Version, zero.Version, "start the same program on every node")
	case h.Digest != zero.Digest:
		return differ("a job file with checksum", h.Digest, zero.Digest, "start all ranks with the same job file and the same settings")
	}
	return ""
}

// admit enters h, or says why that cannot be.
func (r *roster) admit(h hello) string {
	if h.GaveUp != "" {
		return fmt.Sprintf("%v gave up: %s", h.Member, h.GaveUp)
	}
	if why := r.differs(h); why != "" {
		return why
	}
	if was := r.here[h.Rank]; was != nil && was.Instance != h.Instance {
		return fmt.Sprintf("rank %d is there twice: as process %d on %s and as process %d on %s; give every process a rank of its own, and end what is left of an earlier start",
			h.Rank, was.PID, was.Host, h.PID, h.Host)
	}
	r.here[h.Rank] = &h
	if !slices.Contains(r.here, nil) {
		return r.misplaced()
	}
	return ""
}

// misplaced is what is wrong with how all ranks lie on the nodes, if anything.
func (r *roster) misplaced() string {
	places := map[[2]int]*hello{}
	counts := map[int]int{}
	for _, h := range r.here {
		at := [2]int{h.Node, h.LocalRank}
		if other := places[at]; other != nil {
			return fmt.Sprintf("%v and %v are both local rank %d of node %d; number the ranks of a node from 0", other.Member, h.Member, h.LocalRank, h.Node)
		}
		places[at] = h
		counts[h.Node]++
	}
	for _, h := range r.here {
		if counts[h.Node] != h.LocalSize {
			return fmt.Sprintf("%v says that its node %d has %d ranks, but there are %d; set the local size to the number of ranks on the node", h.Member, h.Node, h.LocalSize, counts[h.Node])
		}
	}
	for n := range r.here[0].Nodes {
		if counts[n] == 0 {
			return fmt.Sprintf("node %d of %d has no rank; number the nodes from 0, and count only those with ranks", n, r.here[0].Nodes)
		}
	}
	return ""
}

// servers are the addresses of the nodes' servers, nil while some are missing.
func (r *roster) servers() []string {
	list := make([]string, r.here[0].Nodes)
	for _, h := range r.here {
		if h.LocalRank == 0 {
			list[h.Node] = h.Server
		}
	}
	if r.embed && slices.Contains(list, "") {
		return nil
	}
	return list
}

// missing says for whom or what the ranks wait; empty when all are together.
func (r *roster) missing() string {
	var absent, silent []string
	for rank, h := range r.here {
		switch {
		case h == nil:
			absent = append(absent, fmt.Sprint(rank))
		case r.embed && h.LocalRank == 0 && h.Server == "":
			silent = append(silent, fmt.Sprintf("%v to start its node's server", h.Member))
		case !h.Connected:
			silent = append(silent, fmt.Sprintf("%v to connect to its node's server", h.Member))
		}
	}
	if len(absent) > 0 {
		return "rank " + list(absent) + r.emptyNodes()
	}
	return list(silent)
}

// emptyNodes names the nodes that nobody has come from, where they have names.
func (r *roster) emptyNodes() string {
	empty := slices.Clone(r.names)
	for _, h := range r.here {
		if h != nil && h.Node < len(empty) {
			empty[h.Node] = ""
		}
	}
	if empty = slices.DeleteFunc(empty, func(name string) bool { return name == "" }); len(empty) == 0 {
		return ""
	}
	return " (nobody has come from " + list(empty) + ")"
}

// list is "a, b and c", and shortened where there are many.
func list(words []string) string {
	const most = 8
	if len(words) > most {
		words = append(slices.Clone(words[:most]), fmt.Sprintf("%d more", len(words)-most))
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// untold says that a rank does not know yet that the ranks will not come together; with absent, those that have not come count too.
func (r *roster) untold(absent bool) bool {
	for rank, h := range r.here {
		if !r.told[rank] && (h != nil || absent) {
			return true
		}
	}
	return false
}
