package collective

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
)

// Ordered is g's ranks under other numbers, on a stream of its own within g's: its rank i is g's rank order[i]. Every rank calls it with the
// same order, which names each of g's ranks once.
func (g *Group) Ordered(order []int) *Group {
	name := fnv.New64a() // as the ranks that a stream goes to depend on the order
	fmt.Fprint(name, order)
	h := g.Stream(fmt.Sprintf("ordered%x", name.Sum64()))
	h.t, h.rank = ordered{g.t, order}, slices.Index(order, g.rank)
	return h
}

// ordered is a transport between ranks that are numbered otherwise.
type ordered struct {
	t     Transport
	order []int
}

func (o ordered) Send(ctx context.Context, to []int, stream string, data []byte) error {
	ranks := make([]int, len(to))
	for i, number := range to {
		ranks[i] = o.order[number]
	}
	return o.t.Send(ctx, ranks, stream, data)
}

func (o ordered) Receive(ctx context.Context, from int, stream string, into []byte) (int, error) {
	return o.t.Receive(ctx, o.order[from], stream, into)
}
