package cluster

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"saltern/cluster/link"
)

// node is a server that runs within this process, for the ranks of one node.
type node struct {
	*server.Server
	log  *serverLog
	near *bridges // nil: this process has the node to itself, or others come by TCP alone
}

// startNode starts the server of id's node at an address and has it connect to the route, if that is not empty.
func startNode(id Identity, k *credentials, host, route string, heartbeat time.Duration, logf func(string, ...any)) (*node, error) {
	o, err := serverOptions(id, k, host, route, heartbeat)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("the NATS server of node %d: %w", id.Node, err)
	}
	n := &node{Server: s, log: &serverLog{node: id.Node, logf: logf}}
	s.SetLoggerV2(n.log, false, false, false)
	s.Start()
	for began := time.Now(); !s.ReadyForConnections(50 * time.Millisecond); {
		if reason := n.log.fatal.Load(); reason != nil || time.Since(began) > 10*time.Second {
			n.stop()
			if reason == nil {
				return nil, fmt.Errorf("the NATS server of node %d does not start at %s, and says not why", id.Node, host)
			}
			return nil, fmt.Errorf("the NATS server of node %d does not start at %s: %s; is that address one of this node's? cluster.host chooses another", id.Node, host, *reason)
		}
	}
	if id.LocalSize > 1 {
		n.near, _ = nearName(k.Attempt, id.Node).bridge(s) // those who miss it say so
	}
	return n, nil
}

// serverOptions are those of the server of id's node.
func serverOptions(id Identity, k *credentials, host, route string, heartbeat time.Duration) (*server.Options, error) {
	ranks, err := public(k.Seed)
	if err != nil {
		return nil, err
	}
	observers, err := public(k.Observer)
	if err != nil {
		return nil, err
	}
	all := &server.SubjectPermission{Allow: []string{prefix(k.Job) + ">"}}
	heard := &server.SubjectPermission{Allow: []string{prefix(k.Job) + k.Attempt + "." + Status + ".>"}}
	nothing := &server.SubjectPermission{Deny: []string{">"}}
	const patience = 10 // seconds; nodes may be busy when a job starts
	o := &server.Options{
		ServerName: nodeName(id.Node), Host: host, Port: server.RANDOM_PORT,
		NoSigs: true, // signals are the command's
		Nkeys: []*server.NkeyUser{
			{Nkey: ranks, Permissions: &server.Permissions{Publish: all, Subscribe: all}},
			{Nkey: observers, Permissions: &server.Permissions{Publish: nothing, Subscribe: heard}},
		},
		AuthTimeout:   patience + 1,
		MaxPayload:    link.Chunk + 64<<10,
		MaxPending:    max(256<<20, int64(id.Size)*link.UnderWay),
		WriteDeadline: max(30*time.Second, 2*heartbeat), // a rank that takes that long is lost already
	}
	if o.TLSConfig, err = k.tls(); err != nil {
		return nil, err
	}
	o.TLS, o.TLSTimeout = true, patience
	if id.Nodes == 1 {
		return o, nil
	}
	routes := o.TLSConfig.Clone()
	routes.ClientAuth = tls.RequireAndVerifyClientCert
	o.Cluster = server.ClusterOpts{
		Name: k.Job + "-" + k.Attempt, Host: host, Port: server.RANDOM_PORT,
		Advertise: net.JoinHostPort(host, "-1"), // its own port; else other nodes would try the address that a connection came from
		Username:  "node", Password: k.RouteSecret, AuthTimeout: patience + 1,
		TLSConfig: routes, TLSTimeout: patience,
		PoolSize:      1,                                                   // a pool spreads accounts over connections, and all ranks are of one account
		Compression:   server.CompressionOpts{Mode: server.CompressionOff}, // gradients do not compress
		WriteDeadline: o.WriteDeadline,
	}
	if route != "" {
		o.Routes = []*url.URL{{Scheme: "nats-route", User: url.UserPassword("node", k.RouteSecret), Host: route}}
	}
	return o, nil
}

func nodeName(n int) string { return "node-" + strconv.Itoa(n) }

// clientAddress is where n takes ranks, host:port.
func (n *node) clientAddress() string { return n.Addr().String() }

// routeAddress is where n takes other nodes' servers; empty where there are none.
func (n *node) routeAddress() string {
	if a := n.ClusterAddr(); a != nil {
		return (&net.TCPAddr{IP: a.IP, Port: a.Port}).String()
	}
	return ""
}

// unreached are the nodes of nodes whose servers n has no route to.
func (n *node) unreached(self, nodes int) ([]int, error) {
	routes, err := n.Routez(nil)
	if err != nil {
		return nil, err
	}
	var list []int
	for k := range nodes {
		if k != self && !slices.ContainsFunc(routes.Routes, func(r *server.RouteInfo) bool { return r.RemoteName == nodeName(k) }) {
			list = append(list, k)
		}
	}
	return list, nil
}

// emptied waits until only this process is connected to n, which may be nil: what the others have been sent before, they have read.
func (n *node) emptied(limit time.Duration) {
	for began := time.Now(); n != nil && n.NumClients() > 1 && time.Since(began) < limit; time.Sleep(10 * time.Millisecond) {
	}
}

// stop ends n and waits for it.
func (n *node) stop() {
	n.log.closing.Store(true)
	if n.near != nil {
		defer n.near.close()
		defer time.AfterFunc(time.Second, n.near.cut).Stop() // a rank that reads nothing would hold it up for WriteDeadline
	}
	n.Shutdown()
	n.WaitForShutdown()
}

// serverLog passes on what a server warns of, and keeps the rest to itself.
type serverLog struct {
	node    int
	logf    func(string, ...any)
	closing atomic.Bool // the job ends: nodes leave, and that is nothing to warn of
	fatal   atomic.Pointer[string]
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any)  { l.pass(format, v) }
func (l *serverLog) Errorf(format string, v ...any) { l.pass(format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	reason := strings.TrimSpace(fmt.Sprintf(format, v...))
	l.fatal.CompareAndSwap(nil, &reason)
}

func (l *serverLog) pass(format string, v []any) {
	if !l.closing.Load() {
		l.logf("NATS server of node %d: %s", l.node, fmt.Sprintf(format, v...))
	}
}
