package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// originsName is the file that says where the text came from, beside the shards.
const originsName = "origins.jsonl"

// origin is a line of it: a file, in the order of the streams, and how many tokens of each part are its.
type origin struct {
	Path    string `json:"path"`
	Train   int64  `json:"train,omitempty"`
	HeldOut int64  `json:"held_out,omitempty"`
}

// writeOrigins writes the files that have tokens.
func writeOrigins(dir string, list []origin) error {
	f, err := os.Create(filepath.Join(dir, originsName))
	if err != nil {
		return fmt.Errorf("writing %s: %w", originsName, err)
	}
	out := bufio.NewWriter(f)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for _, o := range list {
		if o.Train+o.HeldOut > 0 && err == nil {
			err = lines.Encode(o)
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fullDisk(f.Name(), err)
	}
	return nil
}

// Origins says which file, and which group of files, each token of the training stream comes from.
type Origins struct {
	// Groups names the groups in the order of the stream: what lies first below the innermost folder that holds all files, a
	// folder with all that is in it or a file.
	Groups []string

	ends  []int64 // of each file's tokens
	files []string
	group []int // of each file, in Groups
}

// Origins reads where the text came from.
func (s *Set) Origins() (*Origins, error) {
	path := filepath.Join(s.Dir, originsName)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the corpus does not say where its text came from: %w: delete the folder and prepare it again", err)
	}
	defer f.Close()
	o, total := &Origins{}, int64(0)
	for lines := json.NewDecoder(bufio.NewReader(f)); ; {
		var line origin
		if err := lines.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s is damaged (%w): delete the folder and prepare it again", path, err)
		}
		if line.Train > 0 {
			total += line.Train
			o.files, o.ends = append(o.files, line.Path), append(o.ends, total)
		}
	}
	if total != s.Manifest.Train.Tokens {
		return nil, fmt.Errorf("%s is damaged: its files have %d training tokens, and there are %d: delete the folder and prepare it again", path, total, s.Manifest.Train.Tokens)
	}
	o.gather()
	return o, nil
}

// gather puts the files into groups.
func (o *Origins) gather() {
	base := commonFolder(o.files)
	number := map[string]int{}
	for _, path := range o.files {
		name, _, below := strings.Cut(strings.TrimPrefix(path, base), "/")
		if below {
			name += "/"
		}
		if _, known := number[name]; !known {
			number[name] = len(o.Groups)
			o.Groups = append(o.Groups, name)
		}
		o.group = append(o.group, number[name])
	}
}

// commonFolder is the innermost folder that holds all of the files, with a slash at its end.
func commonFolder(files []string) string {
	base := ""
	for i, path := range files {
		folder := path[:strings.LastIndexByte(path, '/')+1]
		if i == 0 {
			base = folder
		}
		for !strings.HasPrefix(folder, base) {
			base = base[:strings.LastIndexByte(base[:len(base)-1], '/')+1]
		}
	}
	return base
}

// Count adds the training tokens from from up to to to the counts of their groups.
func (o *Origins) Count(from, to int64, counts []int64) {
	for i := o.fileAt(from); from < to && i < len(o.ends); i++ {
		n := min(to, o.ends[i]) - from
		counts[o.group[i]] += n
		from += n
	}
}

// File is the path of the file that a training token comes from.
func (o *Origins) File(token int64) string {
	if i := o.fileAt(token); i < len(o.files) {
		return o.files[i]
	}
	return ""
}

func (o *Origins) fileAt(token int64) int {
	return sort.Search(len(o.ends), func(i int) bool { return o.ends[i] > token })
}
