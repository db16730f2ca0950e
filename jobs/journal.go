package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// journalFile is the log of rank 0, or of a process that is alone, in a run folder. Those of the others lie beside it where "saltern
// launch" started them.
func journalFile(runDir string) string { return filepath.Join(runDir, "logs", "rank_0.log") }

// keep adds a line to the job's log, so that it can be read on another machine and later. It opens the file for each, since what a
// network file system has not been told of yet others cannot read; there are few. A log that cannot be written ends no job.
func (s *session) keep(text string) {
	if !s.ranks.leads() {
		return // whose words all go to a file already
	}
	file := journalFile(s.job.RunDir)
	_ = os.MkdirAll(filepath.Dir(file), 0o777)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%s %s\n", time.Now().UTC().Format(time.RFC3339), strings.ReplaceAll(text, "\n", "\n  "))
}
