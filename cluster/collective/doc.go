// Package collective lets ranks compute together: sums of vectors that every rank ends with, and the few small exchanges
// around them.
//
// It knows nothing of NATS (package link carries the messages, Memory does in tests) nor of what the numbers mean.
//
//	g := collective.New(transport, rank, size)
//	err := g.AllReduce(ctx, x)                                            // x is the sum over all ranks
//	err = g.Stream("layer3").With(wire.Int8).Feedback(&lost).AllReduce(ctx, gradient)
//
// All ranks of a Group call the same methods in the same order with vectors of the same length. One Group carries one
// collective at a time; Stream makes another whose collectives may be under way meanwhile, from another goroutine.
//
// # Ring
//
// A vector is cut into one segment per rank (Segment). In size-1 steps the partial sums of the segments travel once round the
// ring, each rank adding its own numbers, until rank s holds the sum of segment s: ReduceScatter. Then each rank sends its sum to all
// others at once, which a Transport may well carry as one message for as long as they have the way in common: AllGather. AllReduce is both.
// Each rank sends, and receives, 2(size-1)/size of the vector, the least there is. The
// segments are cut into pieces, several of which are under way at once, each a ring of its own, so that a rank adds one while
// others travel.
//
// # Numbers
//
// Segment s is added in the order s+1, s+2, ..., s (modulo size), in float32, each partial sum written in the wire format once
// per hop. So the result depends on the inputs, their length, the world size and the format, never on timing, and with
// another world size it differs in its last bits. Whoever holds a sum reads it back from what it sends to all, so they end with the same bits in
// every format. Each element is rounded to the format once on each rank, and with a Feedback that rounding enters the next
// reduction.
//
// # Errors
//
// An error says which collective failed on which rank, at what step, and which rank it was waiting for. After one a Group's
// stream is out of step with the others' and must not be used again.
//
// Invariants a change must keep: equal bits on every rank and from run to run (TestAllReduce), over a network as in memory (TestOverNATS,
// TestGroupsOverNATS), the order of addition
// (TestOrder), errors on every rank that is left, with a rank named (TestSilentRank), and that a rounded sum converges
// (TestFeedbackConverges).
//
// Source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations, 2009.
package collective
