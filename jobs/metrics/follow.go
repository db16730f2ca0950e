package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Follower reads a run's file while the run writes it, by opening it anew each time: that is what file systems over a network show
// changes to. It takes no lock.
type Follower struct {
	path string
	read int64  // bytes that have been read, all of them whole lines
	line []byte // the last one of these
}

// Follow follows the file in the run's folder, which need not be there yet.
func Follow(dir string) *Follower { return &Follower{path: filepath.Join(dir, Name)} }

// Poll returns the records that were added since the last call. anew says that the run went on from an earlier step, or began again:
// the records are then all that there are. It is os.ErrNotExist where there is no file.
func (f *Follower) Poll() (records []Record, anew bool, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	if anew, err = f.cut(file); err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if anew {
		f.read, f.line = 0, nil
	}
	if _, err := file.Seek(f.read, io.SeekStart); err != nil {
		return nil, anew, err
	}
	in := bufio.NewReaderSize(file, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF { // what is there of a line yet is read when it is whole
			return records, anew, nil
		}
		if err != nil {
			return records, anew, fmt.Errorf("reading %s: %w", f.path, err)
		}
		var r Record
		if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
			return records, anew, fmt.Errorf("%s: byte %d: the line is not a record: %w", f.path, f.read, err)
		}
		records = append(records, r)
		f.read += int64(len(line))
		f.line = line
	}
}

// cut says that the file was cut back behind what was read of it, and has perhaps grown again: what was read last is not there any
// more. Whoever goes on from a checkpoint writes the same lines again but for the times in them.
func (f *Follower) cut(file *os.File) (bool, error) {
	if f.read == 0 {
		return false, nil
	}
	now := make([]byte, len(f.line))
	_, err := file.ReadAt(now, f.read-int64(len(f.line)))
	if err == io.EOF {
		return true, nil
	}
	return !bytes.Equal(now, f.line), err
}
