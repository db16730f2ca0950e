package cluster

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"saltern/cluster/link"
)

// logged is what ranks log.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, format)
}

// TestNear: ranks of a node speak to its server through memory, rank 0's and those of other nodes to theirs, and nobody but the servers by TCP.
func TestNear(t *testing.T) {
	for rank, c := range together(t, layout(t, 2, 3), quick()) {
		if address := c.Conn().ConnectedAddr(); strings.Contains(address, ":") {
			t.Errorf("rank %d is connected to %s", rank, address)
		}
	}
}

// TestFar has a rank come to a server that does not take it through memory: it comes by TCP with TLS, and says so once.
func TestFar(t *testing.T) {
	k := *together(t, layout(t, 2), quick())[0].credentials
	k.Attempt = "another"
	l := &logged{}
	j := &joiner{id: Identity{Job: "test"}, config: quick(), logf: l.logf}
	for range 2 {
		c, err := j.connect(&k, 0, k.Server, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.ConnectedAddr() != k.Server || !c.TLSRequired() {
			t.Errorf("connected to %s, with TLS: %v", c.ConnectedAddr(), c.TLSRequired())
		}
	}
	if len(l.lines) != 1 || !strings.Contains(l.lines[0], "by TCP, with TLS, and not through memory") {
		t.Errorf("it says %q", l.lines)
	}
}

// TestOthersAreRefusedNear comes to a server through memory with less than its job's credentials, and with those of another job.
func TestOthersAreRefusedNear(t *testing.T) {
	mine := together(t, layout(t, 2), quick())[0].credentials
	other, err := newCredentials("test", Member{}) // another attempt, even
	if err != nil {
		t.Fatal(err)
	}
	others, err := nkeyOptions(other.Seed, "")
	if err != nil {
		t.Fatal(err)
	}
	user, stranger, _ := keyPair(t, nkeys.CreateUser)
	ranks, err := public(mine.Seed)
	if err != nil {
		t.Fatal(err)
	}
	right, err := nkeyOptions(mine.Seed, "")
	if err != nil {
		t.Fatal(err)
	}
	ways := []approached{
		{"without anything", nil, "Authorization Violation"},
		{"a password", []nats.Option{nats.UserInfo("node", mine.RouteSecret)}, "Authorization Violation"},
		{"a key of one's own", []nats.Option{nats.Nkey(stranger, user.Sign)}, "Authorization Violation"},
		{"the ranks' public key, signed for by another", []nats.Option{nats.Nkey(ranks, user.Sign)}, "Authorization Violation"},
		{"another job's", others, "Authorization Violation"},
		{"the right ones", right, ""},
	}
	for i := range ways {
		ways[i].options = append(ways[i].options, nats.InProcessServer(nearName(mine.Attempt, 0)))
	}
	approach(t, "nats://"+mine.Server, ways)
}

// TestStalledNear ends a job while one that is connected through memory reads nothing, and the bridge to it is full.
func TestStalledNear(t *testing.T) {
	all := together(t, layout(t, 2), quick())
	k := all[0].credentials
	auth, err := nkeyOptions(k.Seed, "")
	if err != nil {
		t.Fatal(err)
	}
	g := &stalled{near: nearName(k.Attempt, 0)}
	conn, err := nats.Connect("nats://"+k.Server, append(auth, nats.InProcessServer(g), nats.NoReconnect())...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Subscribe(all[0].Subject("bulk"), func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	g.hold.Lock()
	defer g.hold.Unlock()
	for range 8 {
		if err := all[1].Conn().Publish(all[0].Subject("bulk"), make([]byte, link.Chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := all[1].Conn().FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() { closeAll(t, all); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the job does not end")
	}
}

// stalled is a way through memory whose reader can be held.
type stalled struct {
	near
	net.Conn
	hold sync.RWMutex
}

func (s *stalled) InProcessConn() (net.Conn, error) {
	c, err := s.near.InProcessConn()
	s.Conn = c
	return s, err
}

func (s *stalled) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.hold.RLock()
	defer s.hold.RUnlock()
	return n, err
}
