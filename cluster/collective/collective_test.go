package collective

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"saltern/cluster/wire"
)

// onRanks calls do for each of size ranks at once and gives their errors, by rank.
func onRanks(t *testing.T, size int, do func(ctx context.Context, g *Group) error) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs := make([]error, size)
	var wait sync.WaitGroup
	for rank, transport := range Memory(size) {
		wait.Go(func() { errs[rank] = do(ctx, New(transport, rank, size)) })
	}
	wait.Wait()
	return errs
}

func must(t *testing.T, errs []error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// inputs are a vector for each rank, the same in every run.
func inputs(size, n int) [][]float32 {
	r := rand.New(rand.NewPCG(uint64(size), uint64(n)))
	all := make([][]float32, size)
	for rank := range all {
		all[rank] = make([]float32, n)
		for i := range all[rank] {
			all[rank][i] = float32(r.NormFloat64() * math.Exp2(float64(r.IntN(12)-6)))
		}
	}
	return all
}

func clone(all [][]float32) [][]float32 {
	c := make([][]float32, len(all))
	for i := range all {
		c[i] = slices.Clone(all[i])
	}
	return c
}

func sameBits(a, b []float32) bool { return string(wire.Bytes(a)) == string(wire.Bytes(b)) }

// exact is the sum in float64, and the sum of magnitudes, which errors are measured by.
func exact(all [][]float32, i int) (sum, size float64) {
	for _, x := range all {
		sum += float64(x[i])
		size += math.Abs(float64(x[i]))
	}
	return sum, size
}

var lengths = []int{0, 1, 2, 3, 5, 255, 1001, 40000}

// TestAllReduce holds sums to those in float64, and wants equal bits on every rank and from run to run.
func TestAllReduce(t *testing.T) {
	precision := map[wire.Format]float64{wire.Float32: 0x1p-24, wire.BFloat16: 0x1p-8} // of a sum's magnitudes and hop
	for size := 1; size <= 7; size++ {
		for _, n := range lengths {
			for _, f := range wire.Formats() {
				in := inputs(size, n)
				var first []float32
				for run := range 2 {
					x := clone(in)
					must(t, onRanks(t, size, func(ctx context.Context, g *Group) error { return g.With(f).AllReduce(ctx, x[g.Rank()]) }))
					if run == 0 {
						first = x[0]
					}
					for rank := range x {
						if !sameBits(x[rank], first) {
							t.Fatalf("size %d, length %d, %s, run %d: rank %d has other bits than rank 0 in the first run", size, n, f, run, rank)
						}
					}
				}
				coarse := float64(size) * largest(in) / 254 // each of size roundings is within 1/254 of the largest partial sum anywhere near
				for i, v := range first {
					want, magnitude := exact(in, i)
					limit := precision[f] * float64(size) * magnitude
					if f == wire.Int8 {
						limit = coarse
					}
					if math.Abs(float64(v)-want) > limit {
						t.Fatalf("size %d, length %d, %s: element %d is %g, want %g within %g", size, n, f, i, v, want, limit)
					}
				}
			}
		}
	}
}

// largest bounds every partial sum.
func largest(all [][]float32) (most float64) {
	for i := range all[0] {
		_, m := exact(all, i)
		most = max(most, m)
	}
	return most
}

// TestOrder fixes the order of addition: segment s begins with rank s+1 and ends with rank s.
func TestOrder(t *testing.T) {
	for size := 1; size <= 7; size++ {
		in := inputs(size, 1001)
		x := clone(in)
		must(t, onRanks(t, size, func(ctx context.Context, g *Group) error { return g.AllReduce(ctx, x[g.Rank()]) }))
		for segment := range size {
			first, n := Segment(1001, size, segment)
			for i := first; i < first+n; i++ {
				var sum float32
				for k := range size {
					if v := in[(segment+1+k)%size][i]; k == 0 {
						sum = v
					} else {
						sum += v
					}
				}
				if x[0][i] != sum {
					t.Fatalf("size %d, segment %d, element %d: %g, want %g", size, segment, i, x[0][i], sum)
				}
			}
		}
	}
}

// TestHalves wants ReduceScatter and AllGather to make an AllReduce.
func TestHalves(t *testing.T) {
	for size := 1; size <= 5; size++ {
		for _, n := range lengths {
			in := inputs(size, n)
			whole, halves := clone(in), clone(in)
			must(t, onRanks(t, size, func(ctx context.Context, g *Group) error { return g.AllReduce(ctx, whole[g.Rank()]) }))
			must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
				x := halves[g.Rank()]
				first, length, err := g.ReduceScatter(ctx, x)
				if err != nil {
					return err
				}
				if !sameBits(x[first:first+length], whole[0][first:first+length]) {
					return fmt.Errorf("rank %d: its segment is not the sum", g.Rank())
				}
				for i := range x {
					if i < first || i >= first+length {
						x[i] = float32(math.NaN())
					}
				}
				return g.AllGather(ctx, x)
			}))
			for rank := range halves {
				if !sameBits(halves[rank], whole[0]) {
					t.Fatalf("size %d, length %d: rank %d's halves are not the whole", size, n, rank)
				}
			}
		}
	}
}

// TestSegments wants every element in exactly one segment, and segments alike in length.
func TestSegments(t *testing.T) {
	for size := 1; size < 9; size++ {
		for n := range 40 {
			at := 0
			for rank := range size {
				first, length := Segment(n, size, rank)
				if first != at || length < n/size || length > n/size+1 {
					t.Fatalf("segment %d of %d of %d elements: %d from %d", rank, size, n, length, first)
				}
				at += length
			}
			if at != n {
				t.Fatalf("%d segments hold %d of %d elements", size, at, n)
			}
		}
	}
}

// TestFeedbackConverges reduces the same vectors again and again in a rounding format: the mean of the results approaches the sum.
func TestFeedbackConverges(t *testing.T) {
	const size, n, steps = 3, 1000, 100
	for _, f := range []wire.Format{wire.BFloat16, wire.Int8} {
		in, errs := inputs(size, n), make([]wire.Feedback, size)
		sum := make([]float64, n)
		for range steps {
			x := clone(in)
			must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
				return g.With(f).Feedback(&errs[g.Rank()]).AllReduce(ctx, x[g.Rank()])
			}))
			for rank := range x {
				if !sameBits(x[rank], x[0]) {
					t.Fatalf("%s: rank %d has other bits", f, rank)
				}
			}
			for i, v := range x[0] {
				sum[i] += float64(v)
			}
		}
		most := largest(in)
		for i := range sum {
			want, _ := exact(in, i)
			// size ranks have lost one rounding each by the end, of vectors up to twice as large.
			if limit := 2 * size * most / 254 / steps; math.Abs(sum[i]/steps-want) > limit {
				t.Fatalf("%s: element %d is %g in the mean of %d, want %g within %g", f, i, sum[i]/steps, steps, want, limit)
			}
		}
	}
}

// TestStreams keeps several reductions under way at once, begun in another order on each rank.
func TestStreams(t *testing.T) {
	const size, buckets, n = 4, 6, 9000
	in := make([][][]float32, buckets)
	want := make([][]float32, buckets)
	for b := range in {
		in[b] = inputs(size, n+b)
		x := clone(in[b])
		must(t, onRanks(t, size, func(ctx context.Context, g *Group) error { return g.AllReduce(ctx, x[g.Rank()]) }))
		want[b] = x[0]
	}
	must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
		errs := make([]error, buckets)
		var wait sync.WaitGroup
		for i := range buckets {
			b := (i + g.Rank()) % buckets
			wait.Go(func() { errs[b] = g.Stream(fmt.Sprint("bucket", b)).AllReduce(ctx, in[b][g.Rank()]) })
		}
		wait.Wait()
		return errors.Join(errs...)
	}))
	for b := range in {
		for rank := range size {
			if !sameBits(in[b][rank], want[b]) {
				t.Errorf("bucket %d on rank %d is not what it is alone", b, rank)
			}
		}
	}
}

// TestSmall covers what goes beside the vectors.
func TestSmall(t *testing.T) {
	for size := 1; size <= 7; size++ {
		must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
			for root := range size {
				for _, n := range []int{0, 1, broadcastPiece + 3} {
					data := make([]byte, n)
					for i := range data {
						if g.Rank() == root {
							data[i] = byte(i*7 + root)
						}
					}
					if err := g.Broadcast(ctx, root, data); err != nil {
						return err
					}
					for i := range data {
						if data[i] != byte(i*7+root) {
							return fmt.Errorf("rank %d: byte %d of %d from %d is wrong", g.Rank(), i, n, root)
						}
					}
				}
				all, err := g.Gather(ctx, root, []byte(strings.Repeat("x", g.Rank())))
				if err != nil {
					return err
				}
				if (all != nil) != (g.Rank() == root) {
					return fmt.Errorf("rank %d has %d values gathered at %d", g.Rank(), len(all), root)
				}
				for rank, data := range all {
					if len(data) != rank {
						return fmt.Errorf("%d bytes from rank %d", len(data), rank)
					}
				}
			}
			x := []float64{1, math.Exp2(-60) * float64(g.Rank()), float64(g.Rank())}
			if err := g.AllReduce64(ctx, x); err != nil {
				return err
			}
			if total := float64(size * (size - 1) / 2); x[0] != float64(size) || x[1] != math.Exp2(-60)*total || x[2] != total {
				return fmt.Errorf("rank %d: sums %v", g.Rank(), x)
			}
			return g.Barrier(ctx)
		}))
	}
}

// TestBarrier wants no rank to leave before the last has come.
func TestBarrier(t *testing.T) {
	for size := 1; size <= 7; size++ {
		var mu sync.Mutex
		come := 0
		must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
			for round := 1; round <= 20; round++ {
				mu.Lock()
				come++
				mu.Unlock()
				if err := g.Barrier(ctx); err != nil {
					return err
				}
				mu.Lock()
				there := come
				mu.Unlock()
				if there < round*size {
					return fmt.Errorf("rank %d left round %d when %d of %d had come", g.Rank(), round, there, round*size)
				}
			}
			return nil
		}))
	}
}

// TestSilentRank wants every other rank to fail when one never comes, naming a rank that it waited for.
func TestSilentRank(t *testing.T) {
	const size, silent = 4, 2
	for name, do := range map[string]func(ctx context.Context, g *Group) error{
		"all-reduce": func(ctx context.Context, g *Group) error { return g.AllReduce(ctx, make([]float32, 100000)) },
		"all-gather": func(ctx context.Context, g *Group) error { return g.AllGather(ctx, make([]float32, 100000)) },
		"barrier":    func(ctx context.Context, g *Group) error { return g.Barrier(ctx) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		errs := onRanks(t, size, func(_ context.Context, g *Group) error {
			if g.Rank() == silent {
				return nil
			}
			return do(ctx, g)
		})
		for rank, err := range errs {
			if rank == silent {
				continue
			}
			if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "from rank ") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, rank %d: %v", name, rank, err)
			}
		}
		if !strings.Contains(errs[silent+1].Error(), "from rank 2") {
			t.Errorf("%s: rank 3 does not name rank 2: %v", name, errs[silent+1])
		}
	}
}

// TestOtherLength wants vectors of different lengths to be an error that says so.
func TestOtherLength(t *testing.T) {
	errs := onRanks(t, 2, func(ctx context.Context, g *Group) error { return g.AllReduce(ctx, make([]float32, 100+10*g.Rank())) })
	if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), "bytes on stream g.0") {
		t.Errorf("%v", err)
	}
}

// TestFirst: the first ranks sum among themselves while the last ones talk to them, and then all do together.
func TestFirst(t *testing.T) {
	const size, first = 5, 3
	must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
		beside := g.Stream("beside")
		for round := range 3 {
			if to := g.Rank() - first; to >= 0 {
				if err := beside.Send(ctx, to, fmt.Append(nil, g.Rank(), round)); err != nil {
					return err
				}
			} else {
				few := g.First(first)
				x := []float32{1}
				if err := few.AllReduce(ctx, x); err != nil {
					return err
				}
				if x[0] != first || few.Size() != first || few.Rank() != g.Rank() {
					return fmt.Errorf("rank %d is %d of %d, whose sum is %g", g.Rank(), few.Rank(), few.Size(), x[0])
				}
				if from := g.Rank() + first; from < size {
					into := make([]byte, 10)
					n, err := beside.Receive(ctx, from, into)
					if err != nil {
						return err
					}
					if string(into[:n]) != fmt.Sprint(from, round) {
						return fmt.Errorf("rank %d hears %q from rank %d", g.Rank(), into[:n], from)
					}
				}
			}
			x := []float32{1}
			if err := g.AllReduce(ctx, x); err != nil {
				return err
			}
			if x[0] != size {
				return fmt.Errorf("rank %d: the sum of all is %g", g.Rank(), x[0])
			}
		}
		return nil
	}))
}

// TestOrdered: under other numbers ranks do what they do under their own: sums have the order of the numbers, messages arrive, and errors
// name a rank as all know it.
func TestOrdered(t *testing.T) {
	order := []int{0, 3, 1, 2}
	in := inputs(4, 1000)
	want := make([][]float32, 4)
	must(t, onRanks(t, 4, func(ctx context.Context, g *Group) error {
		want[g.Rank()] = slices.Clone(in[g.Rank()])
		return g.AllReduce(ctx, want[g.Rank()])
	}))
	must(t, onRanks(t, 4, func(ctx context.Context, g *Group) error {
		o := g.Ordered(order)
		if order[o.Rank()] != g.Rank() || o.Size() != 4 {
			t.Errorf("rank %d is %d of %d", g.Rank(), o.Rank(), o.Size())
		}
		x := slices.Clone(in[o.Rank()])
		if err := o.AllReduce(ctx, x); err != nil {
			return err
		}
		if !sameBits(x, want[0]) {
			t.Error("another sum")
		}
		x = slices.Clone(in[g.Rank()])
		if err := g.AllReduce(ctx, x); err != nil || !sameBits(x, want[0]) {
			t.Errorf("the group itself has another sum, %v", err)
		}
		all, err := o.Gather(ctx, 0, []byte{byte(g.Rank())})
		if o.Rank() == 0 && fmt.Sprint(all) != "[[0] [3] [1] [2]]" {
			t.Errorf("gathered %v", all)
		}
		if err != nil || o.Rank() > 1 {
			return err
		}
		pair, word := o.First(2), make([]byte, 1)
		if pair.Rank() == 0 {
			return pair.Send(ctx, 1, []byte{7})
		}
		if _, err := pair.Receive(ctx, 0, word); err != nil || word[0] != 7 || g.Rank() != 3 {
			t.Errorf("rank %d receives %v, %v", g.Rank(), word, err)
		}
		return nil
	}))
	ended, end := context.WithCancel(t.Context())
	end()
	err := New(Memory(4)[3], 3, 4).Ordered(order).Barrier(ended)
	if err == nil || !strings.Contains(err.Error(), "rank 3 of 4: barrier") {
		t.Errorf("%v", err)
	}
}
