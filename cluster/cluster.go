package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Cluster is this process among the ranks of its job.
type Cluster struct {
	id          Identity
	config      Config
	subjects    string // what those of this attempt begin with
	members     []Member
	conn        *nats.Conn
	node        *node        // the node's server, where this rank runs it
	credentials *credentials // what rank 0 has written down
	invited     string       // the folder whose readers may watch; see Invite
	logf        func(string, ...any)
}

// cluster is what j becomes part of.
func (j *joiner) cluster(attempt string) *Cluster {
	return &Cluster{id: j.id, config: j.config, subjects: prefix(j.id.Job) + attempt + ".", logf: j.logf}
}

// Identity is who this process is.
func (c *Cluster) Identity() Identity { return c.id }

// Members are all ranks, in order.
func (c *Cluster) Members() []Member { return slices.Clone(c.members) }

// Conn is the connection to this node's server. It lasts until Close and finds its way back by itself when it is lost; what was
// under way then may be lost too. Its MaxPayload is the most that a message may hold.
func (c *Cluster) Conn() *nats.Conn { return c.conn }

// Subject is the subject of this attempt at the job that ends in name, which may have dots: "saltern.JOB.ATTEMPT.name". The ranks
// may use no subjects but those below saltern.JOB.
func (c *Cluster) Subject(name string) string { return c.subjects + name }

// Close leaves the job, and ends what this process runs for it.
func (c *Cluster) Close() error {
	return c.dismantle()
}

// dismantle takes down what there is of c.
func (c *Cluster) dismantle() error {
	err := c.uninvite()
	if c.credentials != nil {
		err = errors.Join(err, c.credentials.remove(c.id.Dir))
	}
	if c.conn != nil {
		c.conn.Close()
	}
	if c.node != nil {
		c.node.stop()
	}
	return err
}

// once are the options of a connection that is tried once and not restored.
var once = []nats.Option{nats.NoReconnect()}

// connect connects to a server that runs within this process, or to the one at address, or to Config.URL's.
func (j *joiner) connect(k *credentials, address string, in *node, more ...nats.Option) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(fmt.Sprintf("saltern %s rank %d", j.id.Job, j.id.Rank)),
		nats.CustomInboxPrefix(prefix(j.id.Job) + "inbox"),
		nats.Timeout(5 * time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.PingInterval(j.config.heartbeat()), nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { j.logf("NATS: %v", err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				j.logf("the connection to NATS is lost: %v", err)
			}
		}),
		nats.ReconnectHandler(func(conn *nats.Conn) { j.logf("connected to NATS again, at %s", conn.ConnectedAddr()) }),
	}
	own := j.config.options
	if !j.config.external() {
		own = k.options
	}
	auth, err := own()
	if err != nil {
		return nil, err
	}
	options = append(options, auth...)
	if in != nil {
		options = append(options, nats.InProcessServer(in.Server))
	}
	url := "tls://" + address
	if j.config.external() {
		url = j.config.URL
	}
	conn, err := nats.Connect(url, append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS at %s: %w", url, err)
	}
	return conn, nil
}

// options are what a connection to c.URL takes.
func (c Config) options() ([]nats.Option, error) {
	var options []nats.Option
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	return options, nil
}
