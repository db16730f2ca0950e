package memconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ring is one direction of a connection as one of its ends sees it: bytes in memory that both ends have, counts of what went in and out
// since the beginning, and a bell by which the ends wake each other. Who writes here, or reads, holds mu.
type ring struct {
	mu     sync.Mutex
	data   []byte         // nil once closed
	in     *atomic.Uint64 // bytes written so far, by the writing end alone
	out    *atomic.Uint64 // bytes read so far, by the reading end alone
	reader *atomic.Uint32 // 1: the reading end sleeps, or is about to, until something is written
	writer *atomic.Uint32 // 1: the writing end sleeps, or is about to, until there is room
	bell   *net.UnixConn  // a byte wakes who sleeps at the other end
}

// Where these lie in a direction's memory, each away from the others' cache lines.
const (
	inAt, outAt, readerAt, writerAt = 0, 128, 256, 384
	dataAt                          = 4096
)

func newRing(memory []byte, bell *net.UnixConn) *ring {
	at := func(offset int) unsafe.Pointer { return unsafe.Pointer(&memory[offset]) }
	return &ring{
		data: memory[dataAt:], bell: bell,
		in: (*atomic.Uint64)(at(inAt)), out: (*atomic.Uint64)(at(outAt)),
		reader: (*atomic.Uint32)(at(readerAt)), writer: (*atomic.Uint32)(at(writerAt)),
	}
}

// errCounts is what an end that does not keep to the rules meets.
var errCounts = errors.New("the other end of a connection through memory has broken its counts")

// filled waits for bytes and returns those that lie in one piece. It is io.EOF when there are none and the other end has gone.
func (r *ring) filled() ([]byte, error) {
	for ended := error(nil); ; {
		if r.data == nil {
			return nil, net.ErrClosed
		}
		size, out := uint64(len(r.data)), r.out.Load()
		n, at := r.in.Load()-out, out%size
		switch {
		case n > size:
			return nil, errCounts
		case n > 0:
			return r.data[at:min(at+n, size)], nil
		case ended != nil:
			return nil, ended
		}
		ended = r.sleep(r.reader, func() bool { return r.in.Load() != out })
	}
}

// took says that n bytes were read. Who waits for room is woken when half of the ring is free.
func (r *ring) took(n int) {
	out := r.out.Add(uint64(n))
	if r.in.Load()-out <= uint64(len(r.data))/2 {
		_ = r.wake(r.writer) // if there is nobody any more, the next read says so
	}
}

// room waits for room and returns what of it lies in one piece.
func (r *ring) room() ([]byte, error) {
	for ended := error(nil); ; {
		if r.data == nil {
			return nil, net.ErrClosed
		}
		size, in := uint64(len(r.data)), r.in.Load()
		n, at := in-r.out.Load(), in%size
		switch {
		case n > size:
			return nil, errCounts
		case ended == io.EOF:
			return nil, io.ErrClosedPipe
		case ended != nil:
			return nil, ended
		case n < size:
			return r.data[at:min(at+size-n, size)], nil
		}
		ended = r.sleep(r.writer, func() bool { return in-r.out.Load() < size })
	}
}

// put says that n bytes were written, and wakes who waits for them.
func (r *ring) put(n int) error {
	r.in.Add(uint64(n))
	return r.wake(r.reader)
}

// sleep waits for the bell, unless changed says that there is nothing to wait for any more. A sleeper first says that it sleeps and then
// looks; a waker first changes and then looks for a sleeper: atomic operations have one order for both, so one sees the other. If both
// do, who takes the 1 back decides whether the bell rings, and each ring is heard once.
func (r *ring) sleep(self *atomic.Uint32, changed func() bool) error {
	self.Store(1)
	if changed() && self.CompareAndSwap(1, 0) {
		return nil
	}
	var rung [8]byte
	_, err := r.bell.Read(rung[:])
	if err != nil { // a deadline; if the bell is under way now, it ends the next sleep early
		self.Store(0)
	}
	return err
}

func (r *ring) wake(other *atomic.Uint32) error {
	if other.Load() == 0 || !other.CompareAndSwap(1, 0) {
		return nil
	}
	_, err := r.bell.Write([]byte{1})
	return err
}
