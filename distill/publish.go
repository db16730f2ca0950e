package distill

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"saltern/distill/labels"
	"saltern/model/ul2"
)

// Mail carries messages from one rank to another, in order; cluster/collective's Group does. Send may return before its message was
// received, but not long before: a student that does not receive holds its teachers up.
type Mail interface {
	Send(ctx context.Context, to int, data []byte) error
	Receive(ctx context.Context, from int, into []byte) (int, error)
}

// A microbatch of labels is two messages: the head, then the code of each sequence after its length in 4 bytes.
const (
	headSize = 24      // first sample, length of the second message, 1 if the teacher was asked to stop
	mostMail = 1 << 30 // bytes of a microbatch
)

// Publisher is a teacher that labels for students on other ranks, ahead of them.
type Publisher struct {
	Roles
	Rank     int
	Mail     Mail
	Copies   Mail        // if set, takes another copy of all to the first student
	Kept     *Kept       // what is not made again; nil: nothing is kept
	Labeler  *Labeler    // of Microbatch sequences
	Device   sync.Locker // held while the labeler is at work; nil: nobody else uses its device
	Coder    *labels.Coder
	Sequence func(sample int64) int64 // what a sample stands for
	Read     func(sequence int64, x ul2.Example) error
	Asked    func() bool // whether this rank has been asked to stop, which the students decide on
}

// parcel is a microbatch on its way.
type parcel struct {
	first int64
	to    int
	data  []byte
	asked bool
	err   error // of one that was to be received
}

// Run labels what is this teacher's of the steps from to end (exclusive). One microbatch travels while the next is made; the teacher is
// ahead of its students by as much as they have room for.
func (p *Publisher) Run(ctx context.Context, from, end int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready, sent := make(chan parcel), make(chan error, 1)
	go func() {
		var err error
		for x := range ready {
			if err == nil {
				if err = p.send(ctx, x); err != nil {
					cancel(err)
				}
			}
		}
		sent <- err
	}()
	err := p.make(ctx, from, end, ready)
	close(ready)
	if failed := <-sent; failed != nil {
		return failed
	}
	return err
}

func (p *Publisher) make(ctx context.Context, from, end int64, ready chan<- parcel) error {
	sequences := make([]int64, p.Microbatch)
	for d := range p.duties(from, end, func(d Duty) bool { return d.Teacher == p.Rank && !p.Kept.has(d.First) }) {
		for i := range sequences {
			sequences[i] = p.Sequence(d.First + int64(i))
		}
		made, err := p.label(sequences)
		if err != nil {
			return err
		}
		data, T := []byte(nil), p.Coder.Settings().Sequence
		for i, sequence := range sequences {
			at := len(data)
			if data, err = p.Coder.Encode(append(data, 0, 0, 0, 0), made.Rows(i*T, (i+1)*T)); err != nil {
				return fmt.Errorf("what the teacher says of sequence %d is no distribution: %w", sequence, err)
			}
			binary.LittleEndian.PutUint32(data[at:], uint32(len(data)-at-4))
		}
		select {
		case ready <- parcel{first: d.First, to: d.Student, data: data, asked: p.Asked()}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// label makes a microbatch's labels, with the device to itself.
func (p *Publisher) label(sequences []int64) (*labels.Labels, error) {
	if p.Device != nil {
		p.Device.Lock()
		defer p.Device.Unlock()
	}
	return p.Labeler.Make(sequences, p.Read)
}

func (p *Publisher) send(ctx context.Context, x parcel) error {
	head := make([]byte, headSize)
	binary.LittleEndian.PutUint64(head, uint64(x.first))
	binary.LittleEndian.PutUint64(head[8:], uint64(len(x.data)))
	if x.asked {
		head[16] = 1
	}
	if err := errors.Join(p.Mail.Send(ctx, x.to, head), p.Mail.Send(ctx, x.to, x.data)); err != nil || p.Copies == nil {
		return err
	}
	return errors.Join(p.Copies.Send(ctx, 0, head), p.Copies.Send(ctx, 0, x.data))
}
