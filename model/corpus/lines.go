package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Objects calls each with the fields of every line of the .jsonl files that the sources name, and where the line stands. The bytes are
// valid until each returns.
func (c Config) Objects(each func(place string, line []byte, fields map[string]json.RawMessage) error) error {
	c = c.Defaults()
	sources, err := c.files()
	if err != nil {
		return err
	}
	r := reader{cfg: &c}
	for _, s := range sources {
		if err := r.objects(s.Path, each); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) objects(path string, each func(place string, line []byte, fields map[string]json.RawMessage) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("a source cannot be read: %w", err)
	}
	defer f.Close()
	in, done, err := decompress(path, f)
	if err != nil {
		return err
	}
	defer done()
	lines := bufio.NewReaderSize(in, 1<<16)
	for number := 1; ; number++ {
		line, err := r.line(lines)
		place := fmt.Sprintf("%s:%d", path, number)
		if errors.Is(err, errLongLine) {
			return fmt.Errorf("%s: %w", place, err)
		} else if err != nil && err != io.EOF {
			return damaged(path, err)
		}
		if !isBlank(line) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(line, &fields); err != nil {
				return fmt.Errorf("%s: the line is not a JSON object (%w); correct it or delete it", place, err)
			}
			if err := each(place, line, fields); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}
