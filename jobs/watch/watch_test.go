package watch

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"saltern/cluster/status"
	"saltern/jobs/metrics"
)

// put writes a file of a run folder.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func settingsText(method string) string {
	return fmt.Sprintf("seed = 1\n[model]\nlayers = 2\n[train]\nsteps = 100\nbatch = 8\nsequence = 128\n[distill]\nmethod = '%s'\nkd_steps = 30\ntransition = 'step'\n", method)
}

func record(step int, loss float64) string {
	return fmt.Sprintf("{\"step\":%d,\"tokens\":%d,\"train/loss\":%g,\"val/loss\":%g,\"seconds\":%g}\n", step, step*1024, loss, loss+0.1, float64(step)/2)
}

// A run from nothing to its end, as its files say.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := &Files{Dir: dir, Last: "llm-salt"}
	s := f.Poll(time.Now())
	if s.current() != nil || s.Ended {
		t.Fatalf("an empty folder: %+v", s)
	}
	put(t, dir, "llm-baseline/training.toml", settingsText("baseline"))
	s = f.Poll(time.Now())
	if c := s.current(); c == nil || c.Label != "BASELINE" || c.Settings.Train.Steps != 100 {
		t.Fatalf("begun: %+v", s.Trainings)
	}
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+record(10, 6)+`{"step":15,`)
	s = f.Poll(time.Now())
	if n := s.current().steps(); n != 10 {
		t.Errorf("at step %d, want 10", n)
	}
	if each := s.current().perStep(); each != 0.5 {
		t.Errorf("%g seconds a step", each)
	}
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)) // killed, and going on from a checkpoint
	s = f.Poll(time.Now())
	if n := len(s.current().Records); n != 1 {
		t.Errorf("%d records after the file was cut back", n)
	}
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+record(100, 5))
	put(t, dir, "llm-baseline/result.json", `{"seconds":60,"held_out":{"NLL":5.1},"finished":"2026-01-01T00:00:00Z"}`)
	s = f.Poll(time.Now())
	if s.Ended || s.current().Outcome == nil || s.current().Outcome.HeldOut.NLL != 5.1 {
		t.Errorf("BASELINE has ended, the job not: %+v", s.current().Outcome)
	}
	put(t, dir, "llm-salt/training.toml", settingsText("salt"))
	put(t, dir, "llm-salt/metrics.jsonl", record(5, 6.5)+record(100, 4.9))
	s = f.Poll(time.Now())
	if c := s.current(); c.Label != "SALT" || s.beside(c) == nil || s.beside(c).Label != "BASELINE" || s.beside(c).at(100) != 5.1 {
		t.Errorf("SALT beside BASELINE: %+v", c)
	}
	put(t, dir, "llm-salt/result.json", `{"seconds":70,"held_out":{"NLL":5.0},"finished":"2026-01-01T00:02:00Z"}`)
	if s = f.Poll(time.Now()); !s.Ended {
		t.Error("the job has not ended")
	}
	put(t, dir, "llm-salt/metrics.jsonl", "nonsense\nnonsense\n")
	if s = f.Poll(time.Now()); len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "metrics.jsonl") {
		t.Errorf("a damaged file: %q", s.Notes)
	}
}

// A comparison's trainings have their seeds in their names where they need them.
func TestComparison(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"llm-salt-0123456789ab", "llm-salt-ba9876543210", "llm-salt-ds-0123456789ab"} {
		put(t, dir, "compare/"+name+"/training.toml", strings.Replace(settingsText("salt"), "seed = 1", fmt.Sprint("seed = ", i+1), 1))
	}
	var labels []string
	for _, c := range (&Files{Dir: dir}).Poll(time.Now()).Trainings {
		labels = append(labels, c.Label)
	}
	if got := strings.Join(labels, ", "); got != "SALT seed 1, SALT seed 2, SALT_DS" {
		t.Errorf("%s", got)
	}
}

func TestReadLog(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "logs/rank_1.log", "device: x\n")
	if l := readLog(dir); l.Name != filepath.Join("logs", "rank_1.log") {
		t.Errorf("only rank 1 has one: %+v", l)
	}
	put(t, dir, "logs/rank_0.log", strings.Repeat("an early line\n", 5000)+"SALT: step 120/400  held-out loss 4.4\nSALT step 121/400  loss 4.5  eta 3s\n\x1b[31mred\x1b[0m\ttab\n")
	l := readLog(dir)
	if n := len(l.Lines); n != tailLines || l.Lines[n-1] != "red tab" || l.Lines[n-2] != "SALT: step 120/400  held-out loss 4.4" {
		t.Errorf("%d lines, at the end %q", n, l.Lines[n-2:])
	}
	put(t, dir, "slurm-17.out", "slurmstepd: error: *** JOB 17 CANCELLED DUE TO TIME LIMIT ***\n")
	later := time.Now().Add(2 * time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "slurm-17.out"), later, later); err != nil {
		t.Fatal(err)
	}
	if l := readLog(dir); l.Name != "slurm-17.out" || len(l.Lines) != 1 {
		t.Errorf("Slurm's is newer: %+v", l)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\tb": "a b", "\x1b[1;31mred\x1b[0m": "red", "bell\a\r\n": "bell", "\x1b]0;title\a": "0;title", "\u202eback": "back", "é 数": "é 数", "\x9b31m": "\ufffd31m", "\u009b31m": "31m",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if cut("数数数", 5) != "数数…" || cut("数数", 4) != "数数" || cut("abc", 1) != "…" || cut("abc", 0) != "" {
		t.Error("cut")
	}
}

// What a name or a log holds does not reach a terminal as a command.
func TestPlain(t *testing.T) {
	s := states()["ranks"]
	s.Name = "\x1b[2Jrun"
	s.Log.Lines = []string{clean("\x1b[2J\x07x")}
	s.Ranks[0].Host, s.Ranks[1].Device, s.Notes = "\x1b[31mnode", "\x1bc", []string{"\x1b[31m\n"}
	for _, l := range append(Picture(s, 120, 40, Look{}), Line(s)) {
		if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q", l)
		}
	}
	if l, want := Line(s), "SALT step 97/400  loss 4.6100  620 ms  6.6k tok/s  eta 44s  MFU 23.1%  held-out 5.4126 at 75  w 0.500  tau 0.81  5 ranks  rank 2 slow: 2.0x the median"; !strings.HasPrefix(l, want) {
		t.Errorf("got  %s\nwant %s", l, want)
	}
}

func TestStragglers(t *testing.T) {
	student := func(n int, step int64, ms, wait float64) Rank { return rank(n, status.Student, step, ms, wait) }
	for _, c := range []struct {
		why   string
		ranks []Rank
		want  []string
	}{
		{"equals", []Rank{student(0, 9, 600, 300), student(1, 9, 600, 290), student(2, 9, 600, 310)}, []string{"", "", ""}},
		{"it is the slow one for which the others wait", []Rank{student(0, 9, 600, 300), student(1, 9, 600, 310), student(2, 9, 600, 10)}, []string{"", "", "slow: 2.0x the median"}},
		{"small steps vary", []Rank{student(0, 9, 2, 0), student(1, 9, 2, 0), student(2, 9, 4, 0)}, []string{"", "", ""}},
		{"a teacher's step is another", []Rank{student(0, 9, 600, 300), student(1, 9, 600, 300), rank(2, status.Teacher, 3, 5000, 0)}, []string{"", "", ""}},
		{"who rests makes no steps", []Rank{student(0, 9, 600, 300), student(1, 9, 600, 300), rank(2, status.Resting, 0, 0, 0)}, []string{"", "", ""}},
		{"left behind", []Rank{student(0, 9, 600, 300), student(1, 9, 600, 300), student(2, 6, 600, 300)}, []string{"", "", "3 steps behind"}},
		{"alone", []Rank{student(0, 9, 600, 0)}, []string{""}},
	} {
		for i, r := range c.ranks {
			if got := straggles(r, c.ranks, noon); got != c.want[i] {
				t.Errorf("%s: rank %d: %q, want %q", c.why, i, got, c.want[i])
			}
		}
	}
	if got := straggles(student(0, 9, 600, 0), nil, noon.Add(75*time.Second)); got != "silent for 1m15s" {
		t.Errorf("%q", got)
	}
}

func TestBoard(t *testing.T) {
	b := board{}
	say := func(second int, step int64, sent uint64) float64 {
		b.hear(status.Report{Rank: 1, Step: step, SentBytes: sent, StepMS: 600, WaitMS: 200, Time: noon.Add(time.Duration(second) * time.Second)}, noon)
		return b.ranks()[0].SentPerSec
	}
	for _, c := range []struct {
		second int
		step   int64
		sent   uint64
		want   float64
		why    string
	}{
		{0, 1, 1000, math.NaN(), "the first"},
		{1, 1, 1000, math.NaN(), "within a step that takes long"},
		{2, 2, 9000, 4000, "since the last step"},
		{1, 1, 0, 4000, "overtaken"},
		{3, 3, 11000, 3000, "averaged with before"},
		{4, 3, 11000, 3000, "the same step"},
		{20, 3, 11000, 0, "an evaluation"},
		{21, 4, 47000, 2000, "after it"},
		{22, 1, 10, math.NaN(), "after a restart"},
	} {
		if got := say(c.second, c.step, c.sent); got != c.want && (got == got || c.want == c.want) {
			t.Errorf("%s: %g bytes per second, want %g", c.why, got, c.want)
		}
	}
	if len(b) != 1 || b.counted() {
		t.Errorf("%+v", b)
	}
	b = board{}
	for step, wait := range []float64{200, 200, 600, 600} {
		b.hear(status.Report{Step: int64(step), StepMS: 600, WaitMS: wait, Time: noon.Add(time.Duration(step) * time.Second)}, noon)
	}
	if own := b.ranks()[0].Own; own != 100 { // 400, 400, 200, 100
		t.Errorf("%g ms of its own", own)
	}
}

// When the teacher leaves, by each kind of schedule.
func TestTeacherLeft(t *testing.T) {
	step := training("llm-salt", "salt", 100, 0)
	if at, planned := step.teacherLeft(); at != 120 || !planned {
		t.Errorf("before: %d, %v", at, planned)
	}
	step = training("llm-salt", "salt", 200, 0)
	if at, planned := step.teacherLeft(); at != 120 || planned {
		t.Errorf("after: %d, %v", at, planned)
	}
	step.Settings.Distill.Transition, step.Settings.Distill.KDSteps = "auto", 0
	if at, planned := step.teacherLeft(); at != 125 || planned { // the first record without
		t.Errorf("auto: %d, %v", at, planned)
	}
	base := training("llm-baseline", "baseline", 200, 0)
	if at, _ := base.teacherLeft(); at != 0 {
		t.Errorf("BASELINE: %d", at)
	}
}

// Looking at a run, by all ways that there are, changes nothing in its folder.
func TestUntouched(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "llm-baseline/training.toml", settingsText("baseline"))
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+`{"step`)
	put(t, dir, "logs/rank_0.log", "a line\n")
	tree := func() (list string) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			info, e := d.Info()
			if err == nil && e == nil {
				list += fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime(), "\n")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := tree()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, once := range []bool{true, false} {
		if err := Run(ctx, Options{Dir: dir, Once: once, Out: &out, Env: func(string) (string, bool) { return "", false }}); err != nil {
			t.Fatal(err)
		}
	}
	if after := tree(); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	if !strings.Contains(out.String(), "BASELINE step 5/100") {
		t.Errorf("%s", out.String())
	}
}

// Time left is judged by the latest records, and counts down between them.
func TestLeft(t *testing.T) {
	c := training("llm-salt", "salt", 200, 0)
	if d := c.left(200, c.Changed.Add(10*time.Second)); d.Round(time.Second) != 20*time.Second {
		t.Errorf("%v", d)
	}
	c.Records = []metrics.Record{{Step: 1}}
	if d := c.left(1, c.Changed); d != 0 {
		t.Errorf("%v of one record", d)
	}
}
