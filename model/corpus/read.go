package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// errBinary is returned by reader.read, before any document, for a file that is not text.
var errBinary = errors.New("it is not text: it holds NUL bytes, or is mostly not UTF-8")

// reader reads files as documents, one file after another into the same memory.
type reader struct {
	cfg   *Config // with defaults
	buf   []byte
	bytes int64 // read from disk so far, before decompression
}

// read calls each with every document of a file, in order, which is valid until each returns. Errors name the file, and end reading.
func (r *reader) read(s source, each func(doc []byte) error) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return fmt.Errorf("a source cannot be read: %w", err)
	}
	defer f.Close()
	if isParquet(s.Path) {
		return r.parquet(s, f, each)
	}
	in, done, err := decompress(s.Path, counter{f, &r.bytes})
	if err != nil {
		return err
	}
	defer done()
	plain := strings.TrimSuffix(s.Path, compressed(s.Path))
	if strings.HasSuffix(plain, ".jsonl") || strings.HasSuffix(plain, ".ndjson") {
		return r.lines(s.Path, in, each)
	}
	return r.text(s.Path, in, each)
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n *int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += int64(n)
	return n, err
}

// decompress returns a reader of what path holds, by its ending, and a function that frees it.
func decompress(path string, in io.Reader) (io.Reader, func(), error) {
	switch compressed(path) {
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(in, 1<<16))
		if err != nil {
			return nil, nil, damaged(path, err)
		}
		return z, func() {}, nil
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, damaged(path, err)
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}

// damaged words an error from reading what is in path.
func damaged(path string, err error) error {
	if kind := compressed(path); kind != "" {
		return fmt.Errorf("%s cannot be decompressed as its ending %s says (%w); is it cut off, or named wrongly?", path, kind, err)
	}
	return fmt.Errorf("a source cannot be read: %s: %w", path, err)
}

// text reads plain text. The buffer holds at most one longest document.
func (r *reader) text(path string, in io.Reader, each func([]byte) error) error {
	limit := int(r.cfg.DocumentBytes)
	held, end := 0, false // bytes in the buffer; whether the file has ended
	for first := true; ; first = false {
		for !end && held < limit {
			if held == len(r.buf) {
				r.buf = slices.Grow(r.buf, max(64<<10, len(r.buf)))
				r.buf = r.buf[:min(cap(r.buf), limit)]
			}
			n, err := in.Read(r.buf[held:min(len(r.buf), limit)])
			held += n
			if err == io.EOF {
				end = true
			} else if err != nil {
				return damaged(path, err)
			}
		}
		if first && isBinary(r.buf[:min(held, 64<<10)]) {
			return errBinary
		}
		rest := r.buf[:held]
		for sep := r.cfg.Separator; sep != ""; {
			doc, after, found := bytes.Cut(rest, []byte(sep))
			if !found {
				break
			}
			if err := each(doc); err != nil {
				return err
			}
			rest = after
		}
		switch {
		case end:
			return each(rest)
		case len(rest) == limit: // full, and no separator in it
			n := cut(rest)
			if err := each(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		held = copy(r.buf, rest)
	}
}

// cut returns where to end a document that fills its text: after its last line, else before a character that might be cut off.
func cut(text []byte) int {
	if n := bytes.LastIndexByte(text, '\n'); n >= 0 {
		return n + 1
	}
	for n := len(text) - 1; n > 0 && n >= len(text)-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return len(text)
}

// isBinary judges a file by its beginning. Text in an old 8-bit encoding passes: most of its bytes are ASCII.
func isBinary(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return true
	}
	bad, total := 0, len(head)
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			bad++
		}
		head = head[n:]
	}
	return bad*4 > total
}

// maxLine bounds a line of .jsonl: longer than any document worth having in one piece.
const maxLine = 1 << 30

// lines reads a .jsonl file: an object in each line that is not empty.
func (r *reader) lines(path string, in io.Reader, each func([]byte) error) error {
	lines := bufio.NewReaderSize(in, 1<<16)
	for number := 1; ; number++ {
		line, err := r.line(lines)
		if err != nil && err != io.EOF {
			if errors.Is(err, errLongLine) {
				return fmt.Errorf("%s:%d: %w", path, number, err)
			}
			return damaged(path, err)
		}
		end := err == io.EOF
		if len(bytes.TrimSpace(line)) > 0 {
			text, err := r.field(line)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", path, number, err)
			}
			if err := r.pieces(text, each); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
}

// pieces calls each with a text, or where it is longer than a document with its parts.
func (r *reader) pieces(text []byte, each func([]byte) error) error {
	for int64(len(text)) > r.cfg.DocumentBytes {
		n := cut(text[:r.cfg.DocumentBytes])
		if err := each(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return each(text)
}

var errLongLine = fmt.Errorf("the line is longer than %d bytes; .jsonl holds one document in each line", maxLine)

// line returns the next line, with io.EOF when it is the last.
func (r *reader) line(in *bufio.Reader) ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := in.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		if err != bufio.ErrBufferFull {
			return r.buf, err
		}
		if len(r.buf) > maxLine {
			return nil, errLongLine
		}
	}
}

// field returns the text of one line of .jsonl.
func (r *reader) field(line []byte) ([]byte, error) {
	name := r.cfg.TextField
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fmt.Errorf("the line is not a JSON object (%w); every line must be like {%q: \"...\"}: correct it or delete it", err, name)
	}
	raw, ok := fields[name]
	if !ok {
		return nil, fmt.Errorf("the object has no field %q, only %q; set text_field to the one that holds the text", name, slices.Sorted(maps.Keys(fields)))
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return nil, fmt.Errorf("the field %q is not a string; set text_field to the one that holds the text", name)
	}
	return []byte(*text), nil
}
