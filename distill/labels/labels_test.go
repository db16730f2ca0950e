package labels

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"saltern/compute"
)

// invented are labels that no model made: a few ids of v, by whole numbers alone.
func invented(rng *rand.Rand, s Settings, T int) *Labels {
	l := New(T, s.Count)
	for t := range T {
		n := 1 + rng.IntN(min(s.Count, s.Vocab))
		set := map[uint32]bool{}
		for len(set) < n {
			set[rng.Uint32N(1+rng.Uint32N(uint32(s.Vocab)))] = true
		}
		var ids []uint32
		for id := range set {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		left, sum := s.Count, float32(0)
		for j := range s.Count {
			at := t*s.Count + j
			l.IDs[at] = compute.Masked
			if j >= n {
				continue
			}
			l.IDs[at] = ids[j]
			if s.Form == TopK {
				l.Q[at] = expTable[rng.IntN(400)]
				sum += l.Q[at]
				continue
			}
			count := left
			if j < n-1 {
				count = 1 + rng.IntN(left-(n-1-j))
			}
			left -= count
			l.Q[at] = float32(count) / float32(s.Count)
		}
		if s.Form == TopK {
			l.Tail[t] = float32(rng.IntN(100)) / 128
			for at := t * s.Count; at < t*s.Count+n; at++ {
				l.Q[at] *= (1 - l.Tail[t]) / sum
			}
		}
		l.Stats[2*t], l.Stats[2*t+1] = float32(rng.IntN(30*nat))/nat, float32(rng.IntN(13*nat))/nat
	}
	return l
}

// teacherLike are draws as a language model's would be: each token's logits fall with the logarithm of the id, by which a vocabulary
// is ordered, and differ from that by chance; sharp is how sharp the distributions are, from one token to the next.
func teacherLike(rng *rand.Rand, s Settings, T int, sharp [2]float64) *Labels {
	l := New(T, s.Count)
	sums := make([]float64, s.Vocab)
	for t := range T {
		beta, sum := sharp[0]+(sharp[1]-sharp[0])*rng.Float64(), 0.0
		for v := range sums {
			sum += math.Exp(beta * (1.5*rng.NormFloat64() - math.Log(float64(v)+50)))
			sums[v] = sum
		}
		drawn := make([]int, s.Count)
		for i := range drawn {
			drawn[i] = sort.SearchFloat64s(sums, rng.Float64()*sum)
		}
		slices.Sort(drawn)
		keepDrawn(l.IDs[t*s.Count:(t+1)*s.Count], l.Q[t*s.Count:(t+1)*s.Count], drawn)
		l.Stats[2*t], l.Stats[2*t+1] = float32(rng.ExpFloat64()), float32(rng.ExpFloat64())
	}
	return l
}

func settings(form string, count, vocab, T int) Settings {
	return Settings{Form: form, Count: count, Vocab: vocab, Sequence: T, Temperature: 1, Precision: "float32", Teacher: "abc", Corpus: "def", Seed: 3}
}

// write makes a file of the sequences numbered so.
func write(t testing.TB, path string, s Settings, sequences ...int64) *Writer {
	t.Helper()
	w, err := Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range sequences {
		if !w.Has(i) {
			if err := w.Add(i, invented(rand.New(rand.NewPCG(uint64(i), 5)), s, s.Sequence)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRoundTrip(t *testing.T) {
	for _, s := range []Settings{
		settings(Sample, 50, 32768, 40), settings(Sample, 1, 300, 7), settings(Sample, 256, 300, 33), settings(Sample, 3, 2, 9),
		settings(TopK, 20, 32768, 40), settings(TopK, 1, 1<<19, 5), settings(TopK, 200, 300, 11),
	} {
		t.Run(fmt.Sprintf("%s-%d,V=%d", s.Form, s.Count, s.Vocab), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "labels")
			ids := []int64{7, 3, 1 << 40, 0}
			write(t, path, s, ids...)
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Settings != s || f.Len() != len(ids) {
				t.Fatalf("%d sequences of %+v", f.Len(), f.Settings)
			}
			got := New(s.Sequence, s.Count)
			for _, i := range ids {
				if err := f.Sequence(i, got); err != nil {
					t.Fatal(err)
				}
				same(t, s, got, invented(rand.New(rand.NewPCG(uint64(i), 5)), s, s.Sequence))
			}
			if err := f.Sequence(4, got); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "sequence 4 in "+path) {
				t.Errorf("a sequence that is not there: %v", err)
			}
		})
	}
}

// same wants the labels that went in: ids, draws and the stored units exactly, a kept q to the nearest of its steps.
func same(t *testing.T, s Settings, got, want *Labels) {
	t.Helper()
	if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Stats, want.Stats) {
		t.Fatalf("ids or statistics differ: %v, %v", got.IDs[:s.Count], want.IDs[:s.Count])
	}
	for i, tail := range want.Tail {
		sum := 0.0
		for j := i * s.Count; j < (i+1)*s.Count; j++ {
			sum += float64(got.Q[j])
			if limit := 1e-6 + map[string]float64{Sample: 0, TopK: 0.02}[s.Form]; math.Abs(float64(got.Q[j]-want.Q[j])) > limit*float64(want.Q[j]) {
				t.Fatalf("token %d: id %d has %g, want %g", i, want.IDs[j], got.Q[j], want.Q[j])
			}
		}
		if math.Abs(sum+float64(got.Tail[i])-1) > 1e-5 || math.Abs(float64(got.Tail[i]-tail)) > 1e-3 {
			t.Fatalf("token %d: q sums to %g, the tail is %g, want %g", i, sum, got.Tail[i], tail)
		}
	}
}

func TestRenormalise(t *testing.T) {
	l := &Labels{Q: []float32{0.25, 0.25, 0.5, 0.5}, IDs: make([]uint32, 4), Tail: []float32{0.5, 0}, Stats: make([]float32, 4)}
	l.Renormalise()
	if !slices.Equal(l.Q, []float32{0.5, 0.5, 0.5, 0.5}) || l.Tail[0] != 0 {
		t.Errorf("%+v", l)
	}
}

// TestBytesPerToken measures what the codec is for, everything included, on distributions like those of a language model over 32768
// ids: 12 distinct of 50 draws, which the paper reports, and the 25 that a young teacher gives.
func TestBytesPerToken(t *testing.T) {
	for _, c := range []struct {
		sharp         [2]float64
		distinct, max float64
	}{
		{[2]float64{1.7, 4}, 12, 22}, {[2]float64{1.05, 2.6}, 25, 40},
	} {
		s := settings(Sample, 50, 32768, 512)
		path := filepath.Join(t.TempDir(), "labels")
		w, err := Append(path, s)
		if err != nil {
			t.Fatal(err)
		}
		l := teacherLike(rand.New(rand.NewPCG(1, 2)), s, s.Sequence, c.sharp)
		if err := errors.Join(w.Add(0, l), w.Close()); err != nil {
			t.Fatal(err)
		}
		distinct := 0.0
		for _, id := range l.IDs {
			if id != compute.Masked {
				distinct += 1 / float64(s.Sequence)
			}
		}
		bytes := float64(w.Bytes()) / float64(s.Sequence)
		t.Logf("%.1f distinct ids of 50 draws: %.1f bytes per token, dense %d", distinct, bytes, s.DenseBytes())
		if math.Abs(distinct-c.distinct) > 2 || bytes > c.max {
			t.Errorf("%.1f distinct ids take %.1f bytes per token, want at most %g for about %g", distinct, bytes, c.max, c.distinct)
		}
	}
}

// TestNoDistribution: what no teacher can have said is not written.
func TestNoDistribution(t *testing.T) {
	nan := float32(math.NaN())
	for why, change := range map[string]func(l *Labels){
		"nothing":               func(l *Labels) {},
		"no ids":                func(l *Labels) { l.IDs[0] = compute.Masked },
		"an id twice":           func(l *Labels) { l.IDs[1] = l.IDs[0] },
		"an id of none":         func(l *Labels) { l.IDs[1] = 300 },
		"a share of NaN":        func(l *Labels) { l.Q[0] = nan },
		"too few draws":         func(l *Labels) { l.Q[1] = 0.25 },
		"too many draws":        func(l *Labels) { l.Q[0] = 1 },
		"a loss of NaN":         func(l *Labels) { l.Stats[0] = nan },
		"an entropy below zero": func(l *Labels) { l.Stats[1] = -1 },
	} {
		s := settings(Sample, 4, 300, 1)
		l := New(1, 4)
		copy(l.IDs, []uint32{5, 9, compute.Masked, compute.Masked})
		copy(l.Q, []float32{0.5, 0.5})
		change(l)
		w, err := Append(filepath.Join(t.TempDir(), "labels"), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(0, l); (err == nil) != (why == "nothing") {
			t.Errorf("%s: %v", why, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkDecode reads the last of a few sequences, whose file has counted its ids.
func BenchmarkDecode(b *testing.B) {
	s, rng := settings(Sample, 50, 32768, 512), rand.New(rand.NewPCG(1, 2))
	weak := NewWeakTeacher(s.Vocab, 1)
	for _, c := range []struct {
		name string
		make func() *Labels
	}{
		{"distinct=12", func() *Labels { return teacherLike(rng, s, s.Sequence, [2]float64{1.7, 4}) }},
		{"distinct=26", func() *Labels { return teacherLike(rng, s, s.Sequence, [2]float64{1.05, 2.6}) }},
		{"distinct=34,weak", func() *Labels {
			l := New(s.Sequence, s.Count)
			weak.Fill(l)
			return l
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "labels")
			w, err := Append(path, s)
			if err != nil {
				b.Fatal(err)
			}
			for i := range int64(3) {
				err = errors.Join(err, w.Add(i, c.make()))
			}
			if err := errors.Join(err, w.Close()); err != nil {
				b.Fatal(err)
			}
			f, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			l := New(s.Sequence, s.Count)
			for b.Loop() {
				if err := f.Sequence(2, l); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.Sequence), "ns/token")
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWeakTeacher measures a file of a teacher that has learned little: what it takes once its ids were counted, and the floor.
func TestWeakTeacher(t *testing.T) {
	s := settings(Sample, 50, 32768, 256)
	w, err := Append(filepath.Join(t.TempDir(), "labels"), s)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	teacher, l := NewWeakTeacher(s.Vocab, 1), New(s.Sequence, s.Count)
	per := func(bytes int64, sequences int) float64 { return float64(bytes) / float64(sequences*s.Sequence) }
	uncounted, distinct, floor, before := 0.0, 0.0, 0.0, int64(0)
	const sequences, last = 76, 8 // the last are measured, well between two counts
	for i := range sequences {
		switch i {
		case countFirst / s.Sequence:
			uncounted = per(w.Bytes(), i)
		case sequences - last:
			before = w.Bytes()
		}
		teacher.Fill(l)
		if err := w.Add(int64(i), l); err != nil {
			t.Fatal(err)
		}
		floor += l.Floor() / sequences
		for _, id := range l.IDs {
			if id != compute.Masked {
				distinct += 1. / sequences / float64(s.Sequence)
			}
		}
	}
	counted := per(w.Bytes()-before, last)
	t.Logf("%.1f distinct ids: %.1f bytes per token, %.1f once counted, floor %.1f", distinct, uncounted, counted, floor)
	if math.Abs(distinct-34) > 1 || counted > 40 || uncounted < 44 || counted < floor {
		t.Errorf("%.1f distinct ids take %.1f bytes per token, then %.1f, floor %.1f; want 34, above 44, at most 40", distinct, uncounted, counted, floor)
	}
}
