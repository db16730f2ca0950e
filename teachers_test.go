package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSaltern leaves results without training: BASELINE ends at 4 and a tenth of the seed, RKD half a nat above it and auto a tenth below,
// and it notes its arguments.
const fakeSaltern = `#!/bin/sh
[ "$1" = config ] && { echo '[{"key": "slm.train.steps", "value": 100}]'; exit; }
echo "$@" >> "$LOG"
only=$3 loss=4.$(echo "$@" | sed 's/.*seed=\([0-9]\).*/\1/') name=llm-baseline buckets= flops=100
dir=$(echo "$@" | sed 's/.*run_dir=\([^ ]*\).*/\1/')
case "$*" in
*method=rkd*) name=llm-rkd loss=4.7 ;;
*transition=auto*) name=llm-salt loss=4.05 flops=103 buckets=', "buckets": [{"stopped": 20}, {"stopped": '$(case "$dir" in *good) echo 0;; *) echo 60;; esac)'}]' ;;
*"--only slm"*) name=slm loss=3.5 ;;
esac
mkdir -p "$dir/$name"
echo '{"steps": 80, "flops": '$flops', "held_out": {"NLL": '$loss'}'"$buckets}" > "$dir/$name/result.json"
`

// TestTeachersScript runs the comparison of teachers with a program that only pretends: what is asked of it, the table, and that what
// is done is not done again.
func TestTeachersScript(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	dir := t.TempDir()
	saltern, log := filepath.Join(dir, "saltern"), filepath.Join(dir, "log")
	if err := os.WriteFile(saltern, []byte(fakeSaltern), 0o777); err != nil {
		t.Fatal(err)
	}
	run := func() (table, asked string) {
		if err := os.WriteFile(log, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("scripts/teachers", "--seeds", "1,2", "--out", filepath.Join(dir, "runs"), "--set", "llm.train.lr=0.1", "job.toml")
		c.Env = append(os.Environ(), "SALTERN="+saltern, "LOG="+log)
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(out), string(text)
	}
	table, asked := run()
	for _, want := range []string{
		"| good | 1 | 3.500 | 4.1000 | 4.7000 | 4.0500 | +0.6000 | -0.0500 | 20 to the end | 3.0% |\n",
		"| bad | 2 | 3.500 | 4.2000 | 4.7000 | 4.0500 | +0.5000 | -0.1500 | 20 to 60 | 3.0% |\n",
		"| of assembly | 1 |  | 4.1000 |",
		"BASELINE's standard deviation over 2 seeds: 0.0707.",
		"- good: RKD +0.5500, auto -0.1000 nats per token beside BASELINE\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	for _, want := range []string{
		"train --only slm --set run_dir=" + dir + "/runs/seed-1/teacher-bad --set seed=1 --set llm.train.lr=0.1 --set slm.train.steps=5 job.toml\n",
		`--set corpus.sources=["$GOROOT/src/**/*.s"] --set tokenizer.vocab_size=0 --set tokenizer.file=` + dir + "/runs/seed-2/baseline/corpus/tokenizer.json job.toml\n",
		"--set distill.teacher=" + dir + "/runs/seed-2/teacher-mediocre/slm/checkpoints --set distill.kd_steps=0 --set distill.method=salt --set distill.transition=auto job.toml\n",
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("nobody asked for %q:\n%s", want, asked)
		}
	}
	if n := strings.Count(asked, "\n"); n != 2*(1+3*4) {
		t.Errorf("%d trainings, want 26", n)
	}
	if again, asked := run(); again != table || asked != "" {
		t.Errorf("the second time it asked for %q and said\n%s", asked, again)
	}
}
