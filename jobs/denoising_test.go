package jobs

import (
	"os"
	"strings"
	"testing"

	"saltern/model"
	"saltern/model/corpus"
)

// TestSettingsWithoutObjective: a run folder of a version that had only the causal objective is gone on with, by that objective.
func TestSettingsWithoutObjective(t *testing.T) {
	run := &training{dir: t.TempDir(), Train: model.TrainConfig{Steps: 5, Objective: model.Causal}}
	if err := run.claim(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(run.settingsFile())
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(text), "objective = 'causal'\n", "", 1)
	if old == string(text) {
		t.Fatalf("there is no objective in\n%s", text)
	}
	if err := os.WriteFile(run.settingsFile(), []byte(old), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := run.compare(false); err != nil {
		t.Error(err)
	}
	run.Train.Objective = model.UL2
	if err := run.compare(false); err == nil || !strings.Contains(err.Error(), "train.objective was causal, now ul2") {
		t.Errorf("another objective: %v", err)
	}
}

// TestNumbers: a causal training knows sequences, a mixture also in which epoch they come.
func TestNumbers(t *testing.T) {
	order := corpus.Order{Seed: 4, Sequences: 10}
	var causal *denoising
	seen := map[int64]bool{}
	for sample := range int64(30) {
		sequence, number := causal.number(order, 10, sample), (&denoising{}).number(order, 10, sample)
		if sequence != order.At(sample) || number%10 != sequence || number/10 != sample/10 || seen[number] {
			t.Errorf("sample %d is sequence %d, number %d", sample, sequence, number)
		}
		seen[number] = true
	}
	// Of a selection too the number names the sequence of the text.
	some := corpus.Order{Seed: 4, Sequences: 3, Only: []int64{2, 5, 9}}
	for sample := range int64(9) {
		if number := (&denoising{}).number(some, 10, sample); number%10 != some.At(sample) || number/10 != sample/3 {
			t.Errorf("sample %d of a selection is number %d", sample, number)
		}
	}
}
