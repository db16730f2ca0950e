package cluster

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// approached is a way to come to a server, and the error that it meets; none: it is let in.
type approached struct {
	why     string
	options []nats.Option
	want    string
}

func approach(t *testing.T, url string, ways []approached) {
	t.Helper()
	for _, way := range ways {
		conn, err := nats.Connect(url, append([]nats.Option{nats.MaxReconnects(0)}, way.options...)...)
		switch {
		case err == nil && way.want != "":
			t.Errorf("%s: connected", way.why)
		case err != nil && (way.want == "" || !strings.Contains(err.Error(), way.want)):
			t.Errorf("%s: %v, want %q", way.why, err, way.want)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// TestOthersAreRefused comes to a job's server with less than its credentials, and with those of another job.
func TestOthersAreRefused(t *testing.T) {
	ids := layout(t, 1, 1)
	ids[0].Job, ids[1].Job = "mine", "mine"
	all := together(t, ids, quick())
	mine := all[0].credentials
	other, err := newCredentials("mine", Member{}) // another attempt, even
	if err != nil {
		t.Fatal(err)
	}
	user, stranger, _ := keyPair(t, nkeys.CreateUser)
	secure, err := mine.tls()
	if err != nil {
		t.Fatal(err)
	}
	anyone := &tls.Config{InsecureSkipVerify: true}
	right, err := mine.options()
	if err != nil {
		t.Fatal(err)
	}
	others, err := other.options()
	if err != nil {
		t.Fatal(err)
	}
	approach(t, "tls://"+mine.Server, []approached{
		{"without anything", nil, "certificate"},
		{"TLS that takes any certificate, and no key", []nats.Option{nats.Secure(anyone)}, "Authorization Violation"},
		{"a password", []nats.Option{nats.Secure(secure), nats.UserInfo("node", mine.RouteSecret)}, "Authorization Violation"},
		{"a key of one's own", []nats.Option{nats.Secure(secure), nats.Nkey(stranger, user.Sign)}, "Authorization Violation"},
		{"another job's", others, "certificate"},
		{"another job's key", append(others, nats.Secure(secure)), "Authorization Violation"},
		{"the right ones", right, ""},
	})
}

// TestPlaintextIsRefused speaks to the server without TLS, of one node and of several.
func TestPlaintextIsRefused(t *testing.T) {
	plaintextIsRefused(t, together(t, layout(t, 2), quick())[0])
	plaintextIsRefused(t, together(t, layout(t, 1, 1), quick())[0])
}

func plaintextIsRefused(t *testing.T, c *Cluster) {
	t.Helper()
	mine := c.credentials
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", mine.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	read := bufio.NewReader(conn)
	info, err := read.ReadString('\n')
	if err != nil || !strings.Contains(info, `"tls_required":true`) {
		t.Fatalf("%q, %v", info, err)
	}
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":true}\r\nPING\r\nSUB > 1\r\n"); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(read); strings.Contains(string(rest), "OK") || strings.Contains(string(rest), "PONG") {
		t.Errorf("the server answers %q", rest)
	}
}

// TestSubjects: the job's own credentials do for its subjects alone.
func TestSubjects(t *testing.T) {
	mine := together(t, layout(t, 1), quick())[0]
	options, err := mine.credentials.options()
	if err != nil {
		t.Fatal(err)
	}
	problems := make(chan error, 10)
	conn, err := nats.Connect(mine.credentials.url(mine.credentials.Server), append(options,
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { problems <- err }))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, subject := range []string{"saltern.test2.x", "saltern.*.x", ">", "saltern.>", "_INBOX.x", "$SYS.>"} {
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		violated(t, problems, "Subscription to \""+subject)
	}
	for _, subject := range []string{"saltern.test2.x", "saltern.test", "_INBOX.x", "$SYS.REQ.SERVER.PING"} {
		if err := conn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		violated(t, problems, "Publish to \""+subject)
	}
	if _, err := conn.SubscribeSync("saltern.test.x"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Publish("saltern.test.x", nil), conn.Flush()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-problems:
		t.Errorf("its own subject: %v", err)
	default:
	}
}

// violated wants a violation of a permission to be seen.
func violated(t *testing.T, problems chan error, what string) {
	t.Helper()
	select {
	case err := <-problems:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want a violation: %s", err, what)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("no violation is seen: %s", what)
	}
}

// TestForeignServer has a server of another attempt try to get a route: without the certificate it is refused by TLS, with it and
// another password by authorization.
func TestForeignServer(t *testing.T) {
	all := together(t, layout(t, 1, 1), quick())
	mine := all[0].credentials
	other, err := newCredentials("test", Member{})
	if err != nil {
		t.Fatal(err)
	}
	other.Attempt = mine.Attempt
	// One that does not mind our certificate has none that we take.
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", mine.Route)
	if err == nil { // TLS 1.3 lets a client go on before the server has looked
		_, err = io.ReadAll(conn)
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a server without certificate: %v", err)
	}
	half := *mine
	half.RouteSecret = "guessed"
	for i, k := range []*credentials{other, &half} {
		id := Identity{Job: "test", Size: 2, Node: 5 + i, Nodes: 2}
		refused := make(chan string, 100)
		n, err := startNode(id, k, "127.0.0.9", mine.Route, time.Second, func(format string, args ...any) {
			select {
			case refused <- fmt.Sprintf(format, args...):
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"certificate", "Authorization"}[i]
		for deadline, seen := time.After(20*time.Second), false; !seen; {
			select {
			case word := <-refused:
				seen = strings.Contains(word, want)
			case <-deadline:
				t.Errorf("a server with credentials %d is not refused", i)
				seen = true
			}
		}
		if missing, err := n.unreached(5+i, 2); len(missing) != 2 || err != nil {
			t.Errorf("a server with credentials %d has a route to all but %v", i, missing)
		}
		n.stop()
	}
}
