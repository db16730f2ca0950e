package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is what the two ends of a stream share where they run on one machine: a slot for each chunk of a window, chunk k in slot k modulo
// their number. The sender makes it; the window is what keeps it from writing to a slot that has not been taken.
type memory struct {
	data []byte
	slot int      // bytes
	file *os.File // the sender's, until the receiver has answered
	name string   // random, so that nothing else is taken for it
}

// newMemory makes memory of so many slots. It has no place in the file system, and is gone with the processes that know it.
func newMemory(slot, slots int) (*memory, error) {
	m := &memory{slot: slot, name: "saltern-" + rand.Text()}
	fd, err := unix.MemfdCreate(m.name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	m.file = os.NewFile(uintptr(fd), m.name)
	if err = m.file.Truncate(int64(slot * slots)); err == nil { // sealed, so that it cannot shrink under who reads it
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		m.data, err = unix.Mmap(fd, 0, slot*slots, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, errors.Join(err, m.file.Close())
	}
	return m, nil
}

// offer is what the other end opens m by.
func (m *memory) offer() []byte {
	return fmt.Appendf(nil, "%d %d %s", os.Getpid(), m.file.Fd(), m.name)
}

// openMemory maps, to be read, what an offer stands for. The random name tells it from whatever another process has under the same
// numbers, which is what a rank finds that sees other processes than the sender does.
func openMemory(offer []byte, slot, slots uint64) (*memory, error) {
	var pid, fd int
	m := &memory{slot: int(slot)}
	if _, err := fmt.Sscanf(string(offer), "%d %d %s", &pid, &fd, &m.name); err != nil || slot < 1 || slots < 1 || slot > 1<<30 || slots > 1<<30/slot {
		return nil, fmt.Errorf("%q with %d slots of %d bytes is no offer of memory", offer, slots, slot)
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	if to, err := os.Readlink(path); err != nil || !strings.HasPrefix(to, "/memfd:"+m.name+" ") {
		return nil, fmt.Errorf("%s is %q, not %s: %v", path, to, m.name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || uint64(info.Size()) < slot*slots {
		return nil, fmt.Errorf("%s holds less than %d slots of %d bytes: %v", path, slots, slot, err)
	}
	if m.data, err = unix.Mmap(int(f.Fd()), 0, int(slot*slots), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return m, nil
}

// part is the beginning of the slot of a chunk that is n bytes long, or as long as the slot.
func (m *memory) part(number uint64, n int) []byte {
	at := int(number%uint64(len(m.data)/m.slot)) * m.slot
	return m.data[at : at+min(n, m.slot)]
}

// settled closes the sender's file: the receiver has mapped it, or will not.
func (m *memory) settled() {
	if m.file != nil {
		m.file.Close()
		m.file = nil
	}
}

// free ends this process's part in m, which may be nil. Nobody may look at m.data any more.
func (m *memory) free() {
	if m != nil {
		m.settled()
		_ = unix.Munmap(m.data)
	}
}
