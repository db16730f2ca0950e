package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// options are what a connection to c.URL takes.
func (c Config) options() ([]nats.Option, error) {
	var options []nats.Option
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	if c.Credentials == "" {
		return options, nil
	}
	info, err := os.Stat(c.Credentials)
	if err != nil {
		return nil, fmt.Errorf("cluster.credentials: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("cluster.credentials: others may read %s, which has mode %04o; take new credentials if others use this machine, and run: chmod 600 %s", c.Credentials, mode, c.Credentials)
	}
	text, err := os.ReadFile(c.Credentials)
	if err != nil {
		return nil, fmt.Errorf("cluster.credentials: %w", err)
	}
	if bytes.Contains(text, []byte("BEGIN NATS USER JWT")) {
		return append(options, nats.UserCredentialBytes(text)), nil
	}
	key, err := nats.NkeyOptionFromSeed(c.Credentials)
	if err != nil {
		return nil, fmt.Errorf("cluster.credentials: %s holds neither credentials (.creds) nor the seed of an nkey: %w", c.Credentials, err)
	}
	return append(options, key), nil
}

// permitted asks whether a server lets a job use its subjects, as it would not answer later.
func permitted(conn *nats.Conn, job string) error {
	subject := prefix(job) + "permitted"
	sub, err := conn.SubscribeSync(subject)
	if err != nil {
		return err
	}
	err = errors.Join(conn.Publish(subject, nil), conn.Flush(), sub.Unsubscribe())
	if last := conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("the NATS server at %s forbids what the job needs: %w; let its user publish and subscribe to saltern.>", conn.ConnectedAddr(), last)
	}
	return err
}
