package memconn

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test's own binary be the other end.
func TestMain(m *testing.M) {
	if name := os.Getenv("SALTERN_TEST_MEMCONN"); name != "" {
		os.Exit(echo(name))
	}
	os.Exit(m.Run())
}

// echo dials, sends back what comes, and stays when that ends.
func echo(name string) int {
	c, err := Dial(name)
	if err != nil {
		println(err.Error())
		return 1
	}
	_, _ = io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 10007))
	select {}
}

func listen(t *testing.T) (*Listener, string) {
	t.Helper()
	name := "saltern-test-" + rand.Text()
	l, err := Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, name
}

// pair is both ends of a connection within this process, which has the memory twice.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	l, name := listen(t)
	accepted := make(chan error, 1)
	go func() {
		var err error
		b, err = l.Accept()
		accepted <- err
	}()
	a, err := Dial(name)
	if err := errors.Join(err, <-accepted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// process is this process's end of a connection whose other end is a process of its own, that echoes.
func process(t *testing.T) (*Conn, *os.Process) {
	t.Helper()
	l, name := listen(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(self)
	other.Env, other.Stderr = append(os.Environ(), "SALTERN_TEST_MEMCONN="+name), os.Stderr
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	if err := l.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, other.Process
}

const volume = 24<<20 + 12345 // many times round the ring

// send writes random bytes in random sizes, most of them small, and gives their checksum.
func send(t *testing.T, w io.Writer, seed byte) (sum [32]byte) {
	source, sizes := mathrand.NewChaCha8([32]byte{seed}), mathrand.New(mathrand.NewPCG(uint64(seed), 0))
	all := sha256.New()
	for left := volume; left > 0; {
		b := make([]byte, min(left, 1+sizes.IntN(1<<sizes.IntN(22))))
		_, _ = source.Read(b)
		all.Write(b)
		if _, err := w.Write(b); err != nil {
			t.Error(err)
			return
		}
		left -= len(b)
	}
	return [32]byte(all.Sum(nil))
}

// receive reads as much in random sizes and gives its checksum.
func receive(t *testing.T, r io.Reader, seed byte) (sum [32]byte) {
	sizes := mathrand.New(mathrand.NewPCG(uint64(seed), 1))
	all := sha256.New()
	b := make([]byte, 1<<21)
	for left := volume; left > 0; {
		n, err := r.Read(b[:min(left, 1+sizes.IntN(1<<sizes.IntN(22)))])
		if err != nil {
			t.Errorf("%d bytes before the end: %v", left, err)
			return
		}
		all.Write(b[:n])
		left -= n
	}
	return [32]byte(all.Sum(nil))
}

// through has both ends send and receive at once.
func through(t *testing.T, ends ...io.ReadWriter) {
	t.Helper()
	var sent, got [2][32]byte
	var wg sync.WaitGroup
	for i, end := range ends {
		wg.Go(func() { sent[i] = send(t, end, byte(i)) })
		wg.Go(func() { got[1-i] = receive(t, end, byte(i)) })
	}
	wg.Wait()
	if sent != got {
		t.Error("what is read is not what was written")
	}
}

// TestBytes sends random sizes both ways at once: by Read and Write, by WriteTo and ReadFrom as a bridge does, and to another process and back.
func TestBytes(t *testing.T) {
	t.Run("conn", func(t *testing.T) {
		a, b := pair(t)
		through(t, a, b)
	})
	t.Run("bridge", func(t *testing.T) {
		a, b := pair(t)
		end, pipe := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(b, pipe); b.Close() })
		wg.Go(func() { _, _ = io.Copy(pipe, b); pipe.Close() })
		through(t, a, end)
		end.Close()
		if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the bridge's other side has closed: %d, %v", n, err)
		}
		wg.Wait()
	})
	t.Run("process", func(t *testing.T) {
		c, _ := process(t)
		var sent [32]byte
		var wg sync.WaitGroup
		wg.Go(func() { sent = send(t, c, 3) })
		got := receive(t, c, 4)
		wg.Wait()
		if sent != got {
			t.Error("what is read is not what was written")
		}
	})
}

// TestWindow: who writes waits for who reads once the ring is full, and goes on.
func TestWindow(t *testing.T) {
	a, b := pair(t)
	data := make([]byte, 3*Size+1)
	_, _ = rand.Read(data)
	wrote := make(chan error, 1)
	go func() { _, err := a.Write(data); wrote <- err }()
	for a.out.in.Load() < Size || a.out.writer.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v, equal: %v", err, bytes.Equal(got, data))
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// TestClose: the other end reads what was written before, and then the end; every wait at this one ends.
func TestClose(t *testing.T) {
	a, b := pair(t)
	errs := make(chan error, 2)
	go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
	go func() { _, err := a.Write(make([]byte, 2*Size)); errs <- err }()
	for a.in.reader.Load() == 0 || a.out.writer.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("at the end that was closed: %v", err)
		}
	}
	if n, err := io.Copy(io.Discard, b); n != Size || err != nil {
		t.Errorf("the other end reads %d bytes of %d, %v", n, Size, err)
	}
	if _, err := b.Write(make([]byte, 2*Size)); err == nil {
		t.Error("the other end writes to nobody")
	}
	for name, err := range map[string]error{"Close": a.Close(), "SetDeadline": a.SetDeadline(time.Now())} {
		if err == nil {
			t.Errorf("%s after Close: no error", name)
		}
	}
	if _, err := a.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// TestKilled kills the other end's process while this one reads, and while it waits for room.
func TestKilled(t *testing.T) {
	for _, want := range []string{"read", "write"} {
		c, other := process(t)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		wait := &c.in.reader
		if want == "read" {
			go func() { _, err := c.Read(make([]byte, 1)); done <- err }()
		} else {
			wait = &c.out.writer
			go func() { _, err := c.Write(make([]byte, 4*Size)); done <- err }() // nobody reads the echo
		}
		for (*wait).Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := other.Kill(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if want == "read" && err != io.EOF || err == nil {
				t.Errorf("%s: %v", want, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: waits for a process that is gone", want)
		}
	}
}

// TestDeadlines wants a wait to end by its deadline, and the connection to be as good afterwards.
func TestDeadlines(t *testing.T) {
	a, b := pair(t)
	for range 3 {
		if err := a.SetDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var late net.Error
		if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("Read: %d, %v", n, err)
		}
		n, err := a.Write(make([]byte, 2*Size))
		if n != Size || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %d, %v", n, err)
		}
		if _, err := io.ReadFull(b, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	through(t, a, b)
}

// TestOtherUser has another user dial, and another listen: neither gets as much as a byte.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	l, name := listen(t)
	as(t, 12345, func() {
		if c, err := net.DialUnix("unix", nil, address(name)); err != nil {
			t.Error(err)
		} else {
			t.Cleanup(func() { c.Close() })
			go func() { _, _ = l.Accept() }()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the other user reads %d bytes, %v", n, err)
			}
		}
	})
	theirs := "saltern-test-" + rand.Text()
	var other *Listener
	as(t, 12345, func() { other, _ = Listen(theirs) })
	defer other.Close()
	if _, err := Dial(theirs); err == nil || !bytes.Contains([]byte(err.Error()), []byte("user 12345 is at the other end, not 0")) {
		t.Errorf("dialing another user: %v", err)
	}
}

// as does something as another user, which a thread of Linux can be for itself.
func as(t *testing.T, user int, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(user), same); err != 0 {
		t.Fatal(err)
	}
	do()
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, 0, same); err != 0 {
		runtime.LockOSThread() // for good, so that nobody else gets it
		t.Fatal(err)
	}
}

// TestBrokenCounts has the other end say that it wrote, and read, more than there is.
func TestBrokenCounts(t *testing.T) {
	a, b := pair(t)
	b.out.in.Add(Size + 1)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, errCounts) {
		t.Errorf("reading: %v", err)
	}
	b.in.out.Add(1)
	if _, err := a.Write(make([]byte, 1)); !errors.Is(err, errCounts) {
		t.Errorf("writing: %v", err)
	}
}
