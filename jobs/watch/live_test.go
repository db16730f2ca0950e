package watch

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"saltern/cluster"
	"saltern/cluster/status"
)

// job starts a job of one rank, which speaks.
func job(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	id := cluster.Identity{Job: "test", Size: 1, Nodes: 1, LocalSize: 1, Dir: filepath.Join(t.TempDir(), "meeting")}
	c, err := cluster.Join(context.Background(), id, cluster.Config{JoinTimeout: 20, Heartbeat: 2}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Invite(dir); err != nil {
		t.Fatal(err)
	}
	return c
}

// until waits for what must come.
func until(t *testing.T, what string, ok func(*State) bool, l *Live) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s := State{Now: time.Now()}
		l.Add(&s)
		if ok(&s) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s did not come: %d ranks, notes %q", what, len(s.Ranks), s.Notes)
		}
	}
}

// A job comes, speaks, and ends, while somebody listens.
func TestLive(t *testing.T) {
	dir := t.TempDir()
	l := Listen(dir)
	defer l.Close()
	c := job(t, dir)
	p := status.NewPublisher(c.Conn(), c.Subject(cluster.Status+".0"))
	p.Say(status.Report{Role: status.Student, Training: "llm-baseline", Step: 17, Total: 100, TokensPerSec: 1234, Loss: 5.5})
	until(t, "the rank", func(s *State) bool { return len(s.Ranks) == 1 && s.Ranks[0].Step == 17 && len(s.Notes) == 0 }, l)

	// The picture has what the rank says, newer than the files.
	put(t, dir, "llm-baseline/training.toml", settingsText("baseline"))
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+record(10, 6))
	time.AfterFunc(1500*time.Millisecond, func() { // a report later, in which bytes per second are known
		p.Say(status.Report{Role: status.Student, Training: "llm-baseline", Step: 18, Total: 100, TokensPerSec: 1234, Loss: 5.5})
	})
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Dir: dir, Once: true, Out: &out, Env: func(string) (string, bool) { return "", false }}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BASELINE step 18/100", "loss 5.500", "1.2k tok/s", "1 rank", "student"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}

	p.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "watch.json")); !os.IsNotExist(err) {
		t.Errorf("the invitation is still there: %v", err)
	}
	until(t, "the end", func(s *State) bool { return len(s.Ranks) == 0 }, l)
}

// Where no connection can be made, that is said, and the files are all there is.
func TestNoConnection(t *testing.T) {
	dir := t.TempDir()
	c := job(t, dir)
	file := filepath.Join(dir, "watch.json")
	left, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	note := func(want string) {
		t.Helper()
		l := Listen(dir)
		defer l.Close()
		until(t, want, func(s *State) bool {
			return len(s.Notes) == 1 && strings.HasPrefix(s.Notes[0], "from the files alone: ") && strings.Contains(s.Notes[0], want)
		}, l)
	}
	note("others may read")
	if os.Geteuid() != 0 { // who may read everything
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		note("only to the user who runs the job")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	// The job was killed and has left its invitation.
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, left, 0o600); err != nil {
		t.Fatal(err)
	}
	note("connecting to the ranks at 127.0.0.1:")
}
