// Package ul2 makes training examples of text by a mixture of denoisers, as UL2 does (Tay et al. 2022, arXiv 2205.05131), for a
// decoder-only model: next-token prediction, prefix language modelling and span corruption, each in one sequence of T tokens.
//
// It knows ids and positions. What the model makes of them is package model, which text comes when package corpus, whose ids the
// special tokens are package token.
//
//	mixture := ul2.Mixture{Seed: seed, Tokens: ids}
//	denoiser := mixture.Make(number, text, x) // text: T+1 ids; x: what the model reads, is to predict, and may look at
//
// The three, text being a b c d e f ..., | standing where what is read both ways ends:
//
//	Causal  a b c d e f ...                                       every next token is predicted
//	Prefix  <|prefix|> a b c | d e f ...                          d and all after it are predicted
//	Span    <|infill|> a b <0> e <1> | <0> c d <1> f g <2>        c, d, <1>, f, g and <2> are predicted
//
// The shares are 60, 20 and 20 percent: SALT's mixture as we recollect it, as no source at hand confirms it. Span corruption is
// UL2's R: 15% of the tokens, in spans of 3 on average, whose number T5 fixes and whose places it draws (arXiv 1910.10683). Of
// UL2's two departures from T5's denoisers, the task's name in front is here, but for Causal, which stays what a model trained
// without the mixture reads; extreme corruption (X) is not.
//
// A Causal sequence predicts T tokens, a Prefix one T/2 on average, a Span one about a fifth of T. The loss is the mean over
// the tokens that are predicted, so Causal has some 80% of it. Span uses nine tenths of its text, as sentinels take the rest of
// the T tokens; what is left over at the end, two at most, is filled up with tokens that nobody sees.
//
// Invariants:
//
//  1. An example is a function of seed, number and text alone (TestGolden, TestOthersDiffer).
//  2. What is read and what is predicted together are the text (TestNothingIsLost).
//  3. No row sees the token that it is to predict, by however many layers (TestNothingLeaks).
//  4. What a row sees is what attention's spans may be: neither end ever falls, and it sees itself (TestSeenAreSpans).
package ul2

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute"
	"saltern/model/token"
)

// Denoiser is what is to be learned from a sequence.
type Denoiser int

// The denoisers of the mixture.
const (
	Causal Denoiser = iota
	Prefix
	Span
)

// Denoisers lists them.
var Denoisers = []Denoiser{Causal, Prefix, Span}

func (d Denoiser) String() string { return [...]string{"causal", "prefix", "span"}[d] }

// share is the part of the sequences that are the denoiser's.
func (d Denoiser) share() float64 { return [...]float64{0.6, 0.2, 0.2}[d] }

// Of span corruption: the part of the text that is taken out, and the mean length of a span.
const (
	corruption = 0.15
	meanSpan   = 3
)

// MinSequence is the least T that all denoisers fit into.
const MinSequence = 16

// Mixture makes examples.
type Mixture struct {
	Seed   uint64
	Tokens token.Denoising
}

// Example is one sequence of T tokens.
type Example struct {
	IDs    []uint32 // [T]
	Labels []uint32 // [T] the tokens to predict; compute.Masked where there is none
	Seen   []uint32 // [T,2] what each row sees, from and to (exclusive), as compute's SpannedAttention has it
}

// Make fills x from text, T+1 ids, and says by which denoiser. number tells the sequences of a training apart.
func (m Mixture) Make(number int64, text []uint32, x Example) Denoiser {
	rng := m.draws(number)
	u, d := rng.Float64(), Causal
	for d < Span && u >= d.share() {
		u -= d.share()
		d++
	}
	m.fill(d, rng, text, x)
	return d
}

// MakeBy fills x as Make does, by the denoiser that is asked for.
func (m Mixture) MakeBy(d Denoiser, number int64, text []uint32, x Example) {
	rng := m.draws(number)
	rng.Float64() // that Make draws the denoiser by
	m.fill(d, rng, text, x)
}

func (m Mixture) draws(number int64) *rand.Rand {
	return rand.New(rand.NewPCG(m.Seed, uint64(number)))
}

func (m Mixture) fill(d Denoiser, rng *rand.Rand, text []uint32, x Example) {
	T := len(x.IDs)
	if len(text) != T+1 || len(x.Labels) != T || len(x.Seen) != 2*T || d != Causal && T < MinSequence {
		panic(fmt.Sprintf("bug: %d ids do not make a %s example of %d, %d and %d numbers", len(text), d, T, len(x.Labels), len(x.Seen)))
	}
	switch d {
	case Causal:
		copy(x.IDs, text)
		x.predict(text[1:], 0, T)
		x.see(0, T)
	case Prefix:
		x.IDs[0] = m.Tokens.Prefix
		copy(x.IDs[1:], text)
		n := 1 + rng.IntN(T-1) // tokens of the prefix; its last predicts the first after it
		x.predict(text[:T], n, T)
		x.see(n+1, T)
	case Span:
		whole, inputs := m.corrupt(rng, text[:textLength(T)])
		used := len(whole) - 1
		copy(x.IDs, whole[:used])
		clear(x.IDs[used:])
		x.predict(whole[1:], inputs, used)
		x.see(inputs, used)
	}
}

// predict sets the labels of rows from to end, exclusive, to those of next, the token after each row; all others are masked.
func (x Example) predict(next []uint32, from, end int) {
	for i := range x.Labels {
		x.Labels[i] = compute.Masked
		if i >= from && i < end {
			x.Labels[i] = next[i]
		}
	}
}

// see lets the first rows, prefix of them, see each other, those after them all before them, and those from used on themselves only.
func (x Example) see(prefix, used int) {
	for i := range len(x.IDs) {
		from, to := 0, max(i+1, prefix)
		if i >= used {
			from = i
		}
		x.Seen[2*i], x.Seen[2*i+1] = uint32(from), uint32(to)
	}
}

// corrupt gives the text with spans taken out, and after these inputs, of which it gives the number, the spans: each behind its
// sentinel, one more sentinel at the end. The first sentinel of the spans is not predicted: it says no more than that they begin.
func (m Mixture) corrupt(rng *rand.Rand, text []uint32) (whole []uint32, inputs int) {
	c, k := spansOf(len(text))
	kept, taken := parts(rng, len(text)-c, k), parts(rng, c, k)
	whole, targets := []uint32{m.Tokens.Infill}, []uint32(nil)
	for i := range k {
		sentinel := m.Tokens.Sentinel + uint32(i)
		whole = append(append(whole, text[:kept[i]]...), sentinel)
		text = text[kept[i]:]
		targets = append(append(targets, sentinel), text[:taken[i]]...)
		text = text[taken[i]:]
	}
	inputs = len(whole)
	return append(append(whole, targets...), m.Tokens.Sentinel+uint32(k)), inputs
}

// spansOf is how many of n tokens are taken out, and in how many spans. Beyond some 2,000 tokens, where there would be more spans
// than sentinels, spans are longer.
func spansOf(n int) (tokens, spans int) {
	tokens = max(1, int(math.Round(corruption*float64(n))))
	return tokens, min(max(1, int(math.Round(float64(tokens)/meanSpan))), token.Sentinels-1)
}

// textLength is how many tokens of text a corrupted sequence of T tokens holds: each span takes two sentinels more, and the task a
// token; the last sentinel is only predicted.
func textLength(T int) int {
	n := T
	for {
		if _, k := spansOf(n); n+2*k+1 <= T {
			return n
		}
		n--
	}
}

// parts cuts n into k lengths of at least 1, each way as likely as any other.
func parts(rng *rand.Rand, n, k int) []int {
	list, length, cuts := make([]int, 0, k), 1, k-1
	for left := n - 1; left > 0; left-- {
		if rng.IntN(left) < cuts {
			list, length, cuts = append(list, length), 0, cuts-1
		}
		length++
	}
	return append(list, length)
}

// Predicted is the share of a sequence's T tokens that are predicted, over the whole mixture.
func Predicted(T int) float64 {
	c, k := spansOf(textLength(T))
	return Causal.share() + Prefix.share()/2 + Span.share()*float64(c+k)/float64(T)
}
