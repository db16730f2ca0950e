package collective

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
)

// Barrier returns when every rank has called it: dissemination, log2(size) rounds.
func (g *Group) Barrier(ctx context.Context) (err error) {
	defer g.wrap("barrier", &err)
	for far := 1; far < g.size; far *= 2 {
		if err := g.Send(ctx, (g.rank+far)%g.size, nil); err != nil {
			return err
		}
		if err := g.receive(ctx, (g.rank+g.size-far)%g.size, g.stream, nil); err != nil {
			return err
		}
	}
	return nil
}

// broadcastPiece is how much of a message a rank has before it hands it on, in bytes.
const broadcastPiece = 1 << 20

// Broadcast gives root's data to all, into data of the same length: down a binomial tree, piece by piece.
func (g *Group) Broadcast(ctx context.Context, root int, data []byte) (err error) {
	defer g.wrap(fmt.Sprintf("broadcast from rank %d", root), &err)
	parent, children := tree((g.rank-root+g.size)%g.size, g.size)
	for {
		piece := data[:min(len(data), broadcastPiece)]
		if parent >= 0 {
			if err := g.receive(ctx, (parent+root)%g.size, g.stream, piece); err != nil {
				return err
			}
		}
		for _, child := range children {
			if err := g.Send(ctx, (child+root)%g.size, piece); err != nil {
				return err
			}
		}
		if data = data[len(piece):]; len(data) == 0 {
			return nil
		}
	}
}

// tree is the place of a rank in the binomial tree whose root is 0, the largest subtree first. The root's parent is -1.
func tree(rank, size int) (parent int, children []int) {
	low := rank & -rank
	if parent = rank - low; rank == 0 {
		for low, parent = 1, -1; low < size; low *= 2 {
		}
	}
	for low /= 2; low > 0; low /= 2 {
		if rank+low < size {
			children = append(children, rank+low)
		}
	}
	return parent, children
}

// Gather gives root the data of every rank, by rank; lengths may differ. For small values. The others get nil.
func (g *Group) Gather(ctx context.Context, root int, data []byte) (all [][]byte, err error) {
	defer g.wrap(fmt.Sprintf("gather at rank %d", root), &err)
	var length [8]byte
	if g.rank != root {
		binary.LittleEndian.PutUint64(length[:], uint64(len(data)))
		if err := g.Send(ctx, root, length[:]); err != nil {
			return nil, err
		}
		return nil, g.Send(ctx, root, data)
	}
	all = make([][]byte, g.size)
	for rank := range all {
		if rank == root {
			all[rank] = append([]byte{}, data...)
			continue
		}
		if err := g.receive(ctx, rank, g.stream, length[:]); err != nil {
			return nil, err
		}
		n := binary.LittleEndian.Uint64(length[:])
		if n > 1<<30 {
			return nil, fmt.Errorf("rank %d announces %d bytes; gather is for small values", rank, n)
		}
		all[rank] = make([]byte, n)
		if err := g.receive(ctx, rank, g.stream, all[rank]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// AllReduce64 replaces x by its sum over all ranks, added in the order of the ranks. For a few numbers: rank 0 gathers, adds
// and broadcasts.
func (g *Group) AllReduce64(ctx context.Context, x []float64) (err error) {
	defer g.wrap("all-reduce of statistics", &err)
	if g.size == 1 {
		return nil
	}
	own := make([]byte, 8*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint64(own[8*i:], math.Float64bits(v))
	}
	if g.rank != 0 {
		if err := g.Send(ctx, 0, own); err != nil {
			return err
		}
	}
	code := make([]byte, len(own))
	for rank := 1; g.rank == 0 && rank < g.size; rank++ {
		if err := g.receive(ctx, rank, g.stream, code); err != nil {
			return err
		}
		for i := range x {
			x[i] += math.Float64frombits(binary.LittleEndian.Uint64(code[8*i:]))
		}
	}
	for i, v := range x {
		binary.LittleEndian.PutUint64(own[8*i:], math.Float64bits(v))
	}
	if err := g.Broadcast(ctx, 0, own); err != nil {
		return err
	}
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(own[8*i:]))
	}
	return nil
}
