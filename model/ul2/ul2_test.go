package ul2

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/model/token"
)

// ids of special tokens above a text of ids below 1000.
var ids = token.Denoising{Prefix: 1000, Infill: 1001, Sentinel: 1002}

func example(T int) Example {
	return Example{make([]uint32, T), make([]uint32, T), make([]uint32, 2*T)}
}

// each calls f with examples of each denoiser, of texts of random ids and several lengths.
func each(t *testing.T, f func(t *testing.T, d Denoiser, text []uint32, x Example)) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, T := range []int{MinSequence, 17, 18, 19, 20, 33, 100, 128, 1000, 4096} {
		for _, d := range Denoisers {
			for number := range int64(20) {
				text, x := make([]uint32, T+1), example(T)
				for i := range text {
					text[i] = uint32(rng.IntN(1000))
				}
				Mixture{Seed: 5, Tokens: ids}.MakeBy(d, number, text, x)
				f(t, d, text, x)
				if t.Failed() {
					t.Fatalf("%s of %d tokens, number %d: ids %v, labels %v, seen %v", d, T, number, x.IDs, x.Labels, x.Seen)
				}
			}
		}
	}
}

// TestGolden pins an example of each denoiser: a training that goes on must read what it would have read.
func TestGolden(t *testing.T) {
	text, x := make([]uint32, 41), example(40)
	for i := range text {
		text[i] = uint32(100 + i)
	}
	want := []string{
		"causal 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137 138 139 -> 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137 138 139 140",
		"prefix 1000 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137 138 -> _ _ _ _ _ _ _ _ 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137 138 139",
		"span 1001 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 1002 128 129 130 131 1003 1002 126 127 1003 132 133 134 -> _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ 126 127 1003 132 133 134 1004",
	}
	for _, d := range Denoisers {
		Mixture{Seed: 1, Tokens: ids}.MakeBy(d, 7, text, x)
		if got := show(d, x); got != want[d] {
			t.Errorf("%s, want %s", got, want[d])
		}
	}
}

// show writes an example with _ for what is not predicted.
func show(d Denoiser, x Example) string {
	labels := strings.ReplaceAll(fmt.Sprint(x.Labels), fmt.Sprint(uint32(compute.Masked)), "_")
	return fmt.Sprintf("%s %s -> %s", d, strings.Trim(fmt.Sprint(x.IDs), "[]"), strings.Trim(labels, "[]"))
}

// TestNothingIsLost puts inputs and targets together again: they are the text.
func TestNothingIsLost(t *testing.T) {
	each(t, func(t *testing.T, d Denoiser, text []uint32, x Example) {
		T := len(x.IDs)
		var got, want []uint32
		switch d {
		case Causal:
			got, want = append(got, x.IDs[0]), text
			got = append(got, x.Labels...)
		case Prefix:
			if x.IDs[0] != ids.Prefix {
				t.Errorf("begins with %d", x.IDs[0])
			}
			first := slices.IndexFunc(x.Labels, func(l uint32) bool { return l != compute.Masked })
			got, want = slices.Concat(x.IDs[1:first+1], x.Labels[first:]), text[:T]
		case Span:
			got, want = reassemble(t, x), text[:textLength(T)]
		}
		if !slices.Equal(got, want) {
			t.Errorf("together %v, the text is %v", got, want)
		}
	})
}

// reassemble puts the predicted spans of a corrupted example in the places of their sentinels.
func reassemble(t *testing.T, x Example) []uint32 {
	if x.IDs[0] != ids.Infill {
		t.Errorf("begins with %d", x.IDs[0])
	}
	start := slices.IndexFunc(x.Labels, func(l uint32) bool { return l != compute.Masked })
	spans, n := map[uint32][]uint32{}, x.IDs[start]
	for _, l := range x.Labels[start:] {
		switch {
		case l == compute.Masked:
		case l >= ids.Sentinel:
			if l != n+1 {
				t.Errorf("sentinel %d after %d", l, n)
			}
			n = l
		default:
			spans[n] = append(spans[n], l)
		}
	}
	var text []uint32
	for _, id := range x.IDs[1:start] {
		if id >= ids.Sentinel {
			if len(spans[id]) == 0 {
				t.Errorf("nothing stands for sentinel %d", id)
			}
			text = append(text, spans[id]...)
			delete(spans, id)
		} else {
			text = append(text, id)
		}
	}
	if len(spans) != 0 {
		t.Errorf("spans without a place: %v", spans)
	}
	return text
}

// TestNothingLeaks: whatever a row sees, and what those rows see, ends before the token that it predicts, and that token is the
// next row's.
func TestNothingLeaks(t *testing.T) {
	each(t, func(t *testing.T, _ Denoiser, _ []uint32, x Example) {
		reach := uint32(0) // of all rows up to this one: the farthest that any number of layers carries
		for i, label := range x.Labels {
			reach = max(reach, x.Seen[2*i+1])
			if label == compute.Masked {
				continue
			}
			if reach > uint32(i+1) {
				t.Errorf("row %d predicts the token after it and sees up to row %d", i, reach-1)
			}
			if i+1 < len(x.IDs) && x.Labels[i+1] != compute.Masked && x.IDs[i+1] != label {
				t.Errorf("row %d predicts %d, and the next row is %d", i, label, x.IDs[i+1])
			}
		}
	})
}

// TestSeenAreSpans holds attention's rules: a row sees itself, neither end ever falls, and what fills up is seen by nobody else.
func TestSeenAreSpans(t *testing.T) {
	each(t, func(t *testing.T, d Denoiser, _ []uint32, x Example) {
		T := len(x.IDs)
		last := T
		for last > 0 && x.Labels[last-1] == compute.Masked {
			last--
		}
		if T-last > 2 {
			t.Errorf("%d rows predict nothing at the end", T-last)
		}
		for i := range T {
			from, to := x.Seen[2*i], x.Seen[2*i+1]
			if from > uint32(i) || to <= uint32(i) || to > uint32(T) || i > 0 && (from < x.Seen[2*i-2] || to < x.Seen[2*i-1]) {
				t.Errorf("row %d sees from %d to %d", i, from, to)
			}
			if i < last && (from != 0 || to > uint32(last)) || i >= last && (from != uint32(i) || to != uint32(i+1)) {
				t.Errorf("row %d sees from %d to %d, and the sequence ends at %d", i, from, to, last)
			}
			if d == Causal && to != uint32(i+1) {
				t.Errorf("row %d of a causal sequence sees up to %d", i, to)
			}
		}
	})
}

// TestShares: denoisers come as often as they should, spans are as many and as long, and as many tokens are predicted as Predicted says.
func TestShares(t *testing.T) {
	const n, T = 20000, 128
	m, text, x := Mixture{Seed: 9, Tokens: ids}, make([]uint32, T+1), example(T)
	var counts, predicted [3]float64
	var prefixes []int
	for number := range int64(n) {
		d := m.Make(number, text, x)
		counts[d]++
		for i, l := range x.Labels {
			if l == compute.Masked {
				continue
			}
			if d == Prefix && (i == 0 || x.Labels[i-1] == compute.Masked) {
				prefixes = append(prefixes, i)
			}
			predicted[d]++
		}
	}
	for _, d := range Denoisers {
		p := d.share()
		if got := counts[d] / n; math.Abs(got-p) > 5*math.Sqrt(p*(1-p)/n) {
			t.Errorf("%s has a share of %.4f, want %.2f", d, got, p)
		}
	}
	if got, want := (predicted[0]+predicted[1]+predicted[2])/(n*T), Predicted(T); math.Abs(got-want) > 0.01 {
		t.Errorf("%.4f of the tokens are predicted, want %.4f", got, want)
	}
	slices.Sort(prefixes)
	if prefixes[0] != 1 || prefixes[len(prefixes)-1] != T-1 || math.Abs(float64(prefixes[len(prefixes)/2])-T/2) > 5 {
		t.Errorf("prefixes of %d to %d tokens, half of them of %d", prefixes[0], prefixes[len(prefixes)-1], prefixes[len(prefixes)/2])
	}
	c, k := spansOf(textLength(T))
	if math.Abs(float64(c)/float64(textLength(T))-corruption) > 0.01 || math.Abs(float64(c)/float64(k)-meanSpan) > 0.4 {
		t.Errorf("%d tokens in %d spans of a text of %d", c, k, textLength(T))
	}
}

// TestParts: lengths are at least 1, sum up, and every way of cutting is as likely.
func TestParts(t *testing.T) {
	rng, seen := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	const n = 20000
	for range n {
		list := parts(rng, 6, 3)
		if len(list) != 3 || list[0]+list[1]+list[2] != 6 || slices.Min(list) < 1 {
			t.Fatalf("6 cut into %v", list)
		}
		seen[fmt.Sprint(list)]++
	}
	for cut, count := range seen { // 5 over 2 ways
		if math.Abs(float64(count)-n/10) > 5*math.Sqrt(n/10) {
			t.Errorf("%s came %d times of %d", cut, count, n)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d ways, want 10", len(seen))
	}
}

// TestOthersDiffer: an example is the same again, and with another number or seed another.
func TestOthersDiffer(t *testing.T) {
	text := make([]uint32, 65)
	for i := range text {
		text[i] = uint32(i)
	}
	made := func(seed uint64, number int64) string {
		x := example(64)
		Mixture{Seed: seed, Tokens: ids}.MakeBy(Span, number, text, x)
		return show(Span, x)
	}
	one := made(1, 5)
	if again := made(1, 5); again != one {
		t.Errorf("%s, a second time %s", one, again)
	}
	if one == made(1, 6) || one == made(2, 5) {
		t.Errorf("%s with another number or seed as well", one)
	}
}
