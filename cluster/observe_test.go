package cluster

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster/status"
)

// An observer hears the ranks of all nodes, and nothing else; it cannot speak; and it learns of the job's end.
func TestObserver(t *testing.T) {
	all := together(t, layout(t, 2, 1), quick())
	dir := t.TempDir()
	if _, err := Attach(dir); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("before the invitation: %v", err)
	}
	for _, c := range all {
		if err := c.Invite(dir); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(invitationFile(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the invitation: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(invitationFile(dir))
	if k := all[0].credentials; err != nil || strings.Contains(string(text), k.Seed) || strings.Contains(string(text), "PRIVATE") || strings.Contains(string(text), k.RouteSecret) {
		t.Errorf("the invitation holds what the ranks are known by (%v):\n%s", err, text)
	}
	o, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	heard := make(chan status.Report, 100)
	if _, err := status.Subscribe(o.Conn(), o.Subject(Status+".*"), func(r status.Report) { heard <- r }); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		p := status.NewPublisher(c.Conn(), c.Subject(Status+"."+string(rune('0'+c.Identity().Rank))))
		defer p.Close()
		p.Say(status.Report{Rank: c.Identity().Rank})
	}
	missing := map[int]bool{0: true, 1: true, 2: true}
	for late := time.After(20 * time.Second); len(missing) > 0; {
		select {
		case r := <-heard:
			delete(missing, r.Rank)
		case <-late:
			t.Fatalf("nothing was heard of ranks %v", missing)
		}
	}

	for what, try := range map[string]func(*nats.Conn) error{
		"speak as a rank": func(c *nats.Conn) error { return c.Publish(o.Subject("status.0"), []byte("{}")) },
		"say hello":       func(c *nats.Conn) error { return c.Publish(prefix("test")+"join", []byte("{}")) },
		"hear all":        func(c *nats.Conn) error { _, err := c.SubscribeSync(">"); return err },
		"hear gradients":  func(c *nats.Conn) error { _, err := c.SubscribeSync(o.Subject("grads.0.1")); return err },
	} {
		o, err := Attach(dir)
		if err != nil {
			t.Fatal(err)
		}
		refused := make(chan error, 10)
		o.Conn().SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
		if err := errors.Join(try(o.Conn()), o.Conn().Flush()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("an observer may %s", what)
		}
		o.Close()
	}

	if o.Over() {
		t.Error("the job is over before its end")
	}
	if err := all[0].uninvite(); err != nil {
		t.Fatal(err)
	}
	if !o.Over() {
		t.Error("the job's end is not seen")
	}
}

// An invitation that others can read is not used.
func TestExposedInvitation(t *testing.T) {
	all := together(t, layout(t, 1), quick())
	dir := t.TempDir()
	if err := all[0].Invite(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(invitationFile(dir), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(dir); err == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("Attach: %v", err)
	}
}
