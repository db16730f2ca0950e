package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Join brings this process together with the other ranks of id's job, and returns when all of them are there and connected. Every
// wait ends by c.JoinTimeout, with an error that says what was waited for. A rank that cannot join says so to the others, and all
// end with its reason. logf gets what is worth knowing but ends nothing: warnings of the servers, connections lost and found.
// Whoever has joined must Close or Leave. A process may join several times, as several ranks.
//
// With c.Elastic a process may take the number of a rank that is lost. Its Join returns once the others have let it in, see Admit, however
// long that takes, and View says so.
func Join(ctx context.Context, id Identity, c Config, logf func(format string, args ...any)) (*Cluster, error) {
	c = c.Defaults()
	name, err := os.Hostname()
	if err != nil {
		name = "unknown host"
	}
	if id.Node >= 0 && id.Node < len(id.NodeNames) {
		name = id.NodeNames[id.Node]
	}
	j := &joiner{
		id: id, config: c, logf: logf, parent: ctx, began: time.Now(),
		hello: hello{
			Member:   Member{id.Rank, id.Node, id.LocalRank, name, os.Getpid()},
			Instance: rand.Text(), Size: id.Size, Nodes: id.Nodes, LocalSize: id.LocalSize, Version: id.Version, Digest: id.Digest,
		},
	}
	if err := id.check(c.external()); err != nil {
		return nil, j.failure(err)
	}
	if j.host, err = c.address(id); err != nil {
		return nil, j.failure(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.joinTimeout(), errLate)
	defer cancel()
	role := j.guest
	if id.Rank == 0 {
		role = j.lead
	}
	cluster, err := role(ctx)
	if err != nil {
		return nil, j.failure(err)
	}
	cluster.watch.begin()
	return cluster, nil
}

// errLate is the cause of a wait that has taken too long.
var errLate = errors.New("too late")

// joiner is one call of Join.
type joiner struct {
	id     Identity
	config Config
	host   string // this node's address for the others
	logf   func(string, ...any)
	began  time.Time
	parent context.Context // Join's, without the limit of time
	hello  hello
	far    bool // it has been said that this rank speaks to its node's server by TCP
}

// failure adds who could not join.
func (j *joiner) failure(err error) error {
	return fmt.Errorf("%v cannot join: %w", j.hello.Member, err)
}

// waited is the error of a wait that ctx has ended.
func (j *joiner) waited(ctx context.Context, what, remedy string) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errLate) {
		return fmt.Errorf("waiting for %s: %w", what, cause)
	}
	return fmt.Errorf("waited %v for %s; %s", time.Since(j.began).Round(100*time.Millisecond), what, remedy)
}

// whatToDo when ranks do not come.
const whatToDo = "see what they wrote, whether they were started at all and are still queued; cluster.join_timeout sets how long to wait"

// pause is how long to wait before asking again: often at first, as ranks mostly start together.
func pause(tries int) time.Duration {
	return min(200*time.Millisecond, time.Duration(tries+1)*5*time.Millisecond)
}

// sleep waits for d, and is false when ctx ends it.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// door is the subject on which rank 0 hears hellos.
func (j *joiner) door() string { return prefix(j.id.Job) + "join" }

// prefix is what all subjects of a job begin with.
func prefix(job string) string { return "saltern." + job + "." }

// refusal is what rank 0 has said for good.
type refusal string

func (r refusal) Error() string { return string(r) }

// ask says j.hello to rank 0 until ready is true of the answer.
func (j *joiner) ask(ctx context.Context, conn *nats.Conn, ready func(answer) bool) (answer, error) {
	text, err := json.Marshal(j.hello)
	if err != nil {
		return answer{}, err
	}
	what := "rank 0 to answer"
	for tries := 0; ; tries++ {
		step, cancel := context.WithTimeout(ctx, 2*time.Second)
		m, err := conn.RequestWithContext(step, j.door(), text)
		cancel()
		switch {
		case err == nil:
			var a answer
			if err := json.Unmarshal(m.Data, &a); err != nil {
				return a, fmt.Errorf("rank 0 answers %q, which cannot be read: %w", m.Data, err)
			}
			switch {
			case a.Failed != "":
				return a, refusal(a.Failed)
			case a.Later != "":
				return a, &deadEnd{errors.New(a.Later)}
			case ready(a):
				return a, nil
			}
			what = a.Waiting
		case conn.IsClosed():
			return answer{}, &deadEnd{errors.New("the connection to rank 0 was lost")}
		}
		if !sleep(ctx, pause(tries)) {
			return answer{}, j.waited(ctx, what, whatToDo)
		}
	}
}

// deadEnd is what comes of credentials that lead to nobody: an earlier attempt's, perhaps. Others may come.
type deadEnd struct{ error }

// lead is rank 0's way in: it makes credentials and server, and hears the others' hellos.
func (j *joiner) lead(ctx context.Context) (_ *Cluster, err error) {
	if err := j.alone(ctx); err != nil {
		return nil, err
	}
	k, err := newCredentials(j.id.Job, j.hello.Member)
	if err != nil {
		return nil, err
	}
	c := j.cluster(k.Attempt)
	defer func() {
		if err != nil {
			c.dismantle()
		}
	}()
	if !j.config.external() {
		if c.node, err = startNode(j.id, k, j.host, "", j.config.heartbeat(), j.logf); err != nil {
			return nil, err
		}
		k.Server, k.Route = c.node.clientAddress(), c.node.routeAddress()
		j.hello.Server = k.Server
	}
	if c.conn, err = j.connect(k, 0, k.Server, c.node); err != nil {
		return nil, err
	}
	r := &desk{roster: newRoster(k.Attempt, !j.config.external(), j.hello), changed: make(chan struct{}, 1)}
	r.roster.names = j.id.NodeNames
	if _, err := c.conn.Subscribe(j.door(), r.serve); err != nil {
		return nil, err
	}
	if err := c.conn.Flush(); err != nil {
		return nil, err
	}
	if !j.config.external() {
		if err := os.MkdirAll(j.id.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the folder where the ranks meet: %w", err)
		}
		if err := k.write(j.id.Dir); err != nil {
			return nil, fmt.Errorf("writing the job's credentials: %w", err)
		}
		c.credentials = k
	}
	if err := j.gather(ctx, c, r); err != nil {
		r.dismiss(ctx, err.Error())
		c.node.emptied(time.Second)
		return nil, err
	}
	if j.config.Elastic {
		r.mu.Lock()
		r.late = c.apply
		c.watch.servers = r.roster.servers()
		r.mu.Unlock()
	}
	return c, nil
}

// gather waits until all have come.
func (j *joiner) gather(ctx context.Context, c *Cluster, r *desk) (err error) {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		switch missing, failed := r.state(); {
		case failed != "":
			return refusal(failed)
		case missing == "":
			c.members = r.members()
			c.watch, err = c.startWatch()
			return err
		}
		select {
		case <-r.changed:
		case <-again.C:
			if err := j.replaced(ctx, c.credentials); err != nil {
				return err
			}
		case <-ctx.Done():
			missing, _ := r.state()
			return j.waited(ctx, missing, whatToDo)
		}
	}
}

// alone makes sure that no other rank 0 of this job is there.
func (j *joiner) alone(ctx context.Context) error {
	var k *credentials
	if !j.config.external() {
		var err error
		var exposed *exposedError
		switch k, err = readCredentials(j.id.Dir, j.id.Job); {
		case errors.As(err, &exposed):
			return err
		case err != nil: // there is none, or it is another job's: it will be replaced
			return nil
		}
	}
	return j.knock(ctx, k)
}

// knock says hello to the rank 0 that has k, if there is one, and returns its refusal.
func (j *joiner) knock(ctx context.Context, k *credentials) error {
	address := ""
	if k != nil {
		address = k.Server
	}
	conn, err := j.connect(k, 0, address, nil, once...)
	if err != nil {
		if j.config.external() {
			return err
		}
		return nil // what an earlier attempt left
	}
	defer conn.Close()
	text, err := json.Marshal(j.hello)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, j.door(), text)
	if err != nil {
		return nil
	}
	var a answer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return fmt.Errorf("another rank 0 answers %q", m.Data)
	}
	return errors.New(a.Failed + a.Later)
}

// replaced is an error when k's file is another's by now: there are two processes that are rank 0.
func (j *joiner) replaced(ctx context.Context, k *credentials) error {
	if k == nil {
		return nil
	}
	now, err := readCredentials(j.id.Dir, j.id.Job)
	if err != nil || now.Attempt == k.Attempt {
		return nil
	}
	if err := j.knock(ctx, now); err != nil { // which also tells the other
		return err
	}
	return fmt.Errorf("%v has replaced %s; give every process a rank of its own", now.Rank0, credentialsFile(j.id.Dir, j.id.Job))
}

// guest is the way in of all but rank 0: through rank 0's server, whose address and credentials lie in the job's folder. What an
// earlier attempt left there leads nowhere, and is read again until it leads to a rank 0 that answers.
func (j *joiner) guest(ctx context.Context) (*Cluster, error) {
	file := credentialsFile(j.id.Dir, j.id.Job)
	why := ""
	var before error // what came of the last credentials
	for tries := 0; ; tries++ {
		var k *credentials
		var err error
		if !j.config.external() {
			k, err = readCredentials(j.id.Dir, j.id.Job)
		}
		if err == nil {
			var c *Cluster
			if c, err = j.enter(ctx, k); err == nil {
				return c, nil
			}
		}
		var dead *deadEnd
		var exposed *exposedError
		if errors.As(err, &dead) {
			before = dead
		}
		switch {
		case errors.As(err, &exposed):
			return nil, err
		case errors.Is(err, fs.ErrNotExist):
			why = fmt.Sprintf("rank 0 to write %s", file)
			if before != nil {
				why += fmt.Sprintf(" again (%v)", before)
			}
		case errors.As(err, &dead) && k != nil:
			why = fmt.Sprintf("a rank 0 that answers (what %s leads to: %v)", file, err)
		case errors.As(err, &dead):
			why = fmt.Sprintf("a rank 0 that answers (%v)", err)
		case k != nil || j.config.external():
			return nil, err
		default:
			why = fmt.Sprintf("rank 0 to write %s (%v)", file, err)
		}
		if !sleep(ctx, pause(tries)) {
			return nil, j.waited(ctx, why, "see what rank 0 wrote, and whether all nodes see that folder; cluster.join_timeout sets how long to wait")
		}
	}
}

// enter joins the rank 0 that has credentials k. It is a *deadEnd where there is no such rank 0.
func (j *joiner) enter(ctx context.Context, k *credentials) (_ *Cluster, err error) {
	address, route := "", ""
	if k != nil {
		address, route = k.Server, k.Route
	}
	door, err := j.connect(k, 0, address, nil, once...)
	switch {
	case err != nil && j.config.external():
		return nil, err
	case err != nil:
		return nil, &deadEnd{err}
	}
	defer door.Close()
	j.hello.Server, j.hello.Connected = "", false
	met, err := j.ask(ctx, door, func(a answer) bool { return a.Attempt != "" })
	if err != nil {
		return nil, err
	}
	c := j.cluster(met.Attempt)
	defer func() {
		if err == nil {
			return
		}
		c.dismantle()
		if !errors.As(err, new(*deadEnd)) && !errors.As(err, new(refusal)) {
			j.giveUp(door, err)
		}
	}()
	if j.id.embeds(j.config) {
		if c.node, err = startNode(j.id, k, j.host, route, j.config.heartbeat(), j.logf); err != nil {
			return nil, err
		}
		j.hello.Server = c.node.clientAddress()
	}
	all, err := j.ask(ctx, door, func(a answer) bool { return a.Servers != nil })
	if err != nil {
		return nil, err
	}
	c.members = all.Members
	if c.node != nil {
		if err := j.meshed(ctx, c, all.Left); err != nil {
			return nil, err
		}
	}
	for tries := 0; ; tries++ { // a server that many ranks come to at once may be slow
		if c.conn, err = j.connect(k, j.id.Node, all.Servers[j.id.Node], c.node); err == nil {
			break
		}
		if j.config.external() || !sleep(ctx, pause(tries)) {
			return nil, fmt.Errorf("this node's server: %w", err)
		}
	}
	if c.watch, err = c.startWatch(); err != nil {
		return nil, err
	}
	j.hello.Connected = true
	if len(all.Left) > 0 {
		return c, j.wait(c)
	}
	_, err = j.ask(ctx, c.conn, func(a answer) bool { return a.Done })
	return c, err
}

// meshed waits until the server of this node has a route to each other node's, but for those that have left.
func (j *joiner) meshed(ctx context.Context, c *Cluster, left []int) error {
	lost := func(node int) bool {
		return slices.ContainsFunc(c.members, func(m Member) bool { return m.Node == node && m.LocalRank == 0 && slices.Contains(left, m.Rank) })
	}
	for tries := 0; ; tries++ {
		missing, err := c.node.unreached(j.id.Node, j.id.Nodes)
		missing = slices.DeleteFunc(missing, lost)
		if err != nil || len(missing) == 0 {
			return err
		}
		if !sleep(ctx, pause(tries)) {
			var who []string
			for _, m := range c.members {
				if m.LocalRank == 0 && slices.Contains(missing, m.Node) {
					who = append(who, fmt.Sprintf("node %d (%s)", m.Node, m.Host))
				}
			}
			return j.waited(ctx, "a route to the servers of "+list(who),
				"see whether the nodes reach each other by "+j.host+" and the like; cluster.host chooses another network")
		}
	}
}

// giveUp tells rank 0 that this rank will not come.
func (j *joiner) giveUp(door *nats.Conn, reason error) {
	j.hello.GaveUp = reason.Error()
	if text, err := json.Marshal(j.hello); err == nil {
		_, _ = door.Request(j.door(), text, time.Second) // rank 0 may be gone, and will miss this rank otherwise
	}
}

// desk is where rank 0 hears hellos.
type desk struct {
	mu      sync.Mutex
	roster  *roster
	changed chan struct{}        // has room for one
	late    func(h hello) answer // answers who comes when all are there; nil: they are told so
}

func (d *desk) serve(m *nats.Msg) {
	var h hello
	if json.Unmarshal(m.Data, &h) != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock() // once the answer is sent: rank 0 may end after it
	a := d.roster.hear(h)
	if a.Later != "" && d.late != nil {
		if a = d.late(h); a.Failed == "" && a.Later == "" {
			a.Failed = d.roster.differs(h)
		}
	}
	if text, err := json.Marshal(a); err == nil {
		_ = m.Respond(text) // who does not get it asks again
	}
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// state is for whom the ranks wait, and why they have failed.
func (d *desk) state() (missing, failed string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.roster.missing(), d.roster.failed
}

func (d *desk) members() []Member {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Member
	for _, h := range d.roster.here {
		all = append(all, h.Member)
	}
	return all
}

// dismiss makes sure that who has come hears why it was in vain, and so does who comes in a moment if there is time.
func (d *desk) dismiss(ctx context.Context, reason string) {
	d.mu.Lock()
	if d.roster.failed == "" {
		d.roster.failed = reason
	}
	d.mu.Unlock()
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
		d.mu.Lock()
		untold := d.roster.untold(ctx.Err() == nil)
		d.mu.Unlock()
		if !untold {
			break
		}
	}
}
