package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
)

// chunk is how many bytes pass through memory at a time on their way to or from float32.
const chunk = 1 << 20

// File is a safetensors file open for reading. Its methods may be called from several goroutines.
type File struct {
	r        io.ReaderAt
	closer   io.Closer
	data     int64 // where the tensors begin
	tensors  []Info
	index    map[string]int
	metadata map[string]string
}

// Open opens a file and checks its header; the tensors themselves are read later, one by one. Errors about the content
// wrap [ErrFormat].
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	file, err := NewFile(f, st.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file.closer = f
	return file, nil
}

// NewFile is [Open] for size bytes that are already at hand. Closing it does not close r.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, fmt.Errorf("%w: it has %d bytes, fewer than the length of its header takes", ErrFormat, size)
	}
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, 8), prefix[:]); err != nil {
		return nil, fmt.Errorf("reading the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("%w: its header claims %d bytes; the file has %d and a header at most %d",
			ErrFormat, n, size, maxHeader)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(n)), header); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	f := &File{r: r, data: 8 + int64(n), index: map[string]int{}}
	var err error
	if f.tensors, f.metadata, err = parseHeader(header, size-f.data); err != nil {
		return nil, err
	}
	for i, t := range f.tensors {
		f.index[t.Name] = i
	}
	return f, nil
}

// Tensors describes all tensors in the order in which they lie in the file.
func (f *File) Tensors() []Info { return append([]Info(nil), f.tensors...) }

// Lookup describes one tensor.
func (f *File) Lookup(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i], true
}

// Metadata returns the file's free-form strings.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Float32 reads a tensor of type F32, F16, BF16 or U8 into dst and returns it; dst is made anew where it is too short, so
// one buffer can serve a whole file.
func (f *File) Float32(name string, dst []float32) ([]float32, error) {
	t, ok := f.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("no tensor %q in the file", name)
	}
	switch t.DType {
	case F32, F16, BF16, U8:
	default:
		return nil, fmt.Errorf("tensor %q has type %s, which does not convert to float32; F32, F16, BF16 and U8 do",
			name, t.DType)
	}
	n, size := t.Len(), t.DType.Size()
	if cap(dst) < n {
		dst = make([]float32, n)
	}
	dst = dst[:n]
	buf := make([]byte, min(chunk, n*size))
	for at := 0; at < n; {
		k := min(n-at, chunk/size)
		if err := f.read(t, buf[:k*size], int64(at*size)); err != nil {
			return nil, err
		}
		decode(dst[at:at+k], buf, t.DType)
		at += k
	}
	return dst, nil
}

// Raw reads the bytes of a tensor of any type as they are in the file.
func (f *File) Raw(name string) ([]byte, error) {
	t, ok := f.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("no tensor %q in the file", name)
	}
	buf := make([]byte, t.end-t.begin)
	return buf, f.read(t, buf, 0)
}

func (f *File) read(t Info, buf []byte, at int64) error {
	n, err := f.r.ReadAt(buf, f.data+t.begin+at)
	if n == len(buf) {
		return nil // io.ReaderAt may add io.EOF to a full read that ends the file
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file was cut after its header was checked
	}
	return fmt.Errorf("reading tensor %q: %w", t.Name, err)
}

// Close closes the underlying file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}
