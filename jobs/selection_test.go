package jobs

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"saltern/distill"
	"saltern/model/corpus"
)

// ranked makes a selection of n candidates, of which a third have a score of 0.
func ranked(n, kept int) *selection {
	rng := rand.New(rand.NewPCG(4, 0))
	s := &selection{scoring: &scoring{Sequence: 8}, kept: kept}
	for id := range int64(n) {
		score := 0.0
		if id%3 > 0 {
			score = 2 + rng.NormFloat64()/2
		}
		s.ranked = append(s.ranked, distill.Scored{ID: id, Score: max(0, score)})
	}
	distill.Rank(s.ranked)
	return s
}

// TestHistogram: every candidate is in one bin, the one that its score belongs to, and what is kept is kept from the top.
func TestHistogram(t *testing.T) {
	s := ranked(3000, 500)
	bins := s.histogram()
	if n := len(bins); n < 8 || n > histogramBins+2 {
		t.Errorf("%d bins", n)
	}
	all, kept := 0, 0
	for i, b := range bins {
		all, kept = all+b.Candidates, kept+b.Selected
		want := 0
		for _, c := range s.ranked {
			if i == 0 && c.Score == 0 || i > 0 && c.Score > 0 && c.Score >= b.From && c.Score < b.To {
				want++
			}
		}
		if b.Candidates != want {
			t.Errorf("%g to %g has %d candidates, want %d", b.From, b.To, b.Candidates, want)
		}
		if b.From >= s.threshold() && b.To > 0 && b.Selected != b.Candidates || b.To <= s.threshold() && b.Selected != 0 {
			t.Errorf("%g to %g: %d of %d selected, with a threshold of %g", b.From, b.To, b.Selected, b.Candidates, s.threshold())
		}
	}
	if all != 3000 || kept != 500 {
		t.Errorf("the bins hold %d candidates, %d of them selected", all, kept)
	}
	nothing := &selection{scoring: &scoring{}, ranked: []distill.Scored{{ID: 3}, {ID: 4}}, kept: 1}
	if got := nothing.histogram(); !reflect.DeepEqual(got, []scoreBin{{Candidates: 2, Selected: 1}}) {
		t.Errorf("without any score above 0: %v", got)
	}
	for _, test := range [][2]float64{{0.3, 0.5}, {1, 1}, {0.21, 0.25}, {0.16, 0.2}, {6, 10}, {0, 1}, {math.NaN(), 1}} {
		if got := roundWidth(test[0]); math.Abs(got-test[1]) > 1e-12 {
			t.Errorf("the width for %g is %g, want %g", test[0], got, test[1])
		}
	}
}

// TestBar: a bar has its length, is never empty where there is something, and shows a part that was not selected however small.
func TestBar(t *testing.T) {
	for _, test := range []struct {
		candidates, selected, full, rest int
	}{
		{0, 0, 0, 0}, {1000, 1000, barWidth, 0}, {1000, 0, 0, barWidth}, {500, 250, barWidth / 4, barWidth / 4}, {1, 1, 1, 0}, {1, 0, 0, 1},
		{1000, 999, barWidth - 1, 1}, {1000, 1, 1, barWidth - 1}, {2, 1, 0, 1},
	} {
		want := strings.Repeat("█", test.full) + strings.Repeat("░", test.rest)
		if got := bar(scoreBin{Candidates: test.candidates, Selected: test.selected}, 1000); got != want {
			t.Errorf("%d of %d: %q, want %q", test.selected, test.candidates, got, want)
		}
	}
}

// TestExamples: the ends and the middle of both sides, each once.
func TestExamples(t *testing.T) {
	for _, test := range []struct {
		n, kept int
		want    []int
	}{{100, 40, []int{0, 20, 39, 40, 70, 99}}, {100, 100, []int{0, 50, 99}}, {2, 1, []int{0, 1}}, {1, 1, []int{0}}, {100, 1, []int{0, 1, 50, 99}}} {
		s := &selection{ranked: make([]distill.Scored, test.n), kept: test.kept}
		if got := s.exampleRanks(); !slices.Equal(got, test.want) {
			t.Errorf("%d of %d: %v, want %v", test.kept, test.n, got, test.want)
		}
	}
	if got := shorten("  a\n\tb  \xff c ", 10); got != "a b c" {
		t.Errorf("shortened to %q", got)
	}
	if got := shorten(strings.Repeat("ä", 50), 10); got != "äääääääää…" || utf8.RuneCountInString(got) != 10 {
		t.Errorf("shortened to %q", got)
	}
}

// TestOrderAtStages: stage 1 draws every selected sequence once before any twice, stage 2 reads what another method reads at that step.
func TestOrderAtStages(t *testing.T) {
	const batch, steps = 4, 10
	selected := []int64{3, 5, 8, 13, 21, 34, 55, 89}
	l := &loop{training: &training{Distill: distill.Config{Method: "salt-ds", KDSteps: 2}, selected: selected}, order: corpus.Order{Seed: 9, Sequences: 100}}
	var stageOne []int64
	for step := range int64(steps) {
		for i := range int64(batch) {
			sample := step*batch + i
			got := l.orderAt(l.order, step).At(sample)
			if step < 2 {
				stageOne = append(stageOne, got)
			} else if want := l.order.At(sample); got != want {
				t.Errorf("sample %d is sequence %d, want %d", sample, got, want)
			}
		}
	}
	if slices.Equal(stageOne, selected) {
		t.Error("the selected sequences come in the order of the text")
	}
	slices.Sort(stageOne)
	if !slices.Equal(stageOne, selected) {
		t.Errorf("stage 1 reads %v, want each of %v once", stageOne, selected)
	}
}

func TestScoringBatch(t *testing.T) {
	for _, test := range [][3]int{{8, 128, 8}, {2, 32, 2}, {48, 1024, 16}, {5, 1024, 4}, {3, 1000, 2}, {32, 100000, 1}, {1, 1, 1}} {
		if got := scoringBatch(test[0], test[1]); got != test[2] {
			t.Errorf("up to %d sequences of %d tokens: %d at a time, want %d", test[0], test[1], got, test[2])
		}
	}
}

// TestChecksum tells selections apart that differ in one id.
func TestChecksum(t *testing.T) {
	a, b := ranked(100, 40), ranked(100, 40)
	if checksum(a.ids()) != checksum(b.ids()) || !slices.IsSorted(a.ids()) || len(a.ids()) != 40 {
		t.Error("the same selection is not the same")
	}
	b.ranked[0], b.ranked[99] = b.ranked[99], b.ranked[0]
	if checksum(a.ids()) == checksum(b.ids()) {
		t.Error("another selection has the same checksum")
	}
}
