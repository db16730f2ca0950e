package watch

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"saltern/jobs/progress"
)

// Log is the end of what a run said.
type Log struct {
	Name  string // of its file, within the run folder
	Lines []string
}

// tailBytes is how much of a log's end is looked at, tailLines how many of its lines are kept.
const (
	tailBytes = 1 << 15
	tailLines = 50
)

// readLog reads the log of the run folder that says most: what Slurm has of the whole job, where that is newer than what the first
// rank said, for errors that end a job stand there; else that; else another rank's.
func readLog(dir string) Log {
	slurm, slurmAt := newest(filepath.Join(dir, "slurm-*.out"))
	first, firstAt := newest(filepath.Join(dir, "logs", "rank_0.log"))
	if slurm == "" || firstAt.After(slurmAt.Add(-time.Minute)) {
		slurm = first
	}
	if slurm == "" {
		slurm, _ = newest(filepath.Join(dir, "logs", "rank_*.log"))
	}
	if slurm == "" {
		return Log{}
	}
	name, _ := filepath.Rel(dir, slurm)
	return Log{name, tail(slurm)}
}

// newest is the file of a pattern that was written last.
func newest(pattern string) (found string, at time.Time) {
	names, _ := filepath.Glob(pattern)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && (found == "" || info.ModTime().After(at)) {
			found, at = name, info.ModTime()
		}
	}
	return found, at
}

// tail is the last lines of a file but for those that only say how far the job is, which the picture does.
func tail(path string) (lines []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	from := max(0, size-tailBytes)
	text := make([]byte, size-from)
	n, _ := f.ReadAt(text, from)
	list := strings.Split(string(text[:n]), "\n")
	if from > 0 {
		list = list[1:] // it is not whole
	}
	for _, l := range list {
		if l = clean(l[strings.LastIndex(l, "\r")+1:]); l != "" && !progress.IsLine(l) {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-tailLines):]
}
