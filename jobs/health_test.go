package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"saltern/model"
)

// TestDisagreements finds the rank that is not like most, and knows when it cannot know.
func TestDisagreements(t *testing.T) {
	good := []model.Sketch{{Name: "embed", Norm: 3, Dots: [4]float64{1, -2, 0, 3}}, {Name: "layers.0", Norm: 1, Dots: [4]float64{0.5, 1, 1, -1}}}
	near := []model.Sketch{{Name: "embed", Norm: 3.0001, Dots: [4]float64{1, -2.001, 0, 3}}, good[1]}
	bad := []model.Sketch{good[0], {Name: "layers.0", Norm: 1, Dots: [4]float64{0.5, 1.5, 1, -1}}}
	for _, test := range []struct {
		why   string
		ranks [][]model.Sketch
		want  []int
	}{
		{"all alike, but for rounding", [][]model.Sketch{good, near, good}, nil},
		{"one of three", [][]model.Sketch{good, bad, near}, []int{1}},
		{"the first of four", [][]model.Sketch{bad, near, good, good}, []int{0}},
		{"of two nobody knows", [][]model.Sketch{good, bad}, []int{0, 1}},
		{"two against two", [][]model.Sketch{good, bad, bad, good}, []int{0, 1, 2, 3}},
	} {
		var got []int
		for _, o := range disagreements(test.ranks, mostDeviation) {
			if got = append(got, o.rank); o.tensor != "layers.0" || o.by < 0.4 {
				t.Errorf("%s: %+v", test.why, o)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: ranks %v, want %v", test.why, got, test.want)
		}
	}
}

// TestDiagnose: a kernel that fails the reference tells more than a majority, and without either nobody is to blame.
func TestDiagnose(t *testing.T) {
	seat := func(rank int) string { return fmt.Sprint("rank ", rank) }
	const wrong = "matmul/tiled/seed=1: off"
	one, two, weights := []oddRank{{1, "layers.0", 0.5}}, []oddRank{{0, "embed", 0.5}, {1, "layers.0", 0.5}}, []oddRank{{2, "embed", 0}}
	for _, test := range []struct {
		why     string
		odd     []oddRank
		of      int
		kernels []string
		want    []int
		says    string
	}{
		{"all are right", nil, 2, []string{"", ""}, nil, ""},
		{"a process alone that is right", nil, 1, []string{""}, nil, ""},
		{"a process alone that is not", nil, 1, []string{wrong}, []int{0}, "rank 0 has a kernel that fails the reference: " + wrong},
		{"a kernel of one of two", two, 2, []string{"", wrong}, []int{1}, "rank 1 is off by 0.5 of the gradient of one microbatch in layers.0, and has a kernel that fails the reference: " + wrong},
		{"a kernel that no gradient needs", nil, 3, []string{"", "adamw/plain/seed=0: off", ""}, []int{1}, "rank 1 has a kernel that fails the reference: adamw"},
		{"one of three", one, 3, []string{"", "", ""}, []int{1}, "rank 1 is off by 0.5 of the gradient of one microbatch in layers.0, and each of its kernels alone agrees"},
		{"the weights of one of three", weights, 3, []string{"", "", ""}, []int{2}, "rank 2 has other weights, first in embed, and each of its kernels alone agrees"},
		{"one of two", two, 2, []string{"", ""}, nil, "which rank is wrong is not known"},
		{"a teacher", nil, 2, []string{"", "", "", wrong}, []int{3}, "rank 3 has a kernel that fails the reference: " + wrong},
		{"one of three and a teacher", one, 3, []string{"", "", "", wrong}, []int{1, 3}, "rank 3 has a kernel"},
	} {
		d := diagnose(test.odd, test.of, test.kernels, seat)
		if !slices.Equal(d.culprits, test.want) || !strings.Contains(d.words, test.says) || (d.words == "") != (test.says == "") {
			t.Errorf("%s: %v, %q", test.why, d.culprits, d.words)
		}
	}
}

// TestWhenChecked: by steps at multiples, or the first step after one that may be checked; by the clock in an hour; and before a training ends, unless
// there was one just before.
func TestWhenChecked(t *testing.T) {
	var began time.Time
	h := &health{every: 5, step: 7, last: began}
	for step, want := range map[int64]bool{8: false, 9: false, 10: true, 11: true} {
		if h.passed(step) != want || h.wish(began.Add(24*time.Hour)) {
			t.Errorf("of every 5 steps, step %d", step)
		}
	}
	if h.before(9, 9); !h.passed(9) {
		t.Error("the last step is not checked")
	}
	h = &health{step: 7, last: began}
	for _, test := range []struct {
		after time.Duration
		ends  bool
		want  bool
	}{{59 * time.Minute, false, false}, {61 * time.Minute, false, true}, {9 * time.Minute, true, false}, {11 * time.Minute, true, true}} {
		h.ends = test.ends
		if h.passed(100) || h.wish(began.Add(test.after)) != test.want {
			t.Errorf("after %v, the last step %v: want %v", test.after, test.ends, test.want)
		}
	}
	if h = nil; h.wish(began.Add(time.Hour * 24)) {
		t.Error("nobody checks, and somebody wishes that")
	}
}

// TestFault reads SALTERN_FAULT, and refuses what is none.
func TestFault(t *testing.T) {
	for text, want := range map[string]fault{"": {}, "matmul@20": {op: "matmul", step: 20}} {
		if f, err := (IO{Env: func(string) (string, bool) { return text, true }}).fault(); err != nil || f != want {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
	for _, text := range []string{"20", "matmul", "matmul@", "matmul@0", "matmul@x"} {
		if _, err := (IO{Env: func(string) (string, bool) { return text, true }}).fault(); KindOf(err) != Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}
