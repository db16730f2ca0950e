package metrics

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	r := Record{Step: 3, Tokens: 1 << 60, Values: map[string]float64{
		"zeta": 1, "alpha \"q\"": 2, Seconds: 1.5, TrainLoss: math.NaN(), LR: 6e-4, GradNorm: math.Inf(1), FLOPs: 1.25e21,
	}}
	b, err := json.Marshal(r)
	want := `{"step":3,"tokens":1152921504606846976,"train/loss":null,"lr":0.0006,"grad_norm":null,"flops":1.25e+21,` +
		`"seconds":1.5,"alpha \"q\"":2,"zeta":1}`
	if err != nil || string(b) != want {
		t.Errorf("got  %s, %v\nwant %s", b, err, want)
	}
	var back Record
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.Tokens != r.Tokens || !math.IsNaN(back.Value(TrainLoss)) || back.Value(LR) != 6e-4 || !math.IsNaN(back.Value(ValLoss)) {
		t.Errorf("read back %+v", back)
	}
	if err := json.Unmarshal([]byte(`{"step":1,"device":"a GPU","lr":1}`), &back); err != nil || len(back.Values) != 1 {
		t.Errorf("a string among the values: %+v, %v", back, err)
	}
	for _, bad := range []string{`{}`, `{"step":"1"}`, `{"step":1.5}`, `{"step":1,"tokens":[]}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func record(step int) Record {
	return Record{step, int64(step) * 4096, map[string]float64{TrainLoss: 5 / float64(step), LR: 1e-3}}
}

// run writes steps (from, to] as a run does: training lines, and a validation line at every second step.
func run(t *testing.T, dir string, from, to int) {
	t.Helper()
	w, err := Open(dir, from)
	if err != nil {
		t.Fatal(err)
	}
	for step := from + 1; step <= to; step++ {
		if err := w.Write(record(step)); err != nil {
			t.Fatal(err)
		}
		if step%2 == 0 {
			if err := w.Write(Record{step, int64(step) * 4096, map[string]float64{ValLoss: 4 / float64(step)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResumeEqualsUninterrupted(t *testing.T) {
	want := t.TempDir()
	run(t, want, 0, 10)
	for _, c := range []struct{ stopped, resumed int }{{7, 7}, {7, 6}, {7, 4}, {10, 3}, {1, 0}} {
		dir := t.TempDir()
		run(t, dir, 0, c.stopped)
		run(t, dir, c.resumed, 10)
		if got := content(t, dir); got != content(t, want) {
			t.Errorf("stopped at %d, resumed from %d:\n%s", c.stopped, c.resumed, got)
		}
	}
}

// The file ends at every possible byte of its last line, or in the zeros that a power cut leaves.
func TestOpenTorn(t *testing.T) {
	whole := t.TempDir()
	run(t, whole, 0, 6)
	text := content(t, whole)
	last := strings.LastIndexByte(text[:len(text)-1], '\n') + 1
	tails := []string{"\x00\x00\x00\x00\x00", "\x00\x00\x00\n"}
	for i := range len(text) - last {
		tails = append(tails, text[last:last+i])
	}
	for _, tail := range tails {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, Name), []byte(text[:last]+tail), 0o666); err != nil {
			t.Fatal(err)
		}
		records, err := Read(dir)
		if err != nil || len(records) != 8 {
			t.Errorf("tail %q: Read gives %d records, %v", tail, len(records), err)
		}
		w, err := Open(dir, 6)
		if err != nil {
			t.Fatalf("tail %q: %v", tail, err)
		}
		if err := w.Write(records[0]); err == nil {
			t.Error("a step went down")
		}
		if err := w.Write(Record{6, 6 * 4096, map[string]float64{ValLoss: 4.0 / 6}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := content(t, dir); got != text {
			t.Errorf("tail %q: got\n%s", tail, got)
		}
	}
}

func TestBrokenMiddle(t *testing.T) {
	dir := t.TempDir()
	text := "{\"step\":1,\"tokens\":1}\nnonsense\n{\"step\":2,\"tokens\":2}\n"
	if err := os.WriteFile(filepath.Join(dir, Name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), Name+":2:") {
		t.Errorf("Read: %v", err)
	}
	if _, err := Open(dir, 2); err == nil || !strings.Contains(err.Error(), Name+":2:") {
		t.Errorf("Open: %v", err)
	}
	if content(t, dir) != text {
		t.Error("Open changed a file that it could not read")
	}
}
