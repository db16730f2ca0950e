package distill

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"saltern/distill/labels"
)

// Subscriber is a student that gets its soft labels from teachers on other ranks.
type Subscriber struct {
	Roles
	Rank     int
	Mail     Mail
	Coder    *labels.Coder
	Ghost    bool   // as NewFeed's
	Prefetch int    // steps whose labels are held ready, in their code
	Kept     *Kept  // what is read and not received; nil: nothing
	Asked    func() // is called when a teacher has been asked to stop, which the students are to decide on
}

// Feed begins to receive the labels of this student's microbatches of the steps from to end (exclusive). Cancel the context before the
// feed is closed.
func (s *Subscriber) Feed(ctx context.Context, from, end int64) *Feed {
	mine := func(d Duty) bool { return d.Student == s.Rank }
	queues := make([]chan parcel, s.Teachers)
	for i := range queues {
		queues[i] = make(chan parcel, s.queue(s.Prefetch))
		go s.receive(ctx, s.duties(from, end, func(d Duty) bool { return mine(d) && d.Teacher == s.Students+i && !s.Kept.has(d.First) }), queues[i])
	}
	settings := s.Coder.Settings()
	return newFeed(s.Microbatch*settings.Sequence, settings.Count, s.Ghost, firsts(s.duties(from, end, mine)), func(first int64, l *labels.Labels) error {
		if s.Kept.has(first) {
			for i := range s.Microbatch {
				if err := s.Kept.Read(first+int64(i), l.Rows(i*settings.Sequence, (i+1)*settings.Sequence)); err != nil {
					return err
				}
			}
			return nil
		}
		select {
		case x := <-queues[s.teacherOf(first)-s.Students]:
			if x.err != nil {
				return x.err
			}
			return s.decode(x, l)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// receive takes what one teacher sends.
func (s *Subscriber) receive(ctx context.Context, due iter.Seq[Duty], queue chan<- parcel) {
	for d := range due {
		x := s.next(ctx, d)
		if x.asked {
			s.Asked()
		}
		select {
		case queue <- x:
		case <-ctx.Done():
			return
		}
		if x.err != nil {
			return
		}
	}
}

// Kept is what the teachers have said before, which all ranks know alike.
type Kept struct {
	Has  func(first int64) bool                        // whether that is all of the microbatch that begins with a sample
	Read func(sample int64, into *labels.Labels) error // for students
}

func (k *Kept) has(first int64) bool { return k != nil && k.Has(first) }

// Each gives f what is said of every sample of the steps from to end (exclusive), of all students', in the order of their labeling, as long
// as on says to go on with a step. It is for a Publisher's Copies.
func (s *Subscriber) Each(ctx context.Context, from, end int64, on func(step int64) bool, f func(sample int64, l *labels.Labels) error) error {
	T := s.Coder.Settings().Sequence
	l := labels.New(s.Microbatch*T, s.Coder.Settings().Count)
	for d := range s.duties(from, end, func(d Duty) bool { return !s.Kept.has(d.First) }) {
		if !on(d.First / int64(s.Batch)) {
			return nil
		}
		x := s.next(ctx, d)
		if x.err == nil {
			x.err = s.decode(x, l)
		}
		for i := 0; i < s.Microbatch && x.err == nil; i++ {
			x.err = f(d.First+int64(i), l.Rows(i*T, (i+1)*T))
		}
		if x.err != nil {
			return x.err
		}
	}
	return nil
}

// next receives a microbatch.
func (s *Subscriber) next(ctx context.Context, d Duty) (x parcel) {
	var head [headSize]byte
	n, err := s.Mail.Receive(ctx, d.Teacher, head[:])
	length := binary.LittleEndian.Uint64(head[8:])
	switch first := int64(binary.LittleEndian.Uint64(head[:])); {
	case err != nil:
		return parcel{err: fmt.Errorf("soft labels of sample %d: %w", d.First, err)}
	case n != headSize || first != d.First || length > mostMail:
		return parcel{err: fmt.Errorf("bug: rank %d labels sample %d in %d bytes, where sample %d was due", d.Teacher, first, length, d.First)}
	}
	x = parcel{first: d.First, data: make([]byte, length), asked: head[16] == 1}
	if n, err = s.Mail.Receive(ctx, d.Teacher, x.data); err == nil && uint64(n) != length {
		err = fmt.Errorf("bug: rank %d sent %d bytes of %d", d.Teacher, n, length)
	}
	x.err = err
	return x
}

// decode fills a microbatch's labels.
func (s *Subscriber) decode(x parcel, l *labels.Labels) error {
	T, data := s.Coder.Settings().Sequence, x.data
	for i := range s.Microbatch {
		if len(data) < 4 || uint64(len(data)-4) < uint64(binary.LittleEndian.Uint32(data)) {
			return fmt.Errorf("bug: the soft labels of sample %d end early", x.first+int64(i))
		}
		n := binary.LittleEndian.Uint32(data)
		if err := s.Coder.Decode(data[4:4+n], l.Rows(i*T, (i+1)*T)); err != nil {
			return fmt.Errorf("the soft labels of sample %d, as they arrived: %w", x.first+int64(i), err)
		}
		data = data[4+n:]
	}
	return nil
}
