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
// The u distinct ids of a token are a set, so they are coded as gaps, and what a gap is like depends on where it begins: ids
// of a byte-pair vocabulary are ordered by frequency, about log-uniform. Exponential Golomb codes whose parameter follows the mean
// gap seen at that id and with that many ids to come take 8.5 bits per id where perfect knowledge of the frequencies would take
// 7.8, and ids all alike 11.4 (32,768 ids, 35 distinct of 50 draws). Most counts are 1, an Elias gamma code of one bit, and the last needs none.
// Nothing of that is left for Snappy, which the blocks go through: it finds sequences that say the same again and again.
//
// # The file
//
// It is one of distill/blockfile, which keeps it through a kill: its head is the settings as JSON, and a block, whose key is the
// sequence, T uint16 -log q(y) in units of 1/2048, T uint16 entropies, for top-k T uint16 -log of the other ids' mass, all
// little-endian, then the bits of all tokens.
//
// Invariants a change must keep:
//
//  1. Whatever a process wrote before it was killed is found again, up to its last whole sequence (TestTornTail), and a file
//     gone on with has the bytes of one written in one go.
//  2. No byte can change unnoticed (TestEveryByteIsChecked).
//  3. Where codes end depends on whole numbers alone: a file can be read on every machine, and by every later version (TestGolden).
package labels
