package memconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// Size is how many bytes a direction holds. Less has the ends wait for each other more often than they copy.
	Size = 1 << 20

	// step is how many of them are handed over at once: the other end works on them, in the cache still, while more are written.
	step = 64 << 10
)

// Conn is one end of a connection. It is a net.Conn; io.Copy from it and to it spares a copy (WriteTo, ReadFrom).
type Conn struct {
	in, out *ring
	closed  sync.Once
	unmap   func() error // once nobody touches the rings
}

// Read reads what is there, and waits only where there is nothing.
func (c *Conn) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	b, err := c.in.filled()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	c.in.took(n)
	return n, nil
}

// WriteTo writes what comes to w, straight from the shared memory, until the other end closes. Close waits for w.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	for {
		b, err := c.in.filled()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b[:min(len(b), step)])
		c.in.took(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Write returns when all of p is in the ring, or with an error.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for n < len(p) {
		b, err := c.out.room()
		if err != nil {
			return n, err
		}
		k := copy(b[:min(len(b), step)], p[n:])
		n += k
		if err := c.out.put(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadFrom has r read into the shared memory until its end. Close waits for r.
func (c *Conn) ReadFrom(r io.Reader) (total int64, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for {
		b, err := c.out.room()
		if err != nil {
			return total, err
		}
		n, err := r.Read(b)
		total += int64(n)
		if n > 0 {
			if err := c.out.put(n); err != nil {
				return total, err
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Close ends every wait at this end. The other end reads what was written before, and then io.EOF.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() {
		err = errors.Join(c.in.bell.Close(), c.out.bell.Close())
		for _, r := range []*ring{c.in, c.out} { // who uses one has been woken, and leaves it
			r.mu.Lock()
			defer r.mu.Unlock()
			r.data = nil
		}
		err = errors.Join(err, c.unmap())
	})
	return err
}

// LocalAddr is that of the socket by which the ends met.
func (c *Conn) LocalAddr() net.Addr { return c.in.bell.LocalAddr() }

// RemoteAddr is that of the socket by which the ends met.
func (c *Conn) RemoteAddr() net.Addr { return c.in.bell.RemoteAddr() }

// SetDeadline sets both.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is until when Read and WriteTo wait for bytes; zero: for ever.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.bell.SetReadDeadline(t) }

// SetWriteDeadline is until when Write and ReadFrom wait for room; zero: for ever.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.bell.SetReadDeadline(t) }
