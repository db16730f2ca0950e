package jobs

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"saltern/cluster"
	"saltern/cluster/collective"
	"saltern/cluster/link"
	"saltern/cluster/wire"
)

// reduceWay is one way to reduce a vector over the benchmark's ranks.
type reduceWay struct {
	path   string
	format wire.Format
	group  *collective.Group // nil without NATS
	reduce func(ctx context.Context, x []float32) error
	close  func()
}

// overNATS is a way for each format, over the links that a job has.
func (b reduceBench) overNATS(c *cluster.Cluster) (ways []reduceWay, err error) {
	path := "NATS"
	if b.Mesh {
		path += ", mesh"
	}
	links, err := link.Open(c.Conn(), c.Subject("link"), b.Rank, b.Size, link.Options{Chunk: b.Chunk, Window: b.Window, Deadline: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	for i, f := range b.Wires {
		g := collective.New(links, b.Rank, b.Size).With(f)
		w := reduceWay{path, f, g, g.AllReduce, func() {}}
		if i == 0 {
			w.close = func() { _ = links.Close() }
		}
		ways = append(ways, w)
	}
	return ways, nil
}

// overTCP is the plainest ring there is: one connection to the next rank, chunks of 1 MiB, sent on as soon as they are added; with TLS
// if it is secured. The ranks learn each other's addresses through g.
func (b reduceBench) overTCP(ctx context.Context, g *collective.Group, secured bool) (w reduceWay, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return w, err
	}
	defer listener.Close()
	all, err := g.Gather(ctx, 0, fmt.Appendf(nil, "%30s", listener.Addr()))
	if err != nil {
		return w, err
	}
	addresses := make([]byte, 30*b.Size)
	for rank, a := range all {
		copy(addresses[30*rank:], a)
	}
	if err := g.Broadcast(ctx, 0, addresses); err != nil {
		return w, err
	}
	var to string
	next := 30 * ((b.Rank + 1) % b.Size)
	if _, err := fmt.Sscan(string(addresses[next:next+30]), &to); err != nil {
		return w, err
	}
	out, err := net.Dial("tcp", to) // the kernel takes it before Accept does
	if err != nil {
		return w, err
	}
	in, err := listener.Accept()
	if err != nil {
		out.Close()
		return w, err
	}
	r := &tcpRing{in: in, out: out, rank: b.Rank, size: b.Size, chunk: 1 << 18}
	path := "TCP ring"
	if secured {
		if r.in, r.out, err = encrypted(in, out); err != nil {
			return w, errors.Join(err, in.Close(), out.Close())
		}
		path = "TLS ring"
	}
	return reduceWay{path, wire.Float32, nil, r.reduce, func() { in.Close(); out.Close() }}, nil
}

// encrypted puts TLS on a ring's connections. Nobody's name is checked: what is measured is what encryption takes.
func encrypted(in, out net.Conn) (net.Conn, net.Conn, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, nil, err
	}
	own := tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: private}
	return tls.Server(in, &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}),
		tls.Client(out, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}), nil
}

type tcpRing struct {
	in, out    net.Conn
	rank, size int
	chunk      int // elements
}

func (r *tcpRing) reduce(ctx context.Context, x []float32) error {
	stop := context.AfterFunc(ctx, func() { r.in.Close(); r.out.Close() })
	defer stop()
	ready, sent := make(chan []float32, len(x)/r.chunk+2*r.size), make(chan error, 1)
	go func() {
		var err error
		for part := range ready {
			if _, e := r.out.Write(wire.Bytes(part)); err == nil {
				err = e
			}
		}
		sent <- err
	}()
	err := r.steps(x, func(part []float32) { ready <- part })
	close(ready)
	return errors.Join(err, <-sent)
}

// steps receives the segments in the order in which they come round. Each part is sent on, except in the last step.
func (r *tcpRing) steps(x []float32, send func(part []float32)) error {
	each(r.segment(x, r.rank-1), r.chunk, send)
	received := make([]byte, 4*r.chunk)
	var err error
	for step := range 2*r.size - 2 {
		each(r.segment(x, r.rank-2-step), r.chunk, func(part []float32) {
			into := wire.Bytes(part)
			if step < r.size-1 {
				into = received[:4*len(part)]
			}
			if _, e := io.ReadFull(r.in, into); e != nil {
				err = e
				return
			}
			if step < r.size-1 {
				wire.Float32.Add(part, into)
			}
			if step < 2*r.size-3 {
				send(part)
			}
		})
	}
	return err
}

func (r *tcpRing) segment(x []float32, number int) []float32 {
	first, n := collective.Segment(len(x), r.size, (number+4*r.size)%r.size)
	return x[first : first+n]
}

// each calls do with the parts of x, chunk long but for the last.
func each(x []float32, chunk int, do func(part []float32)) {
	for len(x) > 0 {
		n := min(chunk, len(x))
		do(x[:n])
		x = x[n:]
	}
}
