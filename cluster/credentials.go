package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// credentials are what an attempt at a job is kept to itself with, made anew by its rank 0: who has them may do all that its
// ranks may, and nothing else. They reach the other ranks as a file that only its owner can read.
type credentials struct {
	Job     string `json:"job"`
	Attempt string `json:"attempt"` // random: tells apart two attempts that were given one name
	Rank0   Member `json:"rank_0"`  // who made them
	Server  string `json:"server"`  // where rank 0's server takes ranks, host:port
	Route   string `json:"route"`   // where it takes other nodes' servers, if there are any

	Seed        string `json:"seed"`         // nkey of the ranks
	Observer    string `json:"observer"`     // nkey of those who watch, see Invite
	RouteSecret string `json:"route_secret"` // what servers tell each other
	Certificate string `json:"certificate"`  // PEM; every server of the job shows it, and it is the only one that is trusted
	Key         string `json:"key"`          // PEM, its private key
}

// certName is the name in the certificate. Servers are found by address; what counts is who holds the key.
const certName = "servers.saltern.internal"

// credentialsFile is the file of a job's credentials in its folder for rendezvous, which several jobs may have in common, as the tasks of an
// array do.
func credentialsFile(dir, job string) string { return filepath.Join(dir, job+".json") }

// newCredentials makes credentials for an attempt at a job.
func newCredentials(job string, rank0 Member) (*credentials, error) {
	seed, err := newSeed()
	if err != nil {
		return nil, err
	}
	observer, err := newSeed()
	if err != nil {
		return nil, err
	}
	k := &credentials{Job: job, Attempt: newAttempt(), Rank0: rank0, Seed: seed, Observer: observer, RouteSecret: rand.Text()}
	return k, k.certify()
}

// certify makes the certificate of k's servers.
func (k *credentials) certify() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "saltern job " + k.Job},
		DNSNames:     []string{certName},
		NotBefore:    now.Add(-24 * time.Hour), // nodes' clocks differ
		NotAfter:     now.AddDate(2, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	k.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	k.Key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return nil
}

// url is that of one of k's servers.
func (k *credentials) url(address string) string { return "tls://" + address }

// newSeed is the secret half of a new nkey.
func newSeed() (string, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	seed, err := user.Seed()
	return string(seed), err
}

// newAttempt is a random part of subjects.
func newAttempt() string { return rand.Text()[:10] }

// write puts k into its file, where an earlier attempt's may lie.
func (k *credentials) write(dir string) error { return writePrivate(credentialsFile(dir, k.Job), k) }

// remove removes k's file, unless it is another attempt's by now.
func (k *credentials) remove(dir string) error {
	if now, err := readCredentials(dir, k.Job); err != nil || now.Attempt != k.Attempt {
		return nil
	}
	err := os.Remove(credentialsFile(dir, k.Job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// exposedError is a credentials file that others have had a chance to read or to write. It is not worth waiting for a better one.
type exposedError struct{ file, problem string }

func (e *exposedError) Error() string {
	return fmt.Sprintf("%s %s; remove it and start the job again, in a folder where nobody else makes files", e.file, e.problem)
}

// readCredentials reads the file of credentials. It is an *exposedError where others may have read it, fs.ErrNotExist where there
// is none yet, and another error where it is of another job.
func readCredentials(dir, job string) (*credentials, error) {
	// A client of NFS may remember for a minute that a file is not there; reading the folder makes it ask.
	_, _ = os.ReadDir(dir)
	name := credentialsFile(dir, job)
	k := &credentials{}
	if err := readPrivate(name, k); err != nil {
		return nil, err
	}
	if k.Job != job {
		return nil, fmt.Errorf("%s is of %q, not of this job, %q", name, k.Job, job)
	}
	return k, nil
}

// readPrivate reads a file of JSON that nobody else may have had a chance to read or to write.
func readPrivate(name string, into any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &exposedError{name, fmt.Sprintf("has mode %04o, so that others may read the job's credentials (wanted is 0600)", mode)}
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return &exposedError{name, fmt.Sprintf("belongs to user %d, not to %d who runs this", s.Uid, os.Geteuid())}
	}
	if err := json.NewDecoder(f).Decode(into); err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return nil
}

// writePrivate writes what readPrivate reads: whole or not at all, and never to be read by others.
func writePrivate(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(name, text, 0o600, renameio.WithTempDir(filepath.Dir(name)))
}

// tls is how the job's servers, and their clients, meet: the one certificate is the only authority, so that who shows it is a
// server of this attempt.
func (k *credentials) tls() (*tls.Config, error) {
	pair, err := tls.X509KeyPair([]byte(k.Certificate), []byte(k.Key))
	if err != nil {
		return nil, fmt.Errorf("the job's certificate: %w", err)
	}
	c := trusting(k.Certificate)
	c.Certificates, c.ClientCAs = []tls.Certificate{pair}, c.RootCAs
	return c, nil
}

// trusting is how a client meets servers that show a certificate.
func trusting(certificate string) *tls.Config {
	only := x509.NewCertPool()
	only.AppendCertsFromPEM([]byte(certificate))
	return &tls.Config{RootCAs: only, ServerName: certName, MinVersion: tls.VersionTLS13}
}

// public is the public half of an nkey.
func public(seed string) (string, error) {
	user, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return "", fmt.Errorf("the job's nkey: %w", err)
	}
	return user.PublicKey()
}

// options are what a connection of a rank to the job's servers takes.
func (k *credentials) options() ([]nats.Option, error) { return nkeyOptions(k.Seed, k.Certificate) }

// nkeyOptions are what a connection takes that is known by an nkey, to servers that are known by a certificate; without one it has no
// TLS, as within a process and through memory.
func nkeyOptions(seed, certificate string) ([]nats.Option, error) {
	public, err := public(seed)
	if err != nil {
		return nil, err
	}
	sign := func(nonce []byte) ([]byte, error) {
		user, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return nil, err
		}
		return user.Sign(nonce)
	}
	options := []nats.Option{nats.Nkey(public, sign)}
	if certificate != "" {
		options = append(options, nats.Secure(trusting(certificate)))
	}
	return options, nil
}
