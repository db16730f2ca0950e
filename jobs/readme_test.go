package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeJob: the job that the README shows is one.
func TestReadmeJob(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, job, ok := strings.Cut(string(text), "```toml\n")
	job, _, end := strings.Cut(job, "```")
	if !ok || !end {
		t.Fatal("the README shows no job file")
	}
	path := filepath.Join(t.TempDir(), "job.toml")
	if err := os.WriteFile(path, []byte(job), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path, nil); err != nil {
		t.Error(err)
	}
}
