package distill

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"saltern/cluster/collective"
	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/distill/labels"
	"saltern/model"
)

// sharp is a teacher that is sure of some ids, so that its temperature matters.
func sharp(t *testing.T, d compute.Backend) *model.Model {
	t.Helper()
	m := model.New(shape(16), "slm", false)
	err := m.Init(d, 1)
	for _, k := range m.Buckets {
		x, all := make([]float32, k.Len), k.P.View(compute.F32, 0, k.Len)
		err = errors.Join(err, d.Read(all, x))
		for i := range x {
			x[i] *= 4
		}
		err = errors.Join(err, d.Write(all, x))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Free(m.Storages()...) })
	return m
}

// followers is a training of some steps on testText, begun anew for each run.
type followers struct {
	c        model.TrainConfig
	device   compute.Backend
	student  *model.Model
	trainer  *model.Trainer
	gradient []float32 // of the output projection in the first step
}

func newFollower(t *testing.T, d compute.Backend, c model.TrainConfig, objective model.Objective, r *model.Ranks) *followers {
	t.Helper()
	f := &followers{c: c, device: d, student: model.New(shape(24), "llm", true)}
	var err error
	if f.trainer, err = model.Programs(f.student, c, objective); err == nil && r != nil {
		err = f.trainer.Across(r)
	}
	if err = errors.Join(err, f.trainer.Load(d)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.trainer.Close()
		d.Free(f.student.Storages()...)
	})
	return f
}

// run trains from the same weights and gives the CE with the teacher in each step; soft gives the device what it needs of the teacher.
func (f *followers) run(temperature float64, soft func(first int64) error) (ce []float64, err error) {
	err = f.student.Init(f.device, 2)
	for _, k := range f.student.Buckets { // and with an optimizer that knows nothing
		for _, s := range []*compute.Storage{k.Mean, k.MeanSq} {
			err = errors.Join(err, f.device.Write(s.View(compute.F32, 0, k.Len), make([]float32, k.Len)))
		}
	}
	if err != nil {
		return nil, err
	}
	for step := range f.c.Steps {
		s, err := f.trainer.Step(step, 0, 1, temperature, func(first int, ids, next []uint32) error {
			first += int(step) * f.c.Batch
			text := make([]uint32, testT+1)
			for i := range f.c.Microbatch {
				if err := testText(testOrder(int64(first+i)), text); err != nil {
					return err
				}
				copy(ids[i*testT:], text[:testT])
				copy(next[i*testT:(i+1)*testT], text[1:])
			}
			return soft(int64(first))
		})
		if err != nil {
			return nil, err
		}
		ce = append(ce, s.KD)
		if step == 0 { // the update leaves (1 - beta1) times it in the mean
			k := f.student.Buckets[len(f.student.Buckets)-1]
			f.gradient = make([]float32, k.Len)
			if err := f.device.Read(k.Mean.View(compute.F32, 0, k.Len), f.gradient); err != nil {
				return nil, err
			}
		}
	}
	return ce, nil
}

// offBy is by how many standard errors the mean of x is not 0.
func offBy(x []float64) float64 {
	mean, squares, n := 0.0, 0.0, float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	return math.Abs(mean) / math.Sqrt(squares/(n-1)/n)
}

// TestTeachersFollowOnline: two students that learn from what a third rank samples have, on average over the draws, the loss and the
// gradient of a single process with the teacher at hand, within the standard error of so many draws. It notices a teacher of another
// temperature, and one that labels other text.
func TestTeachersFollowOnline(t *testing.T) {
	const runs, temperature, most = 64, 1.25, 4
	c := model.TrainConfig{Steps: 3, Batch: 8, Microbatch: 2, Sequence: testT, LR: 0.001, Warmup: 1, Precision: model.Float32}.Defaults()
	c.ClipNorm = 0
	d := computetest.Device(t)
	online := newFollower(t, d, c, Objective(Online{sharp(t, d)}), nil)
	want, err := online.run(temperature, func(int64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}

	r := Roles{Students: 2, Teachers: 1, Batch: c.Batch, Microbatch: c.Microbatch}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var students []*followers
	var sources []*Offline
	for rank, transport := range collective.Memory(r.Students) {
		source := &Offline{Count: 10}
		own := computetest.Device(t)
		t.Cleanup(func() { own.Free(source.Storages()...) })
		students = append(students, newFollower(t, own, c, Objective(source), &model.Ranks{Exchange: collective.New(transport, rank, r.Students), Context: ctx}))
		sources = append(sources, source)
	}
	slm := computetest.Device(t)
	teacher := sharp(t, slm)
	// differences are those of loss, by step, and of the gradient along the online one, run by run.
	differences := func(t *testing.T, temperature float64, order func(int64) int64) (loss [][]float64, gradient []float64) {
		loss = make([][]float64, c.Steps)
		for run := range runs {
			s := testSettings(labels.Sample, 10)
			s.Seed, s.Temperature = int64(run), temperature
			o := newOffice(r, s)
			maker, err := NewLabeler(teacher, s, r.Microbatch)
			if err = errors.Join(err, maker.Load(slm)); err != nil {
				t.Fatal(err)
			}
			p := &Publisher{Roles: r, Rank: 2, Mail: o.mail[2], Coder: o.coder(t), Sequence: order, Read: testExample, Asked: func() bool { return false }, Labeler: maker}
			var wait sync.WaitGroup
			wait.Go(func() {
				if err := p.Run(ctx, 0, c.Steps); err != nil {
					t.Error(err)
				}
			})
			ce := make([][]float64, r.Students)
			for rank, f := range students {
				feed := o.subscriber(t, rank).Feed(ctx, 0, c.Steps)
				wait.Go(func() {
					defer feed.Close()
					var err error
					ce[rank], err = f.run(1.25, func(first int64) error {
						l, err := feed.Next(first)
						if err != nil {
							return err
						}
						return sources[rank].Write(f.device, l)
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			maker.Close()
			if ce[0] == nil || !slices.Equal(ce[0], ce[1]) {
				t.Fatalf("%v and %v", ce[0], ce[1])
			}
			for i, v := range ce[0] {
				loss[i] = append(loss[i], v-want[i])
			}
			along, size := 0.0, 0.0
			for i, g := range online.gradient {
				along += float64(students[0].gradient[i]-g) * float64(g)
				size += float64(g) * float64(g)
			}
			gradient = append(gradient, along/size)
		}
		return loss, gradient
	}
	loss, gradient := differences(t, temperature, testOrder)
	for step, x := range loss {
		if off := offBy(x); off > most {
			t.Errorf("step %d: the loss is off by %.1f standard errors: %v", step+1, off, x)
		} else {
			t.Logf("step %d: off by %.1f standard errors", step+1, off)
		}
	}
	if off := offBy(gradient); off > most {
		t.Errorf("the gradient is off by %.1f standard errors: %v", off, gradient)
	}
	for name, wrong := range map[string]struct {
		temperature float64
		order       func(int64) int64
	}{
		"temperature": {1.5, testOrder}, "text": {temperature, func(sample int64) int64 { return testOrder(sample + 1) }},
	} {
		loss, gradient := differences(t, wrong.temperature, wrong.order)
		t.Logf("another %s: loss off by %.1f, gradient by %.1f", name, offBy(loss[0]), offBy(gradient))
		if offBy(loss[0]) < most && offBy(gradient) < most {
			t.Errorf("another %s is not noticed: loss %v, gradient %v", name, loss[0], gradient)
		}
	}
}
