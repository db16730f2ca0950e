package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Writer adds records to a run's file, and to that of TensorBoard.
type Writer struct {
	f      *os.File
	events *events
	last   int // step of the last line
}

// Open opens the file in the run's folder for a run that goes on from a step: lines after it, which the run is going to write
// again, and a last line torn by a crash are cut off. Step 0 starts anew.
func Open(dir string, step int) (*Writer, error) {
	path := filepath.Join(dir, Name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f}
	end, kept := int64(0), []Record(nil)
	err = scan(f, path, func(r Record, size int) bool {
		if r.Step > step || step == 0 {
			return false
		}
		w.last = r.Step
		kept = append(kept, r)
		end += int64(size)
		return true
	})
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		w.events, err = openEvents(dir, kept, time.Now())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// Write appends a record. Steps must not go down.
func (w *Writer) Write(r Record) error {
	if r.Step < w.last {
		return fmt.Errorf("bug: metrics of step %d after those of step %d", r.Step, w.last)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// The line and its end in one call, so that no reader sees one without the other. After a short write, on a full disk, the
	// next line would be glued to the torn one: take the torn one back.
	n, err := w.f.Write(append(line, '\n'))
	if err != nil && n > 0 {
		if size, seekErr := w.f.Seek(0, io.SeekEnd); seekErr == nil {
			err = errors.Join(err, w.f.Truncate(size-int64(n)))
		}
	}
	if err == nil {
		w.last = r.Step
		err = w.events.write(r)
	}
	return err
}

// Sync makes all records durable.
func (w *Writer) Sync() error { return w.f.Sync() }

// Close syncs and closes the file.
func (w *Writer) Close() error { return errors.Join(w.f.Sync(), w.f.Close(), w.events.close()) }

// Read returns all records of the run in dir; a torn last line is left out.
func Read(dir string) ([]Record, error) {
	path := filepath.Join(dir, Name)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []Record
	err = scan(f, path, func(r Record, _ int) bool {
		records = append(records, r)
		return true
	})
	return records, err
}

// scan calls yield with each whole line and its size, end of line included, until yield returns false. The last line is torn
// if it has no end or, where a machine lost power, is not JSON; a line in the middle that is not JSON is an error.
func scan(r io.Reader, path string, yield func(r Record, size int) bool) error {
	in := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		var record Record
		if err := json.Unmarshal(bytes.TrimSpace(line), &record); err != nil {
			if _, peekErr := in.Peek(1); peekErr == io.EOF {
				return nil
			}
			return fmt.Errorf("%s:%d: the line is not a record: %w; remove the line or move the file away", path, n, err)
		}
		if !yield(record, len(line)) {
			return nil
		}
	}
}
