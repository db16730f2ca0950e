package distill

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/token"
	"saltern/model/ul2"
)

// Text for the mixture of denoisers: ids below 24, and the special ones above.
const maskedT, maskedVocab = 17, 130

func maskedShape(width int) model.Config {
	c := shape(width)
	c.Vocab, c.Context = maskedVocab, maskedT
	return c
}

// maskedExample makes an example of the text of a number by the denoisers in turn.
func maskedExample(number int64, x ul2.Example) error {
	rng, text := rand.New(rand.NewPCG(5, uint64(number))), make([]uint32, maskedT+1)
	for i := range text {
		text[i] = uint32(rng.IntN(24))
	}
	m := ul2.Mixture{Seed: 3, Tokens: token.Denoising{Prefix: 24, Infill: 25, Sentinel: 26}}
	m.MakeBy(ul2.Denoisers[number%3], number, text, x)
	return nil
}

// maskedStep is a step of a student on three masked sequences, one of each denoiser, and the gradient of its last bucket; with the
// teacher's soft labels where there are any, and w < 0 for plain training.
func maskedStep(t *testing.T, b compute.Backend, student, teacher *model.Model, seed int64, w float64, soft *labels.Labels) (model.Step, []float32) {
	t.Helper()
	step, grad, _ := maskedAutoStep(t, b, student, teacher, seed, w, soft, nil)
	return step, grad
}

// maskedAutoStep is maskedStep weighed by what auto decided, unless that is nil, and gives what is known of the step's tokens.
func maskedAutoStep(t *testing.T, b compute.Backend, student, teacher *model.Model, seed int64, w float64, soft *labels.Labels, auto *Auto) (model.Step, []float32, Sums) {
	t.Helper()
	c := model.TrainConfig{Steps: 5, Batch: 3, Microbatch: 3, Sequence: maskedT, LR: 1e-9, Precision: model.Float32, Objective: model.UL2}.Defaults()
	c.ClipNorm = 0
	offline, objective := &Offline{Ghost: true}, Objective(Online{teacher})
	if w < 0 {
		objective, w = model.Plain, 0
	}
	if soft != nil {
		offline.Count = len(soft.IDs) / len(soft.Tail)
		objective = Objective(offline)
	}
	adaptive := &Adaptive{Source: Online{teacher}}
	if auto != nil {
		objective = adaptive.Objective
	}
	trainer, err := model.Programs(student, c, objective)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(trainer.Load(b), teacher.Init(b, 1), student.Init(b, seed)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		trainer.Close()
		b.Free(slices.Concat(student.Storages(), teacher.Storages(), offline.Storages(), adaptive.Storages())...)
	}()
	var sums Sums
	if auto != nil {
		if err := adaptive.SetPolicy(b, auto); err != nil {
			t.Fatal(err)
		}
	}
	step, err := trainer.Step(0, 0, w, 1, func(_ int, ids, next []uint32) (err error) {
		x := maskedExamples()
		copy(ids, x.IDs)
		copy(next, x.Labels)
		copy(trainer.Seen, x.Seen)
		if soft != nil {
			err = offline.Write(b, soft)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	last := student.Buckets[len(student.Buckets)-1]
	grad := make([]float32, last.Len)
	if err := b.Read(last.Mean.View(compute.F32, 0, last.Len), grad); err != nil {
		t.Fatal(err)
	}
	if auto != nil {
		if err := adaptive.Collect(b, maskedT, auto, Rule{Weight: w, Vocab: maskedVocab}, &sums); err != nil {
			t.Fatal(err)
		}
	}
	return step, grad, sums
}

// maskedExamples are the examples of maskedStep.
func maskedExamples() ul2.Example {
	x := ul2.Example{IDs: make([]uint32, 3*maskedT), Labels: make([]uint32, 3*maskedT), Seen: make([]uint32, 6*maskedT)}
	for i := range 3 {
		_ = maskedExample(int64(i), ul2.Example{IDs: x.IDs[i*maskedT : (i+1)*maskedT], Labels: x.Labels[i*maskedT : (i+1)*maskedT], Seen: x.Seen[2*i*maskedT : 2*(i+1)*maskedT]})
	}
	return x
}

// throughMaskedFile writes the labels of three sequences and reads them again.
func throughMaskedFile(t *testing.T, s labels.Settings, l *labels.Labels) *labels.Labels {
	t.Helper()
	path := filepath.Join(t.TempDir(), "labels")
	w, err := labels.Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		err = errors.Join(err, w.Add(int64(i), l.Rows(i*maskedT, (i+1)*maskedT)))
	}
	f, e := labels.Open(path)
	if err := errors.Join(err, w.Close(), e); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := labels.New(3*maskedT, s.Count)
	for i := range 3 {
		if err := f.Sequence(int64(i), got.Rows(i*maskedT, (i+1)*maskedT)); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// TestTeacherSeesTheSameMasks: a teacher that is the student has nothing to teach, on masked sequences too: with w = 1 there is no
// gradient. Another teacher gives one.
func TestTeacherSeesTheSameMasks(t *testing.T) {
	for name, b := range map[string]compute.Backend{"reference": compute.NewReference(), "device": computetest.Device(t)} {
		of := func(seed int64, w float64) float64 {
			step, _ := maskedStep(t, b, model.New(maskedShape(16), "llm", true), model.New(maskedShape(16), "slm", false), seed, w, nil)
			return step.Norm
		}
		same, other, plain := of(1, 1), of(2, 1), of(1, 0)
		if same > 1e-5*plain || other < 0.1*plain {
			t.Errorf("%s: the gradient's norm is %g with the student as its teacher, %g with another, %g without", name, same, other, plain)
		}
	}
}

// TestZeroWeightIsPlainOnMasks: w = 0 with a teacher is plain training, bit for bit, on masked sequences too.
func TestZeroWeightIsPlainOnMasks(t *testing.T) {
	d := computetest.Device(t)
	of := func(w float64) (model.Step, []float32) {
		return maskedStep(t, d, model.New(maskedShape(24), "llm", true), model.New(maskedShape(16), "slm", false), 2, w, nil)
	}
	plain, want := of(-1)
	zero, got := of(0)
	if plain.NLL != zero.NLL || plain.Norm != zero.Norm || !slices.Equal(got, want) {
		t.Errorf("loss %v and norm %v, without a teacher %v and %v", zero.NLL, zero.Norm, plain.NLL, plain.Norm)
	}
}

// TestAutoDoesNotCountMasks: what is not predicted decides nothing. The sums hold the predicted tokens alone and say of them what the
// step does, and with all buckets at their whole weight the gradient is that of one weight, bit for bit.
func TestAutoDoesNotCountMasks(t *testing.T) {
	d := computetest.Device(t)
	llm, slm := func() *model.Model { return model.New(maskedShape(24), "llm", true) }, func() *model.Model { return model.New(maskedShape(16), "slm", false) }
	step, want := maskedStep(t, d, llm(), slm(), 2, 0.5, nil)
	whole := &Auto{Lasting: 1}
	for g := range whole.Factors {
		whole.Factors[g] = 1
	}
	watched, got, sums := maskedAutoStep(t, d, llm(), slm(), 2, 0.5, nil, whole)
	if watched.NLL != step.NLL || !slices.Equal(got, want) {
		t.Errorf("loss %v watched, %v else, or another gradient", watched.NLL, step.NLL)
	}
	predicted := 0.0
	for _, label := range maskedExamples().Labels {
		if label != compute.Masked {
			predicted++
		}
	}
	if all := 3. * maskedT; sums.Tokens != predicted || predicted == all || sums.AllCrossing.D != predicted {
		t.Errorf("%g tokens in the sums, %g by sequences, %g of %g are predicted", sums.Tokens, sums.AllCrossing.D, predicted, all)
	}
	near(t, "NLL", sums.Data/sums.Tokens, step.NLL, 1e-5)
	near(t, "CE", sums.CE/sums.Tokens, step.KD, 1e-5)
	near(t, "w", sums.Weight/sums.Tokens, 0.5, 1e-12)
	counted := 0.0
	for _, n := range sums.Entropies {
		counted += n
	}
	near(t, "entropies", counted, predicted, 0)
}

// TestOfflineFollowsOnlineOnMasks: soft labels of the whole vocabulary teach what the teacher at hand does, on masked sequences too. Of
// tokens that are not predicted next to nothing is kept.
func TestOfflineFollowsOnlineOnMasks(t *testing.T) {
	d := computetest.Device(t)
	want, online := maskedStep(t, d, model.New(maskedShape(24), "llm", true), model.New(maskedShape(16), "slm", false), 2, 1, nil)
	s := labels.Settings{Form: labels.TopK, Count: maskedVocab, Sequence: maskedT, Vocab: maskedVocab, Temperature: 1, Precision: model.Float32, Objective: model.UL2}
	l := newLabeler(t, d, maskedShape(16), s, 4) // one more than there is to do
	soft, err := l.Make([]int64{0, 1, 2}, maskedExample)
	if err != nil {
		t.Fatal(err)
	}
	file := throughMaskedFile(t, s, soft)
	got, offline := maskedStep(t, d, model.New(maskedShape(24), "llm", true), model.New(maskedShape(16), "slm", false), 2, 1, soft)
	if off := distance(online, offline); off > 1e-4 {
		t.Errorf("the gradient is off by %g of its size", off)
	}
	near(t, "CE", got.KD, want.KD, 1e-5)
	near(t, "teacher's NLL", got.Teacher, want.Teacher, 1e-5)
	rounded, _ := maskedStep(t, d, model.New(maskedShape(24), "llm", true), model.New(maskedShape(16), "slm", false), 2, 1, file)
	near(t, "CE through the file", rounded.KD, want.KD, 2e-3)
	x := maskedExamples()
	for i, id := range file.IDs {
		if x.Labels[i/s.Count] == compute.Masked && (id == 0) != (i%s.Count == 0) {
			t.Fatalf("token %d is not predicted, and is labeled with id %d", i/s.Count, id)
		}
	}
	near(t, "tokens", float64(got.Tokens), float64(want.Tokens), 0)
	if causal := (labels.Settings{}); causal.Key() == (labels.Settings{Objective: model.UL2}).Key() {
		t.Error("labels of both objectives are one file")
	}
}
