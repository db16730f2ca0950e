package jobs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrepareInterrupted stops before the first document: an exit code of its own, and no folder that looks prepared.
func TestPrepareInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(name, 300)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	job, err := readJob(filepath.Join(dir, "job.toml"), []byte(smallJob), []string{`corpus.sources=["*.txt"]`, "run_dir=" + dir + "/run", "tokenizer.vocab_size=257"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = prepareCorpus(ctx, IO{Err: os.Stderr, Env: os.LookupEnv}, job)
	if KindOf(err) != Interrupted || !strings.Contains(err.Error(), "the same command goes on") {
		t.Errorf("the error is %v, of the kind %v", err, KindOf(err))
	}
	if left, _ := os.ReadDir(dir + "/run"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if _, err = prepareCorpus(context.Background(), IO{Err: os.Stderr, Env: os.LookupEnv}, job); err != nil {
		t.Error(err)
	}
}
