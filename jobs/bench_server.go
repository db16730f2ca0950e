package jobs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// benchServer is the server of the benchmark: rank 0's, or in a mesh each rank's own. It takes connections with and without TLS.
type benchServer struct {
	*server.Server // nil on other ranks without a mesh
	url            string
	roots          *x509.CertPool
}

// serve starts this rank's server, if it has one; rank 0's is then told to the others through b.
func (b *reduceBench) serve() (*benchServer, error) {
	s := &benchServer{url: b.URL, roots: x509.NewCertPool()}
	if b.Rank == 0 || b.Mesh {
		certificate, root, err := selfSigned()
		if err != nil {
			return nil, err
		}
		o := &server.Options{ServerName: fmt.Sprintf("rank%d", b.Rank), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: 8 << 20, MaxPending: 256 << 20,
			AllowNonTLS: true, TLSTimeout: 10, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
		if b.Mesh {
			o.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT}
			if b.Route != "" {
				route, err := url.Parse(b.Route)
				if err != nil {
					return nil, err
				}
				o.Routes = []*url.URL{route}
			}
		}
		if s.Server, err = server.NewServer(o); err != nil {
			return nil, err
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			return nil, fmt.Errorf("the benchmark's NATS server did not start within 10s")
		}
		s.url = "nats://" + s.Addr().String()
		s.roots.AddCert(root)
		if b.Rank == 0 {
			b.URL, b.Certificates = s.url, root.Raw
			if b.Mesh {
				b.Route = "nats-route://" + s.ClusterAddr().String()
			}
		}
		return s, nil
	}
	root, err := x509.ParseCertificate(b.Certificates)
	if err != nil {
		return nil, err
	}
	s.roots.AddCert(root)
	return s, nil
}

// connect is within the process for the rank whose server it is.
func (s *benchServer) connect(secure bool) (*nats.Conn, error) {
	options := []nats.Option{nats.MaxReconnects(-1), nats.Timeout(10 * time.Second)}
	switch {
	case s.Server != nil:
		options = append(options, nats.InProcessServer(s))
	case secure:
		options = append(options, nats.Secure(&tls.Config{RootCAs: s.roots, ServerName: "saltern"}))
	}
	return nats.Connect(s.url, options...)
}

func (s *benchServer) close() {
	if s.Server != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// selfSigned makes a key and a certificate for this machine that nothing but its fingerprint vouches for.
func selfSigned() (c tls.Certificate, root *x509.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "saltern"}, DNSNames: []string{"saltern"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, nil, err
	}
	root, err = x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root, err
}
