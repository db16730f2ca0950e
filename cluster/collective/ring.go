package collective

import (
	"context"
	"fmt"
	"sync"

	"saltern/cluster/wire"
)

const (
	lanes    = 2       // pieces under way at once: one is added while the other travels
	maxPiece = 1 << 17 // elements, 512 KiB of float32: below it each message costs more, above it what is under way leaves the second cache
	minPiece = 1 << 12 // elements; below this a message costs more than what waiting for it could overlap
)

// AllReduce replaces x by its sum over all ranks, the same bits on every rank and from run to run.
func (g *Group) AllReduce(ctx context.Context, x []float32) (err error) {
	defer g.wrap("all-reduce", &err)
	return g.ring(ctx, x, true, true)
}

// ReduceScatter replaces this rank's own segment of x by its sum over all ranks and says where it lies. The rest of x is then
// of no use.
func (g *Group) ReduceScatter(ctx context.Context, x []float32) (first, n int, err error) {
	defer g.wrap("reduce-scatter", &err)
	first, n = Segment(len(x), g.size, g.rank)
	return first, n, g.ring(ctx, x, true, false)
}

// AllGather gives each rank's own segment of x to all. In a format that rounds, the own segment is rounded too.
func (g *Group) AllGather(ctx context.Context, x []float32) (err error) {
	defer g.wrap("all-gather", &err)
	return g.ring(ctx, x, false, true)
}

// ring cuts x into pieces and lets a few lanes take them, each the next one that is its own.
func (g *Group) ring(ctx context.Context, x []float32, reduce, gather bool) error {
	if g.feedback != nil {
		if err := g.feedback.Prepare(len(x)); err != nil {
			return err
		}
	}
	if g.size == 1 || len(x) == 0 {
		return nil
	}
	_, longest := Segment(len(x), g.size, 0)
	piece := pieceLength(longest)
	pieces := (longest + piece - 1) / piece
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	var once sync.Once
	fail := func(err error) { // the first one counts: the others fail because of it
		once.Do(func() { failed = err })
		cancel()
	}
	var wait sync.WaitGroup
	for i := range min(lanes, pieces) {
		wait.Go(func() {
			l := g.newLane(ctx, fail, i, x, piece)
			defer close(l.sends)
			for p := i; p < pieces; p += lanes {
				l.at = p * piece
				if l.run(reduce, gather) != nil {
					return // fail has it
				}
			}
		})
	}
	wait.Wait()
	return failed
}

// pieceLength cuts a segment so that every lane has something to do, at multiples of a block, for which codes do not depend on the cut.
func pieceLength(segment int) int {
	each := min(max((segment+lanes-1)/lanes, minPiece), maxPiece)
	return (each + wire.Block - 1) / wire.Block * wire.Block
}

// lane takes one piece of every segment round the ring, then the next. It has two goroutines: one sends.
type lane struct {
	*Group
	ctx        context.Context
	fail       func(error) // ends the other lanes too
	stream     string
	x          []float32
	among      []int  // the other ranks
	at, piece  int    // the piece's place in each segment, and its length, where the segment is not at its end
	code, next []byte // what is sent and what is received, encoded
	sends      chan message
	sent       chan error
}

// message is what a lane sends, and where.
type message struct {
	to     []int
	stream string
	data   []byte
}

func (g *Group) newLane(ctx context.Context, fail func(error), number int, x []float32, piece int) *lane {
	l := &lane{Group: g, ctx: ctx, fail: fail, stream: fmt.Sprintf("%s.%d", g.stream, number), x: x, among: g.others(), piece: piece, sends: make(chan message), sent: make(chan error, 1)}
	l.code, l.next = make([]byte, g.format.Size(piece)), make([]byte, g.format.Size(piece))
	go func() {
		for m := range l.sends {
			l.sent <- l.t.Send(l.ctx, m.to, m.stream, m.data)
		}
	}()
	return l
}

// part is the piece of a segment, counted modulo size, and its place in x.
func (l *lane) part(segment int) (x []float32, first int) {
	first, n := Segment(len(l.x), l.size, (segment+2*l.size)%l.size)
	from, to := min(l.at, n), min(l.at+l.piece, n)
	return l.x[first+from : first+to], first + from
}

func (l *lane) run(reduce, gather bool) error {
	if reduce {
		for step := range l.size - 1 {
			if err := l.add(step); err != nil {
				return err
			}
		}
	}
	if gather {
		return l.gather()
	}
	return nil
}

// add hands a partial sum on to the next rank, and adds this rank's numbers to the one from the rank before.
func (l *lane) add(step int) error {
	what := fmt.Sprintf("adding, step %d of %d", step+1, l.size-1)
	out, first := l.part(l.rank - 1 - step)
	in, _ := l.part(l.rank - 2 - step)
	code := l.next[:l.format.Size(len(in))]
	err := l.exchange(what, message{[]int{(l.rank + 1) % l.size}, l.stream, l.encode(out, first, false)}, func() error {
		return l.receive(l.ctx, (l.rank+l.size-1)%l.size, l.stream, code)
	})
	if err == nil {
		l.format.Add(in, code)
	}
	return err
}

// gather gives this rank's sum to all others at once, and takes theirs.
func (l *lane) gather() error {
	own, first := l.part(l.rank)
	stream := l.stream + ".all"
	return l.exchange("gathering", message{l.among, stream, l.encode(own, first, true)}, func() error {
		for _, rank := range l.among {
			in, _ := l.part(rank)
			code := l.next[:l.format.Size(len(in))]
			if l.format == wire.Float32 {
				code = wire.Bytes(in)
			}
			if err := l.receive(l.ctx, rank, stream, code); err != nil {
				return err
			}
			if l.format != wire.Float32 {
				l.format.Decode(in, code)
			}
		}
		return nil
	})
}

// encode is x as it is sent. With keep x then holds what the receiver reads; a partial sum is of no use any more.
func (l *lane) encode(x []float32, first int, keep bool) []byte {
	if l.format == wire.Float32 {
		return wire.Bytes(x)
	}
	code := l.code[:l.format.Size(len(x))]
	if l.feedback != nil {
		l.feedback.Encode(l.format, code, x, first)
	} else {
		l.format.Encode(code, x)
		if keep {
			l.format.Decode(x, code)
		}
	}
	return code
}

// exchange sends and receives, both at once.
func (l *lane) exchange(what string, m message, receive func() error) error {
	l.count.Add(int64(len(m.data) * len(m.to)))
	l.sends <- m
	err := receive()
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		l.fail(err) // which ends the sending too
	}
	if sent := <-l.sent; sent != nil && err == nil {
		err = fmt.Errorf("%s: %w", what, sent)
		l.fail(err)
	}
	return err
}
