package collective

import (
	"context"
	"fmt"
	"sync/atomic"

	"saltern/cluster/wire"
)

// Transport moves messages between ranks, in order for each sender, receiver and stream. Different streams and directions do
// not wait for each other, and a message of up to a piece (1 MiB) is sent without its receiver's asking for it.
type Transport interface {
	// Send sends the same to one rank or to several, which for a stream are always the same. It returns when data may be changed again.
	Send(ctx context.Context, to []int, stream string, data []byte) error
	// Receive waits for the next message, copies it into into, and returns its length; one that is longer is an error.
	Receive(ctx context.Context, from int, stream string, into []byte) (int, error)
}

// Group is one rank's part in the collectives of all ranks. See the package comment.
type Group struct {
	t          Transport
	rank, size int
	name       int // its rank in the Group that New made, for people
	stream     string
	format     wire.Format
	feedback   *wire.Feedback
	count      *atomic.Int64 // of all that share the transport
}

// New is the Group of rank among size ranks.
func New(t Transport, rank, size int) *Group {
	return &Group{t: t, rank: rank, size: size, name: rank, stream: "g", count: new(atomic.Int64)}
}

// Rank is which of the ranks this is, from 0.
func (g *Group) Rank() int { return g.rank }

// Size is the number of ranks.
func (g *Group) Size() int { return g.size }

// Sent is how many bytes of float32 vectors others have been sent by this rank so far, as they were written, in this Group and those made
// from it. What goes to several ranks at once counts for each of them.
func (g *Group) Sent() int64 { return g.count.Load() }

// With is g with float32 vectors written in format f. It shares g's stream.
func (g *Group) With(f wire.Format) *Group {
	h := *g
	h.format = f
	return &h
}

// Feedback is g with what its format rounds away carried over in e, which belongs to one tensor. It shares g's stream.
func (g *Group) Feedback(e *wire.Feedback) *Group {
	h := *g
	h.feedback = e
	return &h
}

// Stream is g with a stream of its own, within g's: letters, digits, - and _.
func (g *Group) Stream(name string) *Group {
	h := *g
	h.stream += "." + name
	return &h
}

// First is the first n of g's ranks as a Group, on a stream of its own within g's. It is for those ranks alone.
func (g *Group) First(n int) *Group {
	h := g.Stream(fmt.Sprintf("first%d", n))
	h.size = n
	return h
}

// Send sends a message to one rank, on g's stream: for what concerns two of them, at any time.
func (g *Group) Send(ctx context.Context, to int, data []byte) error {
	return g.t.Send(ctx, []int{to}, g.stream, data)
}

// Receive waits for the next message that a rank sends on g's stream, copies it into into, and returns its length; one that is longer is
// an error.
func (g *Group) Receive(ctx context.Context, from int, into []byte) (int, error) {
	return g.t.Receive(ctx, from, g.stream, into)
}

// others are all ranks but this one, the one before it first.
func (g *Group) others() (list []int) {
	for step := range g.size - 1 {
		list = append(list, (g.rank+g.size-1-step)%g.size)
	}
	return list
}

// Segment is the part of a vector of n elements that rank holds after ReduceScatter: n/size of them, and one more on the
// first n%size ranks.
func Segment(n, size, rank int) (first, length int) {
	each, over := n/size, n%size
	length = each
	if rank < over {
		length++
	}
	return rank*each + min(rank, over), length
}

// wrap says where an error happened.
func (g *Group) wrap(what string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("rank %d of %d: %s: %w", g.name, g.size, what, *err)
	}
}

// receive is for a message whose length both sides know.
func (g *Group) receive(ctx context.Context, from int, stream string, into []byte) error {
	n, err := g.t.Receive(ctx, from, stream, into)
	if err == nil && n != len(into) {
		err = fmt.Errorf("rank %d sent %d bytes on stream %s where %d were due; all ranks must make the same calls with vectors of the same length",
			from, n, stream, len(into))
	}
	return err
}
