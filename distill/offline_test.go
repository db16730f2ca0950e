package distill

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/ul2"
)

// Text of numbers, for the tests below: sequence s of T+1 ids, each a function of its place.
const testVocab, testT = 28, 8

func testText(s int64, dst []uint32) error {
	for t := range dst {
		dst[t] = uint32((s*testT + int64(t)) * 31 % 97 % testVocab)
	}
	return nil
}

func testExample(s int64, x ul2.Example) error {
	text := make([]uint32, testT+1)
	err := testText(s, text)
	copy(x.IDs, text)
	copy(x.Labels, text[1:])
	return err
}

func testSettings(form string, count int) labels.Settings {
	return labels.Settings{Form: form, Count: count, Sequence: testT, Vocab: testVocab, Temperature: 1.25, Precision: model.Float32, Seed: 11}
}

// newLabeler makes one of a teacher of that shape, for the time of the test.
func newLabeler(t *testing.T, d compute.Backend, shape model.Config, s labels.Settings, b int) *Labeler {
	t.Helper()
	teacher := model.New(shape, "slm", false)
	l, err := NewLabeler(teacher, s, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Load(d), teacher.Init(d, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		d.Free(teacher.Storages()...)
	})
	return l
}

// label makes the soft labels of some sequences with a teacher of the given seed, in batches of b.
func label(t *testing.T, d compute.Backend, s labels.Settings, b int, sequences ...int64) *labels.Labels {
	t.Helper()
	l := newLabeler(t, d, shape(16), s, b)
	all := labels.New(len(sequences)*testT, s.Count)
	for i := 0; i < len(sequences); i += b {
		part := sequences[i:min(i+b, len(sequences))]
		made, err := l.Make(part, testExample)
		if err != nil {
			t.Fatal(err)
		}
		to := all.Rows(i*testT, (i+len(part))*testT)
		copy(to.IDs, made.IDs)
		copy(to.Q, made.Q)
		copy(to.Tail, made.Tail)
		copy(to.Stats, made.Stats)
	}
	return all
}

// TestLabelsDoNotDependOnCompany: a sequence's labels are the same bits in whatever batch they were made, and other draws with
// another seed.
func TestLabelsDoNotDependOnCompany(t *testing.T) {
	d := computetest.Device(t)
	for _, s := range []labels.Settings{testSettings(labels.Sample, 20), testSettings(labels.TopK, 5)} {
		a, b := label(t, d, s, 3, 4, 9, 2, 7, 1<<33), label(t, d, s, 2, 1<<33, 2, 9)
		for i, j := range map[int]int{4: 0, 2: 1, 1: 2} {
			x, y := a.Rows(i*testT, (i+1)*testT), b.Rows(j*testT, (j+1)*testT)
			if !slices.Equal(x.IDs, y.IDs) || !slices.Equal(x.Q, y.Q) || !slices.Equal(x.Stats, y.Stats) || !slices.Equal(x.Tail, y.Tail) {
				t.Errorf("%s: sequence %d of the one and %d of the other batch differ", s.Form, i, j)
			}
		}
		s.Seed++
		if other := label(t, d, s, 2, 2); s.Form == labels.Sample && slices.Equal(other.IDs, a.Rows(2*testT, 3*testT).IDs) {
			t.Error("another seed draws the same")
		}
	}
}

// studentGradient is the gradient of a student's output projection and the statistics after the program of one microbatch of
// two sequences, with a teacher at hand (nil labels) or its soft labels.
func studentGradient(t *testing.T, d compute.Backend, soft *labels.Labels, ghost bool) (grad []float32, stats model.Stats) {
	t.Helper()
	teacher, student := model.New(shape(16), "slm", false), model.New(shape(24), "llm", true)
	c := model.TrainConfig{Steps: 5, Batch: 2, Microbatch: 2, Sequence: testT, LR: 1e-9, Precision: model.Float32}.Defaults()
	c.ClipNorm = 0
	offline := &Offline{Ghost: ghost}
	objective := Objective(Online{teacher})
	if soft != nil {
		offline.Count = len(soft.IDs) / len(soft.Tail)
		objective = Objective(offline)
	}
	trainer, err := model.Programs(student, c, objective)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(trainer.Load(d), teacher.Init(d, 1), student.Init(d, 2)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		trainer.Close()
		d.Free(slices.Concat(student.Storages(), teacher.Storages(), offline.Storages())...)
	}()
	text := make([]uint32, testT+1)
	step, err := trainer.Step(0, 0, 1, 1.25, func(_ int, ids, next []uint32) error {
		for i, s := range []int64{3, 5} {
			if err := testText(s, text); err != nil {
				return err
			}
			copy(ids[i*testT:], text[:testT])
			copy(next[i*testT:(i+1)*testT], text[1:])
		}
		if soft != nil {
			return offline.Write(d, soft)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The update leaves (1 - beta1) times the gradient, divided by the tokens, in the mean.
	mean := student.Buckets[len(student.Buckets)-1]
	grad = make([]float32, mean.Len)
	if err := d.Read(mean.Mean.View(compute.F32, 0, mean.Len), grad); err != nil {
		t.Fatal(err)
	}
	return grad, step.Stats
}

// TestOfflineFollowsOnline: soft labels made on the device, through the file, give the student the loss and gradient that the teacher
// at hand gives: top-k of the whole vocabulary but for what the codec rounds, samples on average, their distance falling with
// the root of the number of draws.
func TestOfflineFollowsOnline(t *testing.T) {
	d := computetest.Device(t)
	want, online := studentGradient(t, d, nil, false)
	for _, ghost := range []bool{false, true} {
		got, stats := studentGradient(t, d, throughFile(t, testSettings(labels.TopK, testVocab), label(t, d, testSettings(labels.TopK, testVocab), 2, 3, 5)), ghost)
		if off := distance(want, got); off > 0.02 {
			t.Errorf("all ids, ghost %v: the gradient is off by %.3f of its size", ghost, off)
		}
		near(t, "CE", stats.KD, online.KD, 2e-3)
		near(t, "teacher's NLL", stats.Teacher, online.Teacher, 1e-3)
		near(t, "entropy", stats.Entropy, online.Entropy, 1e-3)
		near(t, "NLL", stats.NLL, online.NLL, 1e-6)
	}
	mean, ce := make([]float32, len(want)), 0.0
	var off []float64
	const draws = 10
	for r := range 64 {
		s := testSettings(labels.Sample, draws)
		s.Seed = int64(100 + r)
		got, stats := studentGradient(t, d, throughFile(t, s, label(t, d, s, 2, 3, 5)), false)
		for i, g := range got {
			mean[i] += (g - mean[i]) / float32(r+1)
		}
		ce += (stats.KD - ce) / float64(r+1)
		if n := r + 1; n == 1 || n == 4 || n == 16 || n == 64 {
			off = append(off, distance(want, mean))
		}
	}
	t.Logf("the mean gradient of 1, 4, 16 and 64 times %d draws is off by %.3f of its size", draws, off)
	for i := 1; i < len(off); i++ {
		if ratio := off[i-1] / off[i]; ratio < 1.5 || ratio > 2.7 {
			t.Errorf("four times as many draws are nearer by a factor of %.2f, want about 2", ratio)
		}
	}
	near(t, "mean CE of the samples", ce, online.KD, 0.02)
}

// throughFile writes labels of two sequences and reads them again.
func throughFile(t *testing.T, s labels.Settings, l *labels.Labels) *labels.Labels {
	t.Helper()
	path := filepath.Join(t.TempDir(), "labels")
	w, err := labels.Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add(3, l.Rows(0, testT)), w.Add(5, l.Rows(testT, 2*testT)), w.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := labels.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	feed := NewFeed(f, true, 2, Microbatches(0, 2, 2), func(sample int64) int64 { return []int64{3, 5}[sample] })
	defer feed.Close()
	got, err := feed.Next(0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// distance is |a - b| / |a|.
func distance(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		d += math.Pow(float64(a[i]-b[i]), 2)
		n += math.Pow(float64(a[i]), 2)
	}
	return math.Sqrt(d / n)
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

// TestFeed reads in the order of a training that passes over its text more than once, and says what is wrong.
func TestFeed(t *testing.T) {
	s := testSettings(labels.Sample, 3)
	path := filepath.Join(t.TempDir(), "labels")
	w, err := labels.Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(5) {
		l := labels.New(testT, 3)
		for k := range l.IDs {
			l.IDs[k], l.Q[k] = uint32(k%3)+uint32(i), float32(1)/3
		}
		if err := w.Add(i, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := labels.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	order := func(sample int64) int64 { return sample * 3 % 5 }
	feed := NewFeed(f, false, 2, Microbatches(4, 24, 2), order)
	for first := int64(4); first < 24; first += 2 {
		l, err := feed.Next(first)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(2) {
			if got, want := l.IDs[i*testT*3], uint32(order(first+i)); got != want {
				t.Fatalf("sample %d has the labels of sequence %d, want %d", first+i, got, want)
			}
		}
	}
	if _, err := feed.Next(24); err == nil {
		t.Error("labels beyond the end")
	}
	feed.Close()
	feed = NewFeed(f, false, 1, Microbatches(0, 9, 1), func(sample int64) int64 { return 4 + sample })
	if _, err := feed.Next(0); err != nil {
		t.Error(err)
	}
	if _, err := feed.Next(1); !errors.Is(err, labels.ErrMissing) {
		t.Errorf("a sequence that is not there: %v", err)
	}
	feed.Close()
	feed = NewFeed(f, false, 1, Microbatches(0, 9, 1), func(int64) int64 { return 0 })
	if _, err := feed.Next(3); err == nil {
		t.Error("a sample out of turn")
	}
	feed.Close() // with labels that nobody took
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
