package distill

import (
	"math"
	"slices"
	"strings"
	"testing"

	"saltern/distill/scores"
	"saltern/model/corpus"
)

// TestScore holds the score against medians computed by hand. The last two rows are one sequence, most of whose tokens the SLM does
// not see coming: as noise it must not be selected, unless those tokens are dropped.
func TestScore(t *testing.T) {
	for _, test := range []struct {
		why    string
		k      int
		masked string
		loss   []float32
		rank   []uint32
		want   float64
	}{
		{"an odd number: the middle one", 10, "zero", []float32{3, 1, 2}, []uint32{9, 0, 1}, 2},
		{"an even number: the mean of two", 10, "zero", []float32{4, 1, 2, 3}, []uint32{0, 0, 0, 0}, 2.5},
		{"rank k is not in the top k", 10, "zero", []float32{3, 1, 2}, []uint32{10, 0, 1}, 1},
		{"a larger k lets it in", 11, "zero", []float32{3, 1, 2}, []uint32{10, 0, 1}, 2},
		{"k = 1: the likeliest alone", 1, "zero", []float32{3, 1, 2}, []uint32{0, 0, 1}, 1},
		{"dropped, it is not there", 10, "drop", []float32{3, 1, 2}, []uint32{10, 0, 1}, 1.5},
		{"half masked: the mean with a zero", 10, "zero", []float32{5, 5, 2, 4}, []uint32{50, 60, 0, 0}, 1},
		{"all masked, zero", 10, "zero", []float32{5, 6}, []uint32{50, 60}, 0},
		{"all masked, dropped", 10, "drop", []float32{5, 6}, []uint32{50, 60}, 0},
		{"one token", 10, "zero", []float32{2}, []uint32{0}, 2},
		{"mostly masked: zeros reject it", 10, "zero", []float32{7, 8, 9, 3, 2}, []uint32{50, 60, 70, 5, 5}, 0},
		{"mostly masked: dropping admits it", 10, "drop", []float32{7, 8, 9, 3, 2}, []uint32{50, 60, 70, 5, 5}, 2.5},
	} {
		c := SelectConfig{TopK: test.k, Masked: test.masked}.Defaults(1)
		if got := c.Score(scores.Sequence{Loss: test.loss, Rank: test.rank}); got != test.want {
			t.Errorf("%s: score %g, want %g", test.why, got, test.want)
		}
	}
}

// TestRankBreaksTies: the order is one of the scores alone and then of the ids alone, however the list was sorted before, and equal
// scores favour neither early nor late ids.
func TestRankBreaksTies(t *testing.T) {
	var a []Scored
	for id := range int64(2000) {
		a = append(a, Scored{id, []float64{0, 1.5}[id%2]})
	}
	b := slices.Clone(a)
	slices.Reverse(b)
	Rank(a)
	Rank(b)
	if !slices.Equal(a, b) {
		t.Fatal("the order depends on the order before")
	}
	low, sum := 0, 0.0
	for i, s := range a[:500] {
		if s.Score != 1.5 || a[1999-i].Score != 0 {
			t.Fatal("not sorted by score")
		}
		if s.ID < 1000 {
			low++
		}
		sum += float64(s.ID)
	}
	// 500 of 1000 odd ids: the share of the lower half is within five standard deviations, without replacement.
	if d := math.Sqrt(500 * 0.25 * 0.5); math.Abs(float64(low)-250) > 5*d {
		t.Errorf("of 500 of 1000 equals, %d are from the lower half (mean id %.0f)", low, sum/500)
	}
}

// TestCandidates asks of each candidate, token by token, whether the early SLM was trained to predict it, for sequences of the
// same length, longer, shorter, and of lengths without a common divisor.
func TestCandidates(t *testing.T) {
	const tokens = 4001
	for _, test := range []struct{ studentT, slmT, samples int64 }{{20, 20, 50}, {20, 10, 100}, {10, 20, 40}, {21, 17, 30}, {7, 100, 5}, {100, 7, 20}} {
		student := corpus.Order{Seed: 3, Sequences: (tokens - 1) / test.studentT}
		slm := Reading{corpus.Order{Seed: 3, Sequences: (tokens - 1) / test.slmT}, int(test.slmT), test.samples}
		predicted := make([]bool, tokens)
		for i := range test.samples {
			id := slm.Order.At(i)
			for x := id*test.slmT + 1; x <= id*test.slmT+test.slmT; x++ {
				predicted[x] = true
			}
		}
		clean := map[int64]bool{}
		for id := range student.Sequences {
			clean[id] = !slices.Contains(predicted[id*test.studentT+1:id*test.studentT+test.studentT+1], true)
		}
		var want []int64 // of all that are clean, the latest in the epoch first
		for i := student.Sequences - 1; i >= 0; i-- {
			if id := student.At(i); clean[id] {
				want = append(want, id)
			}
		}
		got := Candidates(student, int(test.studentT), slm, tokens)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d candidates\n%v\nwant %d\n%v", test, len(got), got, len(want), want)
		}
		if few := Candidates(student, int(test.studentT), slm, 5); !slices.Equal(few, want[:5]) {
			t.Errorf("%+v: the first five are %v of %v", test, few, want[:5])
		}
		slm.Samples = slm.Order.Sequences
		if got := Candidates(student, int(test.studentT), slm, tokens); len(got) > 1 { // what is left over after the SLM's last whole sequence
			t.Errorf("%+v: after a whole epoch %d candidates are left", test, len(got))
		}
	}
}

func TestSelectConfig(t *testing.T) {
	c := SelectConfig{}.Defaults(960)
	if want := (SelectConfig{0.1, 3840, 960, 10, "zero"}); c != want || c != c.Defaults(960) {
		t.Errorf("the defaults are %+v, want %+v", c, want)
	}
	for _, test := range []struct{ early, steps, want int64 }{{0, 700, 70}, {0, 3, 1}, {0, 14, 1}, {0, 15, 2}, {1, 700, 700}} {
		if got := (SelectConfig{Early: float64(test.early)}.Defaults(1)).EarlyStep(test.steps); got != test.want {
			t.Errorf("early = %d of %d steps is step %d, want %d", test.early, test.steps, got, test.want)
		}
	}
	for _, test := range []struct {
		why    string
		method string
		c      SelectConfig
		want   string // the beginnings of the problems, joined by "; "
	}{
		{"all defaults are right", "salt-ds", SelectConfig{}, ""},
		{"too few for stage 1", "salt-ds", SelectConfig{Keep: 959}, "keep: keep = 959 is less than the 960 sequences that stage 1 reads, distill.kd_steps times llm.train.batch"},
		{"which the other methods do not read", "salt", SelectConfig{Keep: 959}, ""},
		{"more are as good", "salt-ds", SelectConfig{Keep: 5000}, ""},
		{"not more than there are", "salt-ds", SelectConfig{Candidates: 500}, "candidates: candidates = 500 is less than keep = 960"},
		{"a k that the stored ranks do not know", "salt-ds", SelectConfig{TopK: 130}, "top_k: top_k = 130 cannot be told from the stored ranks, which are exact up to 128"},
		{"several at once", "rkd", SelectConfig{Early: 2, Masked: "half", TopK: -1, Keep: -1, Candidates: 3}, "early: ; keep: keep = -1 selects nothing; top_k: ; masked: "},
		{"NaN lies between nothing", "salt-ds", SelectConfig{Early: math.NaN()}, "early: "},
	} {
		var got []string
		test.c.Defaults(960).Check(test.method, 960, func(key, message string) { got = append(got, key+": "+message) })
		want := strings.Split(test.want, "; ")
		want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
		ok := len(got) == len(want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], want[i])
		}
		if !ok {
			t.Errorf("%s:\n got %q\nwant %q", test.why, got, want)
		}
	}
}
