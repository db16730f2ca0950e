package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// write puts a file into a folder of the test, for its owner alone.
func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serverCertificate makes a certificate for 127.0.0.1, and returns the names of its and its key's files.
func serverCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// keyPair is a new key of a kind, its public half and its seed.
func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	pair, err := create()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err == nil {
		seed, err = pair.Seed()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, public, seed
}

// startServer runs a NATS server as a process of its own, with its usual limits, and returns its address.
func startServer(t *testing.T, configuration string) string {
	t.Helper()
	file := write(t, "nats.conf", []byte("host: 127.0.0.1\nport: -1\n"+configuration))
	return startProcess(t, "server", nil, []string{"SALTERN_TEST_ROLE=server"}, []string{file}).hear("127.0.0.1:")
}

// external has three ranks on two nodes meet on servers that are there already. They need no folder.
func external(t *testing.T, c Config) []*Cluster {
	t.Helper()
	ids := layout(t, 2, 1)
	for i := range ids {
		ids[i].Dir, ids[i].Host = "", ""
	}
	all := together(t, ids, c)
	if n := all[0].Conn().MaxPayload(); n != 1<<20 {
		t.Errorf("the server's limit for a message is %d; this test is for the usual one", n)
	}
	return all
}

// TestExternalKey uses a server with TLS that knows the job by an nkey, which may use nothing but subjects of jobs.
func TestExternalKey(t *testing.T) {
	_, public, seed := keyPair(t, nkeys.CreateUser)
	cert, key := serverCertificate(t)
	address := startServer(t, fmt.Sprintf(`tls { cert_file: %q, key_file: %q }
authorization { users: [ { nkey: %s, permissions: { publish: "saltern.>", subscribe: "saltern.>" } } ] }`, cert, key, public))
	c := quick()
	c.URL, c.CA, c.Credentials = "tls://"+address, cert, write(t, "job.nk", seed)
	all := external(t, c)
	everyone(t, all, 1<<20-256)
	again := all[0].Identity()
	if _, err := Join(t.Context(), again, c, t.Logf); err == nil || !strings.Contains(err.Error(), "are all there already") {
		t.Errorf("a second rank 0: %v", err)
	}
	closeAll(t, all)
	ids := []Identity{again}
	_, _, stranger := keyPair(t, nkeys.CreateUser)
	for _, test := range []struct {
		why    string
		change func(*Config)
		want   string
	}{
		{"a stranger's key", func(c *Config) { c.Credentials = write(t, "other.nk", stranger) }, "nats: Authorization Violation"},
		{"no key", func(c *Config) { c.Credentials = "" }, "nats: Authorization Violation"},
		{"no such file", func(c *Config) { c.Credentials = "gone.nk" }, "cluster.credentials: stat gone.nk"},
		{"no key in it", func(c *Config) { c.Credentials = cert }, "holds neither credentials (.creds) nor the seed of an nkey"},
		{"no CA", func(c *Config) { c.CA = "" }, "certificate signed by unknown authority"},
		{"no server", func(c *Config) { c.URL = "tls://127.0.0.1:1" }, "connecting to NATS at tls://127.0.0.1:1: "},
		{"a file for all to read", func(c *Config) { c.Credentials = exposed(t, seed) }, "has mode 0644; take new credentials if others use this machine, and run: chmod 600 "},
	} {
		wrong := c
		test.change(&wrong)
		for _, j := range joinAll(t, ids, wrong) {
			if j.err == nil || !strings.Contains(j.err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.why, j.err, test.want)
			}
		}
	}
}

func exposed(t *testing.T, seed []byte) string {
	name := write(t, "open.nk", seed)
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestExternalCredentials uses a server that knows the job by credentials as nsc makes them.
func TestExternalCredentials(t *testing.T) {
	operator, operatorID, _ := keyPair(t, nkeys.CreateOperator)
	account, accountID, _ := keyPair(t, nkeys.CreateAccount)
	_, userID, seed := keyPair(t, nkeys.CreateUser)
	encode := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	top := encode(jwt.NewOperatorClaims(operatorID).Encode(operator))
	middle := encode(jwt.NewAccountClaims(accountID).Encode(operator))
	user := jwt.NewUserClaims(userID)
	user.Permissions.Pub.Allow.Add("saltern.>")
	user.Permissions.Sub.Allow.Add("saltern.>")
	file, err := jwt.FormatUserConfig(encode(user.Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	c := quick()
	c.URL = "nats://" + startServer(t, fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }\n", top, accountID, middle))
	c.Credentials = write(t, "job.creds", file)
	everyone(t, external(t, c), 1<<20-256)
}

// TestExternalForbids uses a server that keeps the job from its subjects: the error says so.
func TestExternalForbids(t *testing.T) {
	_, public, seed := keyPair(t, nkeys.CreateUser)
	c := quick()
	c.URL = "nats://" + startServer(t, fmt.Sprintf(`authorization { users: [ { nkey: %s, permissions: { publish: "other.>", subscribe: "other.>" } } ] }`, public))
	c.Credentials = write(t, "job.nk", seed)
	for _, j := range joinAll(t, layout(t, 2), c) {
		if j.err == nil || !strings.Contains(j.err.Error(), "forbids what the job needs: ") || !strings.Contains(j.err.Error(), "; let its user publish and subscribe to saltern.>") {
			t.Error(j.err)
		}
	}
}
