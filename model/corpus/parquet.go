package corpus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// isParquet says that the file at path holds columns, and is read by them.
func isParquet(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(path, compressed(path)), ".parquet")
}

// parquet reads the documents of a .parquet file, a value of the text column each. A page of it is in memory at a time. Such a file is
// not read from beginning to end, so one that is compressed as a whole is first unpacked into a temporary file.
func (r *reader) parquet(s source, f *os.File, each func([]byte) error) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("a source cannot be read: %w", err)
	}
	from, size := r.bytes, info.Size()
	if compressed(s.Path) != "" {
		whole, n, err := r.unpack(s.Path, f)
		if err != nil {
			return err
		}
		defer whole.Close()
		f, size = whole, n
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("%s cannot be read as its ending says (%w); is it cut off, or named wrongly?", s.Path, err)
	}
	column, ok := file.Schema().Lookup(strings.Split(r.cfg.TextField, ".")...)
	if !ok {
		return fmt.Errorf("%s has no column %q, only %q; set text_field to the one that holds the text", s.Path, r.cfg.TextField, columnNames(file.Schema()))
	}
	if column.Node.Type().Kind() != parquet.ByteArray || column.MaxRepetitionLevel > 0 {
		return fmt.Errorf("%s: the column %q does not hold one text in each row; set text_field to the one that does", s.Path, r.cfg.TextField)
	}
	done := int64(0)
	for _, group := range file.RowGroups() {
		if err := r.pages(group.ColumnChunks()[column.ColumnIndex], func(text []byte) error {
			if done++; compressed(s.Path) == "" { // else counted as it was unpacked
				r.bytes = from + int64(float64(done)/float64(file.NumRows())*float64(size))
			}
			return r.pieces(text, each)
		}); err != nil {
			var own *callerError
			if errors.As(err, &own) {
				return own.error
			}
			return damaged(s.Path, err)
		}
	}
	return nil
}

// callerError is an error of who is called with the documents, not of the file.
type callerError struct{ error }

// pages calls each with the values of a column; those that are missing are empty.
func (r *reader) pages(chunk parquet.ColumnChunk, each func(text []byte) error) error {
	pages := chunk.Pages()
	defer pages.Close()
	values := make([]parquet.Value, 64)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for in := page.Values(); ; {
			n, err := in.ReadValues(values)
			for _, v := range values[:n] {
				var text []byte
				if !v.IsNull() {
					text = v.ByteArray()
				}
				if err := each(text); err != nil {
					parquet.Release(page)
					return &callerError{err}
				}
			}
			if err == io.EOF {
				break
			} else if err != nil {
				parquet.Release(page)
				return err
			}
		}
		parquet.Release(page)
	}
}

// unpack writes what a compressed file holds into a temporary one, which is gone when it is closed.
func (r *reader) unpack(path string, in io.Reader) (f *os.File, size int64, err error) {
	text, done, err := decompress(path, counter{in, &r.bytes})
	if err != nil {
		return nil, 0, err
	}
	defer done()
	if f, err = os.CreateTemp("", "saltern-*.parquet"); err == nil {
		err = os.Remove(f.Name()) // it lives as long as it is open
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s cannot be unpacked: %w", path, err)
	}
	if size, err = io.Copy(f, text); err != nil {
		f.Close()
		if full := (*os.PathError)(nil); errors.As(err, &full) {
			return nil, 0, fmt.Errorf("%s cannot be unpacked: %w; set TMPDIR to a folder with room", path, err)
		}
		return nil, 0, damaged(path, err)
	}
	return f, size, nil
}

func columnNames(s *parquet.Schema) (names []string) {
	for _, path := range s.Columns() {
		names = append(names, strings.Join(path, "."))
	}
	return names
}
