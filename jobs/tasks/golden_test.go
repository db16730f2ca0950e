package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// asked is a request that the harness made, and its answer.
type asked struct {
	Context, Continuation string
	LogLikelihood         float64
	Greedy                bool
	Written               *string
}

// transcript answers as the harness was answered, and fails where it is asked otherwise.
type transcript struct{ requests []asked }

func (m *transcript) next(context string) (asked, error) {
	if len(m.requests) == 0 || m.requests[0].Context != context {
		return asked{}, fmt.Errorf("asked after %q, and the harness asks %+v", context, m.requests)
	}
	a := m.requests[0]
	m.requests = m.requests[1:]
	return a, nil
}

func (m *transcript) Score(_ context.Context, requests []Request) (list []Score, err error) {
	for _, r := range requests {
		a, err := m.next(r.Context)
		if err != nil {
			return nil, err
		}
		if a.Continuation != r.Continuation {
			return nil, fmt.Errorf("asked for %q, and the harness asks for %q", r.Continuation, a.Continuation)
		}
		list = append(list, Score{a.LogLikelihood, a.Greedy})
	}
	return list, nil
}

func (m *transcript) Write(_ context.Context, text string, _ []string, _ int) (string, error) {
	a, err := m.next(text)
	if err != nil || a.Written == nil {
		return "", fmt.Errorf("%v, written %v", err, a.Written)
	}
	return *a.Written + "\nand more.", nil // what is behind the first of until is no part of it
}

// TestGolden: asked as the harness asks, and answered as it was answered, a task has its numbers. golden.json is scripts/interop/evaluate.py's.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Task     string
		Requests []asked
		Metrics  map[string]float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, g := range golden {
		task, err := Read(filepath.Join("testdata", g.Task+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		m := &transcript{g.Requests}
		r, err := task.Run(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.requests) > 0 {
			t.Errorf("%s: not asked: %+v", g.Task, m.requests)
		}
		found := map[string]float64{}
		for _, x := range r.Metrics {
			found[x.Name], found[x.Name+"_stderr"] = x.Value, x.Stderr
		}
		for name, want := range g.Metrics {
			if got, ok := found[name]; !ok || math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%s: %s is %g, the harness's %g", g.Task, name, got, want)
			}
		}
	}
	if len(golden) != 4 {
		t.Errorf("%d tasks", len(golden))
	}
}
