package memconn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	direction = dataAt + Size   // bytes of memory of one direction
	patience  = 5 * time.Second // with who listens, for what takes it a moment
)

// Listener takes connections from this user's processes.
type Listener struct{ *net.UnixListener }

// address is a name that lies in no file system, so that it is the same in all folders that processes have as their roots, and nothing
// remains of it.
func address(name string) *net.UnixAddr { return &net.UnixAddr{Name: "@" + name, Net: "unix"} }

// Listen listens under a name, one of those of the network namespace. It is no longer than 100 bytes.
func Listen(name string) (*Listener, error) {
	l, err := net.ListenUnix("unix", address(name))
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

// Accept waits for a connection of this user's. Others are closed without a word, as is what cannot be made for want of memory or files.
func (l *Listener) Accept() (*Conn, error) {
	for {
		bell, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if c, err := offer(bell); err == nil {
			return c, nil
		}
		bell.Close()
	}
}

// offer makes the memory and the second bell, and gives both to who has dialed.
func offer(bell *net.UnixConn) (*Conn, error) {
	if err := sameUser(bell); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("saltern", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	if err := unix.Ftruncate(fd, 2*direction); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	mine, theirs := os.NewFile(uintptr(pair[0]), "bell"), os.NewFile(uintptr(pair[1]), "bell")
	defer mine.Close()
	defer theirs.Close()
	if _, _, err := bell.WriteMsgUnix([]byte{1}, unix.UnixRights(fd, pair[1]), nil); err != nil {
		return nil, err
	}
	return connect(memory, bell, mine, false)
}

// Dial connects to the Listener of a name, which must be this user's.
func Dial(name string) (c *Conn, err error) {
	bell, err := net.DialUnix("unix", nil, address(name))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("connecting through memory, by the socket @%s: %w", name, err), bell.Close())
		}
	}()
	if err := sameUser(bell); err != nil {
		return nil, err
	}
	memory, second, err := accept(bell)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	defer second.Close()
	var info unix.Stat_t
	seals, err := unix.FcntlInt(memory.Fd(), unix.F_GET_SEALS, 0)
	if err == nil {
		err = unix.Fstat(int(memory.Fd()), &info)
	}
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 || info.Size != 2*direction { // memory that shrinks would kill who touches it
		return nil, fmt.Errorf("what is given is not the memory of a connection (%d bytes, seals %#x, %v)", info.Size, seals, err)
	}
	return connect(memory, bell, second, true)
}

// accept takes what offer gives.
func accept(bell *net.UnixConn) (memory, second *os.File, err error) {
	if err := bell.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	text, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(2*4))
	_, n, _, _, err := bell.ReadMsgUnix(text, rights)
	if err == nil {
		err = bell.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, nil, err
	}
	var files []int
	if messages, _ := unix.ParseSocketControlMessage(rights[:n]); len(messages) == 1 {
		files, _ = unix.ParseUnixRights(&messages[0])
	}
	if len(files) != 2 {
		return nil, nil, fmt.Errorf("%d files are given where there should be 2", len(files))
	}
	return os.NewFile(uintptr(files[0]), "memory"), os.NewFile(uintptr(files[1]), "bell"), nil
}

// connect makes a Conn of an end's files. Who dials writes the first ring, whose bell is the socket by which the ends met.
func connect(memory *os.File, bell *net.UnixConn, second *os.File, dialed bool) (*Conn, error) {
	other, err := net.FileConn(second)
	if err != nil {
		return nil, err
	}
	bytes, err := unix.Mmap(int(memory.Fd()), 0, 2*direction, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(err, other.Close())
	}
	there, back := newRing(bytes[:direction], bell), newRing(bytes[direction:], other.(*net.UnixConn))
	c := &Conn{in: there, out: back, unmap: func() error { return unix.Munmap(bytes) }}
	if dialed {
		c.in, c.out = back, there
	}
	return c, nil
}

// sameUser is an error unless the kernel says that the other end of a socket is this user's.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var other *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { other, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if failed == nil && int(other.Uid) != os.Geteuid() {
		failed = fmt.Errorf("user %d is at the other end, not %d who runs this", other.Uid, os.Geteuid())
	}
	return failed
}
