package cluster

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// plain says that the servers of a job need no TLS: all that they listen at is the loopback of one node, and the kernel says who listens
// there. Who can read what crosses a loopback is root, and can read the processes' memory as well; what TLS has beyond that, that no
// other user's process passes for a server whose port it has taken, ownDialer sees to.
func (c Config) plain(id Identity, host string) bool {
	if c.TLS != "auto" || id.Nodes > 1 {
		return false
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(host, "0"))
	if err != nil {
		return false
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return at.Addr().Unmap().IsLoopback() && ownListener(at) == nil
}

// ownDialer connects to servers of this user alone, on this machine.
type ownDialer struct{}

// Dial is for nats.SetCustomDialer. Nothing has been said to the server when it returns.
func (ownDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := ownListener(conn.RemoteAddr().(*net.TCPAddr).AddrPort()); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// ownListener is an error unless this user listens at an address, by what the kernel says.
func ownListener(at netip.AddrPort) error {
	f, err := os.Open("/proc/self/net/tcp")
	if err != nil {
		return fmt.Errorf("who listens at %v cannot be told: %w", at, err)
	}
	defer f.Close()
	user, err := listener(f, at)
	if err == nil && user != os.Geteuid() {
		err = fmt.Errorf("user %d listens at %v, not %d who runs this", user, at, os.Geteuid())
	}
	return err
}

// listener is the user who listens at an address, by a table as Linux has in /proc/net/tcp: lines of number, local address, remote
// address, state, queues, timer, retransmissions, user, and more. Addresses are hexadecimal, in the order of the machine's bytes.
func listener(table io.Reader, at netip.AddrPort) (user int, err error) {
	const listening = "0A"
	ip := at.Addr().Unmap().As4()
	local := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), at.Port())
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 7 && f[1] == local && f[3] == listening {
			return strconv.Atoi(f[7])
		}
	}
	return 0, fmt.Errorf("nobody listens at %v that the kernel tells of", at)
}
