package cluster

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"
)

// TestOthersAreRefusedOnLoopback comes to a server without TLS with less than its job's credentials, and with those of another job.
func TestOthersAreRefusedOnLoopback(t *testing.T) {
	mine := together(t, layout(t, 2), quick())[0].credentials
	if mine.Certificate != "" || mine.Key != "" {
		t.Fatal("one node alone has TLS")
	}
	other, err := newCredentials("test", Member{}, true) // another attempt, even
	if err != nil {
		t.Fatal(err)
	}
	others, err := other.options()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	ranks, err := public(mine.Seed)
	if err != nil {
		t.Fatal(err)
	}
	right, err := mine.options()
	if err != nil {
		t.Fatal(err)
	}
	approach(t, "nats://"+mine.Server, []approached{
		{"without anything", nil, "Authorization Violation"},
		{"a password", []nats.Option{nats.UserInfo("node", mine.RouteSecret)}, "Authorization Violation"},
		{"a key of one's own", []nats.Option{nats.Nkey(stranger, user.Sign)}, "Authorization Violation"},
		{"the ranks' public key, signed for by another", []nats.Option{nats.Nkey(ranks, user.Sign)}, "Authorization Violation"},
		{"another job's", others, "Authorization Violation"},
		{"the right ones", right, ""},
	})
	conn, err := net.Dial("tcp", mine.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if info, err := bufio.NewReader(conn).ReadString('\n'); err != nil || strings.Contains(info, "tls_required") || !strings.Contains(info, `"nonce"`) {
		t.Errorf("the server says %q, %v; want a challenge and no TLS", info, err)
	}
}

// TestPlain says where there is TLS.
func TestPlain(t *testing.T) {
	for _, test := range []struct {
		why, tls, host string
		nodes          int
		want           bool
	}{
		{"one node", "auto", "127.0.0.1", 1, true},
		{"any of its loopback's addresses", "auto", "127.0.0.2", 1, true},
		{"asked for", "always", "127.0.0.1", 1, false},
		{"the others may be anywhere", "auto", "127.0.0.1", 2, false},
		{"all addresses of the node", "auto", "0.0.0.0", 1, false},
		{"none that the table of IPv4 has", "auto", "::1", 1, false},
	} {
		if got := (Config{TLS: test.tls}).plain(Identity{Nodes: test.nodes}, test.host); got != test.want {
			t.Errorf("%s: %v", test.why, got)
		}
	}
}

// TestListener reads a table of the kernel's.
func TestListener(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0200007F:1F91 01 00000000:00000000 00:00000000 00000000   200        0 2 1 0 100 0 0 10 0
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
`
	for _, test := range []struct {
		why, at, want string
	}{
		{"there", "127.0.0.1:8081", "1000"},
		{"the same, mapped", "[::ffff:127.0.0.1]:8081", "1000"},
		{"connected, and does not listen", "127.0.0.1:8080", "nobody listens at 127.0.0.1:8080 that the kernel tells of"},
		{"another address", "127.0.0.2:8081", "nobody listens"},
	} {
		user, err := listener(strings.NewReader(table), netip.MustParseAddrPort(test.at))
		got := strconv.Itoa(user)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
	}
}

// TestForeignListener has another user listen where a job's server is said to be: nothing is said to it.
func TestForeignListener(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	l := listenAs(t, 12345)
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, `INFO {"server_id":"X","max_payload":1048576,"proto":1,"auth_required":true,"nonce":"abc"}`+"\r\n")
		said, _ := io.ReadAll(conn)
		heard <- string(said)
	}()
	k, err := newCredentials("test", Member{}, true)
	if err != nil {
		t.Fatal(err)
	}
	options, err := k.options()
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := nats.Connect(k.url(l.Addr().String()), options...); err == nil || !strings.Contains(err.Error(), "user 12345 listens at "+l.Addr().String()) {
		t.Errorf("%v, %v", conn, err)
	}
	select {
	case said := <-heard:
		if said != "" {
			t.Errorf("the other user was told %q", said)
		}
	case <-time.After(20 * time.Second):
		t.Error("the connection is not closed")
	}
}

// listenAs listens as another user, which a thread of Linux can be for itself.
func listenAs(t *testing.T, user int) net.Listener {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(user); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if e := unix.Setfsuid(0); e != nil {
		runtime.LockOSThread() // for good, so that nobody else gets it
		t.Fatal(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}
