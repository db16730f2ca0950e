package jobs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBlame says which of several ranks that failed is named, whatever ended first or was told of it. A rank's part is played by a shell.
func TestBlame(t *testing.T) {
	type end struct {
		script string
		after  time.Duration
	}
	for _, test := range []struct {
		why    string
		ends   []end
		ending time.Duration // when the others were ended; 0: they were not
		want   string
		kind   Kind
	}{
		{"all is well", []end{{"exit 0", 0}, {"exit 0", 0}}, 0, "", OK},
		{"the one that was killed, though others noticed before it was buried", []end{{"exit 73", 0}, {"kill -9 $$", time.Second}}, 0, "rank 1 of 2", Failed},
		{"the one that failed, not those that lost it", []end{{"exit 73", 0}, {"exit 73", time.Millisecond}, {"exit 70", 900 * time.Millisecond}}, 0, "rank 2 of 3", DiskFull},
		{"the first, where all were told of its failure", []end{{"exit 65", time.Second}, {"exit 65", 0}}, 0, "rank 0 of 2", BadData},
		{"not one that was ended for the failure of another", []end{{"kill -9 $$", 4 * time.Second}, {"exit 1", 0}}, 2 * time.Second, "rank 1 of 2", Failed},
		{"of two failures the first", []end{{"exit 67", 3 * time.Second}, {"exit 66", 0}}, 0, "rank 1 of 2", NoDevice},
	} {
		start := time.Now()
		l := &launch{}
		if test.ending > 0 {
			l.ending = start.Add(test.ending)
		}
		for rank, e := range test.ends {
			p := &rankProcess{rank: rank, log: filepath.Join(t.TempDir(), "log"), cmd: exec.Command("sh", "-c", e.script)}
			if err := os.WriteFile(p.log, []byte("before\nfirst\nlast\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			p.from = int64(len("before\n"))
			p.err = p.cmd.Run()
			p.when = start.Add(e.after)
			l.ranks = append(l.ranks, p)
		}
		err := l.outcome(false)
		if KindOf(err) != test.kind || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, of kind %v", test.why, err, KindOf(err))
		}
		if err != nil && !strings.HasPrefix(test.want, "rank 0") && !strings.HasSuffix(err.Error(), ", which ends with\n  first\n  last") {
			t.Errorf("%s: the end of the log is missing: %v", test.why, err)
		}
	}
}
