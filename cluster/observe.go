package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Status is what the subjects begin with, after Subject's own prefix, on which ranks say how they are doing: "status.3" is rank 3's.
// They are all that an Observer can hear.
const Status = "status"

// invitation is what an observer needs to know, in a file that only its owner can read. It holds none of what the ranks are known by.
type invitation struct {
	Job      string `json:"job"`
	Subjects string `json:"subjects"` // what those of this attempt begin with
	URL      string `json:"url"`      // of rank 0's server, or Config.URL

	Seed        string `json:"seed,omitempty"` // nkey of observers, and the certificate that the servers show; empty with Config.URL,
	Certificate string `json:"certificate,omitempty"`

	Credentials string `json:"credentials,omitempty"` // which has these files in their place
	CA          string `json:"ca,omitempty"`
}

// invitationFile is the file of the invitation in a job's folder.
func invitationFile(dir string) string { return filepath.Join(dir, "watch.json") }

// Invite has rank 0 write into a folder what Attach needs to hear what the ranks say of themselves, for the user who runs the job;
// the others do nothing. Close removes it.
func (c *Cluster) Invite(dir string) error {
	if c.id.Rank != 0 {
		return nil
	}
	i := invitation{Job: c.id.Job, Subjects: c.subjects}
	if k := c.credentials; k != nil {
		i.URL, i.Seed, i.Certificate = k.url(k.Server), k.Observer, k.Certificate
	} else {
		i.URL = c.config.URL
		for _, f := range []struct {
			into *string
			path string
		}{{&i.Credentials, c.config.Credentials}, {&i.CA, c.config.CA}} {
			if f.path == "" {
				continue
			}
			var err error
			if *f.into, err = filepath.Abs(f.path); err != nil {
				return err
			}
		}
	}
	if err := writePrivate(invitationFile(dir), i); err != nil {
		return fmt.Errorf("writing what whoever watches the job needs: %w", err)
	}
	c.invited = dir
	return nil
}

// uninvite removes the invitation, unless it is another attempt's by now.
func (c *Cluster) uninvite() error {
	if c.invited == "" {
		return nil
	}
	var now invitation
	if err := readPrivate(invitationFile(c.invited), &now); err != nil || now.Subjects != c.subjects {
		return nil
	}
	if err := os.Remove(invitationFile(c.invited)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Observer is a connection that hears what a job's ranks say of themselves, and can do nothing else.
type Observer struct {
	invitation
	dir  string
	conn *nats.Conn
}

// ErrNoInvitation says that no job with several ranks runs in a folder, or none that has come together.
var ErrNoInvitation = errors.New("no ranks are connected there")

// Attach connects to the job whose rank 0 has invited to a folder. It is ErrNoInvitation where there is no such job. A file that this
// user may not read, or a network that does not lead there, is another error. Close the observer.
func Attach(dir string) (*Observer, error) {
	_, _ = os.ReadDir(dir) // has a client of NFS ask anew
	o := &Observer{dir: dir}
	if err := readPrivate(invitationFile(dir), &o.invitation); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoInvitation
	} else if err != nil {
		return nil, err
	}
	var auth []nats.Option
	var err error
	if o.Seed != "" {
		auth, err = nkeyOptions(o.Seed, o.Certificate)
	} else {
		auth, err = Config{URL: o.URL, Credentials: o.Credentials, CA: o.CA}.options()
	}
	if err != nil {
		return nil, err
	}
	options := append([]nats.Option{
		nats.Name("saltern watch"), nats.Timeout(3 * time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // what is lost is not missed
	}, auth...)
	if o.conn, err = nats.Connect(o.URL, options...); err != nil {
		return nil, fmt.Errorf("connecting to the ranks at %s: %w", o.Address(), err)
	}
	return o, nil
}

// Conn is the connection. It restores itself when it is lost.
func (o *Observer) Conn() *nats.Conn { return o.conn }

// Subject is as Cluster's.
func (o *Observer) Subject(name string) string { return o.Subjects + name }

// Address is where rank 0 said that its server is.
func (o *Observer) Address() string {
	return strings.TrimPrefix(strings.TrimPrefix(o.URL, "tls://"), "nats://")
}

// Over says that the attempt at the job that this observer hears has ended: its invitation is gone, or another attempt's.
func (o *Observer) Over() bool {
	_, _ = os.ReadDir(o.dir)
	var now invitation
	if err := readPrivate(invitationFile(o.dir), &now); err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return now.Subjects != o.Subjects
}

// Close ends the connection. It does nothing to the job.
func (o *Observer) Close() { o.conn.Close() }
