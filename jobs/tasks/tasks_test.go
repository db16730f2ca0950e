package tasks

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "task.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "has no documents",
		`{"output_type":"loglikelihood"}`:  "has no documents",
		`{"output_type":"guess"}` + "\n{}": `output_type "guess" is unknown`,
		`{"output_type":"multiple_choice","doc":1}`: `task.jsonl:1: the task's settings: json: unknown field "doc"`,
		"\n{":                         "task.jsonl:2: unexpected end",
		`{"text":"a"}`:                `no field "target"`,
		`{"text":["a"],"target":"b"}`: "doc_to_text is not a text",
		`{"text":"a","choices":["b","c"],"target":2}`:                                      "the target 2 is none of the 2 choices",
		`{"text":"a","choices":["b","c"],"target":"d"}`:                                    "the target d is none of the 2 choices",
		`{"text":"a","choices":["b",""],"target":0}`:                                       "number 2 of a list of texts",
		`{"output_type":"loglikelihood","doc_to_text":"{{q}}?"}` + "\n" + `{"target":"b"}`: `no field "q", which "{{q}}?" asks for`,
	} {
		if _, err := Read(file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	few, err := Read(file(t, `{"text":"a","target":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	few.NumFewshot = 1
	if _, err := few.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "0 documents for 1 examples") {
		t.Errorf("%v", err)
	}
}

// A model that is right as often as it is sure is calibrated; one that is sure and wrong is off by as much.
func TestCalibrationError(t *testing.T) {
	if e := calibrationError([]float64{0.75, 0.75, 0.75, 0.75}, []float64{1, 1, 0, 1}); e != 0 {
		t.Errorf("calibrated: %g", e)
	}
	if e := calibrationError([]float64{1, 0.5}, []float64{0, 1}); math.Abs(e-0.75) > 1e-15 {
		t.Errorf("two bins, off by 1 and by 0.5: %g", e)
	}
	if s := topShare([]Score{{LogLikelihood: -700}, {LogLikelihood: -700 + math.Log(3)}}); math.Abs(s-0.75) > 1e-12 {
		t.Errorf("share %g", s)
	}
}

func TestCut(t *testing.T) {
	if got := Cut(" 4\nQ: 5. 6", []string{".", "", "\n"}); got != " 4" {
		t.Errorf("%q", got)
	}
}
