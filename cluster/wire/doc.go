// Package wire turns float32 vectors into what travels between ranks, and back.
//
// It knows nothing of ranks: what is sent to whom is package collective's, how it gets there package link's.
//
//	f := wire.Int8
//	code := make([]byte, f.Size(len(x)))
//	f.Encode(code, x)  // or feedback.Encode(f, code, x, 0), which carries over what was rounded away
//	f.Decode(x, code)  // the numbers that whoever gets code sees
//	f.Add(x, code)     // x += those numbers
//
// Formats, and the most by which a decoded number differs from v where v is finite:
//
//	Float32   4 bytes           0
//	BFloat16  2 bytes           2^-8 |v| for normal numbers, 2^-134 below; v above 3.39e38 becomes infinite
//	Int8      1 + 4/256 bytes   max|v| / 254 over the 256 numbers of v's block, and 2^-126 at the least
//
// Rounding is to nearest, ties to even. Numbers that are not finite stay so, that a step with such a gradient is still seen
// to be one: BFloat16 keeps them, Int8 makes its whole block NaN. Everything is little-endian, and so must the machine be.
//
// A format is coarse but need not be wrong for long: Feedback keeps what an encoding rounded away and adds it to the next
// vector, so that over many steps the sum of what was sent is the sum of what should have been, but for the last rounding
// (error feedback: Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847).
//
// Invariants a change must keep: the bounds above (TestBounds), equal bits from equal input on every machine (TestGolden), and
// that nothing non-finite enters a Feedback (TestFeedbackStaysFinite).
package wire
