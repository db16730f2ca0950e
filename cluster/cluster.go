package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Cluster is this process among the ranks of its job.
type Cluster struct {
	id          Identity
	config      Config
	attempt     string // random; see credentials
	subjects    string // what those of this attempt begin with
	members     []Member
	conn        *nats.Conn
	node        *node        // the node's server, where this rank runs it
	credentials *credentials // what rank 0 has written down
	invited     string       // the folder whose readers may watch; see Invite
	watch       *watch       // once all are connected
	leave       sync.Once
	logf        func(string, ...any)

	parent  context.Context // of all that Context has been
	mu      sync.Mutex
	context context.Context
	lose    context.CancelCauseFunc
}

// cluster is what j becomes part of.
func (j *joiner) cluster(attempt string) *Cluster {
	c := &Cluster{id: j.id, config: j.config, attempt: attempt, subjects: prefix(j.id.Job) + attempt + ".", logf: j.logf, parent: j.parent}
	c.context, c.lose = context.WithCancelCause(j.parent)
	return c
}

// Identity is who this process is.
func (c *Cluster) Identity() Identity { return c.id }

// Members are all ranks, in order, those that are lost included.
func (c *Cluster) Members() []Member {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	return slices.Clone(c.members)
}

// View is which ranks this one is among, as Join, Regroup or Admit has found them.
func (c *Cluster) View() View {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	return c.watch.view
}

// Left says that a rank has left, with a reason or without one, or is lost.
func (c *Cluster) Left(rank int) bool {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	return c.watch.pulse.left[rank]
}

// Context lasts as long as all ranks do, and Join's context: its cause is a *RankLost once a rank has been silent for
// Config.Heartbeat, or has left with a reason. All that waits for other ranks must end with it. Regroup begins another.
func (c *Cluster) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context
}

// end ends Context.
func (c *Cluster) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose(cause)
}

// Conn is the connection to this node's server. It lasts until Close and finds its way back by itself when it is lost; what was
// under way then may be lost too. Its MaxPayload is the most that a message may hold.
func (c *Cluster) Conn() *nats.Conn { return c.conn }

// Subject is the subject of this attempt at the job that ends in name, which may have dots: "saltern.JOB.ATTEMPT.name". The ranks
// may use no subjects but those below saltern.JOB.
func (c *Cluster) Subject(name string) string { return c.subjects + name }

// Close leaves the job after its end. All ranks should do so at about the same time: those that run a server wait for the others,
// at most for Config.Heartbeat.
func (c *Cluster) Close() error { return c.Leave(nil) }

// Leave leaves the job and ends what this process runs for it. A cause ends the others' Context, who learn of it in its words.
// After the first Leave or Close another does nothing.
func (c *Cluster) Leave(cause error) error {
	var err error
	c.leave.Do(func() {
		if e := c.watch.farewell(cause); e != nil && c.Context().Err() == nil {
			c.logf("the other ranks could not be told that this one leaves: %v", e)
		}
		if c.node != nil {
			c.node.log.closing.Store(true)
			patience := c.config.heartbeat()
			if cause != nil || c.Context().Err() != nil {
				patience = min(patience, time.Second) // long enough for the others to read why
			}
			c.watch.outlast(patience)
			c.node.emptied(time.Second)
		}
		err = c.dismantle()
	})
	return err
}

// dismantle takes down what there is of c.
func (c *Cluster) dismantle() error {
	c.end(context.Canceled)
	err := c.uninvite()
	if c.credentials != nil {
		err = errors.Join(err, c.credentials.remove(c.id.Dir))
	}
	if c.conn != nil {
		if c.conn.IsConnected() {
			_ = c.conn.FlushTimeout(time.Second) // rank 0's last answers
		}
		c.conn.Close()
	}
	if c.node != nil {
		c.node.stop()
	}
	return err
}

// once are the options of a connection that is tried once and not restored.
var once = []nats.Option{nats.NoReconnect()}

// connect connects to the server of a node: within this process, through memory where it is this rank's node, or at its address. With
// Config.URL it connects there.
func (j *joiner) connect(k *credentials, at int, address string, in *node, more ...nats.Option) (*nats.Conn, error) {
	if j.config.external() {
		auth, err := j.config.options()
		if err != nil {
			return nil, err
		}
		conn, err := j.dial(j.config.URL, append(auth, more...))
		if err != nil {
			return nil, err
		}
		if err := permitted(conn, j.id.Job); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	var inside nats.InProcessConnProvider
	switch {
	case in != nil:
		inside = in.Server
	case at == j.id.Node:
		inside = nearName(k.Attempt, at)
	}
	var missed error
	if inside != nil {
		auth, err := nkeyOptions(k.Seed, "")
		if err != nil {
			return nil, err
		}
		conn, err := j.dial("nats://"+address, append(auth, append(more, nats.InProcessServer(inside))...))
		if err == nil || in != nil {
			return conn, err
		}
		missed = err
	}
	auth, err := k.options()
	if err != nil {
		return nil, err
	}
	conn, err := j.dial(k.url(address), append(auth, more...))
	if err == nil && missed != nil && !j.far {
		j.far = true
		j.logf("this rank speaks to its node's server by TCP, with TLS, and not through memory, which takes more than twice as much of the processor: %v", missed)
	}
	return conn, err
}

// dial connects as ranks do.
func (j *joiner) dial(url string, more []nats.Option) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(fmt.Sprintf("saltern %s rank %d", j.id.Job, j.id.Rank)),
		nats.CustomInboxPrefix(prefix(j.id.Job) + "inbox"),
		nats.Timeout(5 * time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(j.config.heartbeat()), nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { j.logf("NATS: %v", err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				j.logf("the connection to NATS is lost: %v", err)
			}
		}),
	}
	conn, err := nats.Connect(url, append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS at %s: %w", url, err)
	}
	return conn, nil
}
