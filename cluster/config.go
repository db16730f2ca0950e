package cluster

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Config says how the ranks of a job find and watch each other. A process that is alone does not look at it.
type Config struct {
	// URL names NATS servers that run already, "nats://host:4222" or, with TLS, "tls://host:4222"; several with commas between.
	// Ranks use only subjects below saltern.<job>. there. Empty means that the first rank of each node runs a server for the job,
	// with credentials of its own.
	URL string `toml:"url"`

	// Credentials is a file that the servers of URL know the job by: what nsc writes (.creds), or the seed of an nkey. Nobody else
	// may read it. Relative to the job file. Empty means that they ask for none. Without URL it must be empty.
	Credentials string `toml:"credentials"`

	// CA is a PEM file with the authority that signed the certificates of URL's servers. Relative to the job file. Empty means
	// those that the system trusts. Without URL it must be empty.
	CA string `toml:"ca"`

	// Host chooses which of a node's addresses the other nodes reach it by: the name of a network interface, "ib0", or a network,
	// "10.1.0.0/16", the same for all nodes. Empty means the address of the node's host name, else that of its first interface
	// that is up. One node alone uses its loopback.
	Host string `toml:"host"`

	// JoinTimeout is how many seconds a rank waits for the others to start. Zero means 120. At least 1, at most 86400.
	JoinTimeout float64 `toml:"join_timeout"`

	// Heartbeat is after how many seconds of silence a rank counts as lost, and the others stop. Zero means 10. At least 0.5, at
	// most 3600, and well above the longest time that a node may be too busy to run anything.
	Heartbeat float64 `toml:"heartbeat"`

	// ShardOptimizer has each rank keep the optimizer's state of its part of the weights alone, update that part, and give it to the
	// others (ZeRO, stage 1, arXiv 1910.02054): 8 bytes of each parameter are divided by the number of ranks, for about the same traffic.
	// Losses are the same but for their last digits, and checkpoints are whole: a run may go on with another setting. Where
	// the ranks' devices are not alike it is set by itself, as each weight must be made by one of them (docs/NUMERICS.md), unless Teachers
	// are there: then rank 0 makes all.
	ShardOptimizer bool `toml:"shard_optimizer"`

	// Shares is how many of a step's microbatches each rank takes: "even", as even as they go; "speed", in proportion to how fast the ranks
	// were seen to be, measured anew every 50 steps and changed where that pays; "recorded", as shares.jsonl in the
	// training's folder says, to repeat a run; or "auto", which is "speed" where the ranks' devices are not alike and "even" elsewhere. The
	// gradient is the mean over all tokens in each case; sums have another order, so that bits follow from shares.jsonl. A job without
	// train.microbatch gets smaller ones for "speed", as whole ones are dealt out. With Sync "local", and among students while others teach,
	// they are even. Empty means "auto".
	Shares string `toml:"shares"`

	// CheckEvery is after how many steps, or batches of a pass that makes soft labels or scores, the devices are checked, and after the last one: each
	// rank, teachers and a process alone included, holds its kernels against the reference, and ranks compute the gradient of the same
	// microbatch and compare; where they train apart, at the next end of a round. A device that has become wrong is found, with host, tensor
	// and kernel. What was learned since the check before is set aside; the job stops, or with Elastic goes on without that rank. It takes a
	// second or so. Zero means once an hour, by the clock of rank 0, and at the end of what went ten minutes without; below zero never.
	CheckEvery int64 `toml:"check_every"`

	// Elastic has the ranks that are left go on when one is lost, with its share of every batch among them, as long as rank 0 lives, which
	// writes what is written once, and where ranks run the servers the first rank of their node. They begin again at the last step that all
	// have done, with a sharded optimizer at the last checkpoint. Losses may differ in their last digits from there. A process that comes
	// with a lost rank's number ("saltern launch --restarts") is let in after the step under way; all go on from there.
	// False means that all stop, and the job is to be started again, as "saltern compare" does in any case. Not with Sync "local", nor with
	// Teachers or Roles "auto".
	Elastic bool `toml:"elastic"`

	// Sync is when ranks exchange what they learned: "every-step" adds up the gradients of every step, so that the losses are those of
	// one process; with "local" each rank trains by itself, on its share of each batch, and the ranks come together once in LocalSteps
	// (DiLoCo, arXiv 2311.08105), which a slow network bears. A process alone does not look at it, nor at the keys
	// below. Empty means "every-step".
	Sync string `toml:"sync"`

	// LocalSteps is H, the optimizer steps of a round, after which the mean of what the ranks learned in it makes one outer step. The
	// end of stage 1, of a window of transition "auto" and of a linear transition, evaluations, checkpoints and stops all wait for the
	// end of a round: counts of steps that are no multiples of LocalSteps are rounded up. Zero means 50; the paper has 500 in trainings
	// of 88000 steps. 1 to 1000000.
	LocalSteps int64 `toml:"local_steps"`

	// OuterLR is the learning rate of outer steps, SGD with Nesterov momentum; 1 without momentum is the plain mean of the ranks'
	// weights. Zero means 0.7. Above 0, at most 2.
	OuterLR float64 `toml:"outer_lr"`

	// OuterMomentum is their momentum. Left out it means 0.9, the paper's, for some hundred rounds and more; in trainings of a few dozen
	// rounds 0.5 kept more of the loss (docs/PERFORMANCE.md). 0 means none. 0 to below 1.
	OuterMomentum float64 `toml:"outer_momentum" explicit:"keep"`

	// OuterDelay is how many steps of the next round a rank trains while the outer step's exchange is under way; then it takes the
	// outer step and keeps what it learned since. Evaluations and checkpoints in between do not know of the round under way. Zero means
	// that ranks wait for the exchange. Less than LocalSteps.
	OuterDelay int64 `toml:"outer_delay"`

	// Wire is how gradients, with "local" outer gradients, are written for other ranks: "float32"; "bfloat16", 2 bytes; or "int8", 1 byte and a
	// scale for each 256. What is rounded away enters the next step, with "local" the next round, and is in checkpoints, whatever number of ranks goes on;
	// one process alone, which rounds nothing, leaves it out. Sums are float32. Empty means "float32", and with "local" "int8".
	Wire string `toml:"wire"`

	// Teachers is how many ranks run the teacher in stage 1 and send its soft labels, in the form of [distill], to
	// the others, who train; as soon as the teacher helps no more they train too, if their devices can hold the model. Zero means that
	// every rank trains and runs the teacher itself, or reads a file. Fewer than there are ranks. Not with
	// ShardOptimizer, which wants the same ranks from step to step.
	Teachers int `toml:"teachers"`

	// Roles is which ranks are the teachers: "last", as many of the last ones as Teachers says; their numbers, as "1,3"; or "auto", which
	// follows the devices. Then those teach that cannot hold the student, by the figures of "saltern plan", and of the others the slowest, as
	// far as that makes the training shorter; who would hold the others up in any role rests. How fast devices are is measured when the job
	// begins, by a matrix product. Where nobody is to teach, each rank runs the teacher itself. The log says why, roles.json in the run folder
	// says it of every rank, and a job that goes on with the same devices keeps its roles. Rank 0 trains in any case: it leads, and writes what is
	// written once. Teachers is for "last" alone. "auto" is not for ShardOptimizer, Elastic or Sync "local". Empty means "last".
	Roles string `toml:"roles"`

	// Prefetch is how many steps the teachers' ranks may be ahead of the students. Zero means 4. At least 1; a step takes some 40 bytes
	// for each token of the batch.
	Prefetch int `toml:"prefetch"`

	// KeepLabels has the first rank write what the teachers' ranks say to the run's file of soft labels, as "saltern label" would. A job that
	// is started again, after kill -9 of all its ranks too, has its students read there what it holds, and its teachers make only what is
	// missing. It serves students with distill.labels = "offline" as well.
	KeepLabels bool `toml:"keep_labels"`
}

// Defaults returns c with every zero field chosen. It is idempotent.
func (c Config) Defaults() Config {
	if c.JoinTimeout == 0 {
		c.JoinTimeout = 120
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 10
	}
	if c.Prefetch == 0 {
		c.Prefetch = 4
	}
	if c.Shares == "" {
		c.Shares = SharesAuto
	}
	if c.Roles == "" {
		c.Roles = RolesLast
	}
	if c.Teachers == 0 {
		c.Teachers = len(c.Pinned())
	}
	return c.syncDefaults()
}

// Check calls bad for every problem of c, which has been through Defaults: key is the TOML key in this table that is to blame,
// message says what is wrong and what would be right. Whether files and interfaces are there is found on the node, by Join.
func (c Config) Check(bad func(key, message string)) {
	for _, u := range c.urls() {
		if scheme, rest, ok := strings.Cut(u, "://"); !ok || scheme != "nats" && scheme != "tls" || rest == "" {
			bad("url", fmt.Sprintf(`url has %q; use "nats://host:4222", or "tls://host:4222" for a server with TLS, with commas between several`, u))
		}
	}
	if c.URL == "" {
		for _, f := range []struct{ key, value string }{{"credentials", c.Credentials}, {"ca", c.CA}} {
			if f.value != "" {
				bad(f.key, fmt.Sprintf("%s = %q is for servers that run already, but url names none; the servers that a job runs itself have credentials of their own", f.key, f.value))
			}
		}
	}
	if strings.Contains(c.Host, "/") {
		if _, _, err := net.ParseCIDR(c.Host); err != nil {
			bad("host", fmt.Sprintf(`host = %q is no network; use one as "10.1.0.0/16", or the name of an interface`, c.Host))
		}
	}
	if !(c.JoinTimeout >= 1 && c.JoinTimeout <= 86400) { // written so that NaN is out of bounds
		bad("join_timeout", fmt.Sprintf("join_timeout = %g is out of bounds; use 1 to 86400 seconds", c.JoinTimeout))
	}
	if c.Teachers < 0 {
		bad("teachers", fmt.Sprintf("teachers = %d must not be negative; 0 has every rank train", c.Teachers))
	}
	c.checkRoles(bad)
	if c.Prefetch < 1 || c.Prefetch > 1000 {
		bad("prefetch", fmt.Sprintf("prefetch = %d is out of bounds; use 1 to 1000 steps", c.Prefetch))
	}
	if !(c.Heartbeat >= 0.5 && c.Heartbeat <= 3600) {
		bad("heartbeat", fmt.Sprintf("heartbeat = %g is out of bounds; use 0.5 to 3600 seconds", c.Heartbeat))
	}
	if !slices.Contains([]string{SharesAuto, SharesEven, SharesBySpeed, SharesRecorded}, c.Shares) {
		bad("shares", fmt.Sprintf("shares = %q is unknown; use %q, %q, %q or %q", c.Shares, SharesAuto, SharesEven, SharesBySpeed, SharesRecorded))
	}
	c.checkSync(bad)
}

// The values of Config.Shares.
const (
	SharesAuto     = "auto"
	SharesEven     = "even"
	SharesBySpeed  = "speed"
	SharesRecorded = "recorded"
)

// urls are the servers of c.URL.
func (c Config) urls() []string {
	var list []string
	for u := range strings.SplitSeq(c.URL, ",") {
		if u = strings.TrimSpace(u); u != "" {
			list = append(list, u)
		}
	}
	return list
}

// external says that the servers run already.
func (c Config) external() bool { return c.URL != "" }

func (c Config) joinTimeout() time.Duration { return seconds(c.JoinTimeout) }
func (c Config) heartbeat() time.Duration   { return seconds(c.Heartbeat) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// address returns the address that the other nodes reach this one by; see Config.Host.
func (c Config) address(id Identity) (string, error) {
	switch {
	case id.Host != "":
		return id.Host, nil
	case id.Nodes == 1:
		return "127.0.0.1", nil
	case strings.Contains(c.Host, "/"):
		return addressWithin(c.Host)
	case c.Host != "":
		return addressOf(c.Host)
	}
	if name, err := os.Hostname(); err == nil {
		if list, err := net.LookupHost(name); err == nil {
			for _, a := range list { // a host name often stands for a loopback address too, as 127.0.1.1 on Debian
				if ip := net.ParseIP(a); ip != nil && ip.IsGlobalUnicast() && isHere(ip) {
					return a, nil
				}
			}
		}
	}
	return addressOf("")
}

func isHere(ip net.IP) bool {
	list, err := net.InterfaceAddrs()
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return err != nil // cannot be told
}

// addressWithin is this node's address in a network.
func addressWithin(network string) (string, error) {
	_, within, err := net.ParseCIDR(network)
	if err != nil {
		return "", fmt.Errorf("cluster.host: %w", err)
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && within.Contains(n.IP) {
			return n.IP.String(), nil
		}
	}
	return "", fmt.Errorf("cluster.host = %q: this node has no address in that network; it has %s", network, addresses(list))
}

// addressOf is the first address of the interface of that name, of any that is up where name is empty; IPv4 before IPv6.
func addressOf(name string) (string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	var names []string
	found := ""
	for _, i := range list {
		names = append(names, i.Name)
		if name != "" && i.Name != name || name == "" && i.Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp {
			continue
		}
		all, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range all {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.IsLinkLocalUnicast() {
				continue
			}
			if n.IP.To4() != nil {
				return n.IP.String(), nil
			}
			if found == "" {
				found = n.IP.String()
			}
		}
	}
	if found == "" && name == "" {
		return "", fmt.Errorf("this node has no address that other nodes could reach it by; give the interface or the network as cluster.host (there are %s)", strings.Join(names, ", "))
	}
	if found == "" {
		return "", fmt.Errorf("cluster.host = %q: this node has no such interface with an address; it has %s", name, strings.Join(names, ", "))
	}
	return found, nil
}

func addresses(list []net.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}
