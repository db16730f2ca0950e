package distill

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"saltern/cluster/collective"
	"saltern/compute/computetest"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/ul2"
)

// TestRoles: every microbatch is trained on by the student whose share it is, labeled by one teacher, and the teachers have as many each.
func TestRoles(t *testing.T) {
	for students := 1; students <= 4; students++ {
		for teachers := 1; teachers <= 3; teachers++ {
			for m := students; m <= 9; m++ {
				r := Roles{students, teachers, 2 * m, 2}
				labeled := make([]int, teachers)
				for step := range int64(teachers) {
					list := r.Step(step)
					last := make([]int64, students)
					seen := map[int64]bool{}
					for _, d := range list {
						first, end := model.Share(m, d.Student, students)
						if i := int(d.First-step*int64(2*m)) / 2; i < first || i >= end || seen[d.First] || d.First < last[d.Student] {
							t.Fatalf("%+v: step %d: %v", r, step, list)
						}
						if r.teacherOf(d.First) != d.Teacher {
							t.Fatalf("%+v: sample %d is labeled by two", r, d.First)
						}
						seen[d.First], last[d.Student] = true, d.First
						labeled[d.Teacher-students]++
					}
					if len(list) != m {
						t.Fatalf("%+v: step %d has %d microbatches, want %d", r, step, len(list), m)
					}
				}
				if slices.Min(labeled) != slices.Max(labeled) {
					t.Fatalf("%+v: teachers label %v in as many steps", r, labeled)
				}
			}
		}
	}
	want := []Duty{{6, 0, 2}, {9, 1, 3}, {7, 0, 2}, {10, 1, 3}, {8, 0, 2}, {11, 1, 3}}
	if got := (Roles{2, 2, 6, 1}).Step(1); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (Roles{2, 1, 3, 1}).Step(0); !slices.Equal(got, []Duty{{0, 0, 2}, {2, 1, 2}, {1, 0, 2}}) {
		t.Errorf("%v", got)
	}
}

// office is some ranks in roles, over memory.
type office struct {
	Roles
	settings labels.Settings
	mail     []Mail
}

func newOffice(r Roles, s labels.Settings) *office {
	o := &office{Roles: r, settings: s}
	for rank, transport := range collective.Memory(r.Students + r.Teachers) {
		o.mail = append(o.mail, collective.New(transport, rank, r.Students+r.Teachers).Stream("labels"))
	}
	return o
}

func (o *office) coder(t *testing.T) *labels.Coder {
	c, err := labels.NewCoder(o.settings)
	if err != nil {
		t.Error(err)
	}
	return c
}

// publisher is teacher i, a model of its own that is like the others.
func (o *office) publisher(t *testing.T, i int) *Publisher {
	return &Publisher{
		Roles: o.Roles, Rank: o.Students + i, Mail: o.mail[o.Students+i], Coder: o.coder(t), Sequence: testOrder, Read: testExample, Asked: func() bool { return false },
		Labeler: newLabeler(t, computetest.Device(t), shape(16), o.settings, o.Microbatch),
	}
}

func (o *office) subscriber(t *testing.T, rank int) *Subscriber {
	return &Subscriber{Roles: o.Roles, Rank: rank, Mail: o.mail[rank], Coder: o.coder(t), Prefetch: 2, Asked: func() {}}
}

// testOrder reads sequences again after 11.
func testOrder(sample int64) int64 { return sample * 3 % 11 }

// TestTeachersOnOtherRanks wants students to have, bit by bit, the labels that a file would give them, and so where some are kept, which
// their teachers do not make again.
func TestTeachersOnOtherRanks(t *testing.T) {
	for name, keep := range map[string]func(first int64) bool{
		"nothing": nil, "some": func(first int64) bool { return first%4 == 2 || first > 12 }, "all": func(int64) bool { return true },
	} {
		t.Run(name+" is kept", func(t *testing.T) { testTeachersOnOtherRanks(t, keep) })
	}
}

func testTeachersOnOtherRanks(t *testing.T, keep func(first int64) bool) {
	const from, end = 1, 6
	for _, s := range []labels.Settings{testSettings(labels.Sample, 20), testSettings(labels.TopK, 5)} {
		for _, r := range []Roles{{1, 1, 2, 2}, {2, 2, 6, 2}, {2, 1, 4, 1}} {
			kept := (*Kept)(nil)
			f := labelFile(t, s, r.Microbatch)
			if keep != nil {
				kept = &Kept{Has: keep, Read: func(sample int64, into *labels.Labels) error { return f.Sequence(testOrder(sample), into) }}
			}
			o := newOffice(r, s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wait sync.WaitGroup
			for i := range r.Teachers {
				p := o.publisher(t, i)
				p.Kept = kept
				p.Sequence = func(sample int64) int64 {
					if keep != nil && keep(sample-sample%int64(r.Microbatch)) {
						t.Errorf("sample %d is labeled again", sample)
					}
					return testOrder(sample)
				}
				wait.Go(func() {
					if err := p.Run(ctx, from, end); err != nil {
						t.Error(err)
					}
				})
			}
			for rank := range r.Students {
				student := o.subscriber(t, rank)
				student.Kept, student.Ghost = kept, true
				got := student.Feed(ctx, from, end)
				mine := func(d Duty) bool { return d.Student == rank }
				want := NewFeed(f, true, r.Microbatch, firsts(r.duties(from, end, mine)), testOrder)
				wait.Go(func() {
					defer got.Close()
					defer want.Close()
					for d := range r.duties(from, end, mine) {
						a, err := got.Next(d.First)
						b, failed := want.Next(d.First)
						if err := errors.Join(err, failed); err != nil {
							t.Error(err)
							return
						}
						if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.Q, b.Q) || !slices.Equal(a.Stats, b.Stats) {
							t.Errorf("%+v, %s: sample %d has other labels than in a file", r, s.Form, d.First)
						}
					}
				})
			}
			wait.Wait()
		}
	}
}

// labelFile is a file of the labels of all sequences that testOrder knows.
func labelFile(t *testing.T, s labels.Settings, b int) *labels.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "labels")
	w, err := labels.Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for i := range int64(11) {
		all = append(all, i)
	}
	made := label(t, computetest.Device(t), s, b, all...)
	for _, i := range all {
		if err := w.Add(i, made.Rows(int(i)*testT, int(i+1)*testT)); err != nil {
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
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestTeacherIsNotFarAhead: a teacher whose students do nothing stops by itself, and goes on with them.
func TestTeacherIsNotFarAhead(t *testing.T) {
	o := newOffice(Roles{1, 1, 2, 1}, testSettings(labels.Sample, 4))
	p := o.publisher(t, 0)
	var made atomic.Int64
	p.Sequence = func(sample int64) int64 {
		made.Add(1)
		return testOrder(sample)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		feed := o.subscriber(t, 0).Feed(ctx, 0, 1000)
		go func() { ended <- p.Run(ctx, 0, 1000) }()
		synctest.Wait() // until nothing moves
		const decoded, room, received, travel, sending = ahead + 1, 2 * 2, 1, 4 / 2, 1 + 1
		ready := made.Load()
		if most := int64(decoded + room + received + travel + sending); ready < room || ready > most {
			t.Errorf("%d microbatches are labeled before anybody asks, which should be %d to %d", ready, room, most)
		}
		for first := range int64(5) {
			if _, err := feed.Next(first); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := made.Load() - ready; n != 5-1 && n != 5 { // the last is still in use
			t.Errorf("%d more after 5 were taken", n)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a teacher that is told to end: %v", err)
		}
		feed.Close()
	})
}

// TestLabelsThatAreNotDue: what does not fit is an error and not somebody else's labels, and a teacher that was asked to stop is heard.
func TestLabelsThatAreNotDue(t *testing.T) {
	s := testSettings(labels.Sample, 4)
	for want, send := range map[string]func(p *Publisher) error{
		"labels sample 2": func(p *Publisher) error { return p.Run(t.Context(), 1, 2) },
		"end early":       func(p *Publisher) error { return p.send(t.Context(), parcel{data: []byte{9, 0, 0, 0, 1}}) },
		"as they arrived": func(p *Publisher) error { return p.send(t.Context(), parcel{data: []byte{1, 0, 0, 0, 1}}) },
		"labels sample 0": func(p *Publisher) error { return p.Mail.Send(t.Context(), 0, make([]byte, 3)) },
		"no such text": func(p *Publisher) error {
			p.Read = func(int64, ul2.Example) error { return errors.New("no such text") }
			return p.Run(t.Context(), 0, 1)
		},
	} {
		o := newOffice(Roles{1, 1, 2, 2}, s)
		asked := false
		student := o.subscriber(t, 0)
		student.Asked = func() { asked = true }
		p := o.publisher(t, 0)
		p.Asked = func() bool { return true }
		ctx, cancel := context.WithCancel(t.Context())
		feed := student.Feed(ctx, 0, 5)
		err := send(p)
		if err == nil {
			_, err = feed.Next(0)
		}
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if asked {
			t.Errorf("%s: a message that was not due was heard", want)
		}
		cancel()
		feed.Close()
	}
	o := newOffice(Roles{1, 1, 2, 2}, s)
	asked := make(chan bool, 5)
	student, p := o.subscriber(t, 0), o.publisher(t, 0)
	student.Asked, p.Asked = func() { asked <- true }, func() bool { return true }
	feed := student.Feed(t.Context(), 0, 1)
	if err := p.Run(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	<-asked
	feed.Close()
}
