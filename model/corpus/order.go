package corpus

import "math/bits"

// Order says which sequence comes when: in each epoch every sequence once, in a pseudo-random order that depends on Seed and epoch
// alone. It has no state, so any rank can ask for any sample.
//
// The permutation is a Feistel network (Luby and Rackoff 1988) over the smallest even number of bits that holds Sequences;
// results beyond Sequences are walked on until they fall inside (Black and Rogaway 2002).
type Order struct {
	Seed      uint64
	Sequences int64 // in an epoch; at least 1
	// Only, when not nil, holds the ids to draw from, a selection of the stream's sequences. Its length must be Sequences.
	Only []int64
}

// rounds of the network: four are pseudo-random in theory, six leave a margin for halves of a few bits.
const rounds = 6

// At returns the sequence that is sample number sample, counted from 0 over all epochs and ranks; -1 when there is none.
func (o Order) At(sample int64) int64 {
	if o.Sequences < 1 || sample < 0 || o.Only != nil && int64(len(o.Only)) != o.Sequences {
		return -1
	}
	at := o.permute(uint64(sample/o.Sequences), uint64(sample%o.Sequences))
	if o.Only != nil {
		return o.Only[at]
	}
	return at
}

// Epoch returns the epoch, from 0, that sample is in.
func (o Order) Epoch(sample int64) int64 { return sample / max(o.Sequences, 1) }

func (o Order) permute(epoch, x uint64) int64 {
	n := uint64(o.Sequences)
	half := max(1, (bits.Len64(n-1)+1)/2)
	mask := uint64(1)<<half - 1
	var keys [rounds]uint64
	k := mix(mix(o.Seed) + epoch)
	for i := range keys {
		k = mix(k + uint64(i))
		keys[i] = k
	}
	for {
		left, right := x>>half, x&mask
		for _, key := range keys {
			left, right = right, left^mix(right^key)&mask
		}
		if x = left<<half | right; x < n {
			return int64(x)
		}
	}
}

// mix is the step of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on all input bits.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
