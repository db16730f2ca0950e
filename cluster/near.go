package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"saltern/cluster/memconn"
)

// near is the name under which the server of a node takes that node's other ranks through memory. Ranks know the server there by its user,
// who is their own, and it knows them by the job's nkey; nobody reads along but who can read their memory as well, so there is no TLS.
type near string

func nearName(attempt string, node int) near {
	return near("saltern-" + attempt + "-" + nodeName(node))
}

// InProcessConn is for nats.InProcessServer, whose connections are not of nats.go's making and have no TLS.
func (n near) InProcessConn() (net.Conn, error) { return memconn.Dial(string(n)) }

// bridges are a server's connections through memory. The server takes connections within its process, which are pipes; each is the other end
// of a bridge, that has the server read and write in the shared memory itself.
type bridges struct {
	listener *memconn.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	open     map[*memconn.Conn]bool
}

// bridge takes ranks for s under a name.
func (n near) bridge(s *server.Server) (*bridges, error) {
	l, err := memconn.Listen(string(n))
	if err != nil {
		return nil, err
	}
	b := &bridges{listener: l, open: map[*memconn.Conn]bool{}}
	b.wg.Go(func() {
		for {
			c, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // too many files, perhaps; who dials tries again
				time.Sleep(50 * time.Millisecond)
			default:
				b.take(c, s)
			}
		}
	})
	return b, nil
}

func (b *bridges) take(c *memconn.Conn, s *server.Server) {
	pipe, err := s.InProcessConn()
	if err != nil { // it ends
		c.Close()
		return
	}
	b.mu.Lock()
	b.open[c] = true
	b.mu.Unlock()
	end := func() {
		pipe.Close()
		c.Close()
		b.mu.Lock()
		delete(b.open, c)
		b.mu.Unlock()
	}
	b.wg.Go(func() { _, _ = io.Copy(pipe, c); end() })
	b.wg.Go(func() { _, _ = io.Copy(c, pipe); end() })
}

// cut ends all connections.
func (b *bridges) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		go c.Close() // which waits for the bridge
	}
}

// close ends b once its server has ended.
func (b *bridges) close() {
	_ = b.listener.Close()
	b.cut()
	b.wg.Wait()
}
