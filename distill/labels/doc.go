// Package labels keeps the sparse soft labels of a teacher in a file: made once, read by any number of students.
//
// It knows numbers. What makes labels and what learns from them is package distill; when either happens, package
// jobs.
//
//	w, err := labels.Append(path, settings) // goes on where an earlier process stopped, however it ended
//	err = w.Add(sequence, l)
//
//	f, err := labels.Open(path)
//	err = f.Sequence(sequence, l)
//
// Two forms: "sample" keeps N ids drawn from q with replacement, as counts, whose mean over the draws is q itself (RS-KD,
// arXiv 2503.16870); "top-k" keeps the k most likely ids, their q and the mass of all others. Both keep -log q(y) of the gold
// token y and the entropy of q, in nats, 2 bytes each.
//
// Letters: T tokens of a sequence, K numbers of each, V vocabulary. A token's ids ascend and are followed by compute.Masked.
//
// # Size
//
// The u distinct ids of a token are a set, so they are coded as gaps in an order that puts ids alike in frequency side by side, and what
// a gap is like depends on where it begins and how many ids are to come: exponential Golomb codes whose order follows the mean gap
// seen so. The order is that of the numbers at first, which in a byte-pair vocabulary is roughly that of frequency. From then on the file
// knows better: at 1,024 tokens, and at four times as many each time up to 262,144, it counts how often its teacher said each id, and
// what follows goes by rank. Counts of draws begin with a bit for "once", since most are.
//
// With 34 distinct ids of 50 draws over 32,768, of a real teacher, this takes 36.7 bytes per token, by numbers alone 43.4; the floor
// (Labels.Floor), which would take a decoder that knows q itself, is 29.8. An arithmetic coder that knows the frequencies takes some 2.5 less. Nothing of that is
// left for Snappy, which the blocks go through: it finds sequences that say the same again and again. docs/PERFORMANCE.md has more figures.
//
// # The file
//
// It is one of distill/blockfile, which keeps it through a kill: its head is the settings as JSON, and a block, whose key is the
// sequence, T uint16 -log q(y) in units of 1/2048, T uint16 entropies, for top-k T uint16 -log of the other ids' mass, all
// little-endian, then the bits of all tokens. A block with the key 2^63 holds a count, which the blocks after it go by: for each
// id the number of bits of how many tokens had it, in Elias' gamma code, then the order of each context's code in 5 bits. So any
// sequence is read by its own block and the count before it.
//
// Invariants a change must keep:
//
//  1. Whatever a process wrote before it was killed is found again, up to its last whole sequence (TestTornTail), and a file
//     gone on with has the bytes of one written in one go: a count is of what the file holds (TestCounts).
//  2. No byte can change unnoticed (TestEveryByteIsChecked).
//  3. Where codes end depends on whole numbers alone: a file can be read on every machine, and by every later version (TestGolden).
package labels
