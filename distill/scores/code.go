package scores

import (
	"math"
	"math/bits"
)

// A loss is kept in 12 bits, evenly spaced in log(1 + loss/lossScale): an error of at most 0.08% of (loss + lossScale), and no loss
// beyond maxLoss, where the probability is below that of any text worth selecting.
const (
	lossCodes = 1 << 12
	lossScale = 0.1
	maxLoss   = 64
)

// losses is the loss of each code.
var losses = func() (table [lossCodes]float32) {
	for code := range table {
		table[code] = float32(lossScale * math.Expm1(float64(code)/(lossCodes-1)*math.Log1p(maxLoss/lossScale)))
	}
	return table
}()

func lossCode(loss float32) uint16 {
	x := min(max(float64(loss), 0), maxLoss) // a sum's rounding may leave a little less than nothing
	return uint16(math.Round((lossCodes - 1) * math.Log1p(x/lossScale) / math.Log1p(maxLoss/lossScale)))
}

// A rank is kept in 8 bits: as it is below exactRanks, and from there on the smallest rank of eight steps per power of two.
const exactRanks = 128

func rankCode(rank uint32) uint8 {
	if rank < exactRanks {
		return uint8(rank)
	}
	n := bits.Len32(rank)
	return uint8(min(255, exactRanks+8*(n-8)+int(rank>>(n-4)&7)))
}

// lowestRank is the smallest rank of a code.
func lowestRank(code uint8) uint32 {
	if code < exactRanks {
		return uint32(code)
	}
	c := uint32(code) - exactRanks
	return (8 + c%8) << (4 + c/8)
}

// NearestK is the k nearest to the given one for which the kept ranks tell whether a token is among the k likeliest: any up to 128,
// then eight to each power of two.
func NearestK(k int) int {
	k = min(max(k, 1), int(lowestRank(255)))
	below := int(lowestRank(rankCode(uint32(k))))
	if code := rankCode(uint32(k)); below < k && code < 255 {
		if above := int(lowestRank(code + 1)); above-k < k-below {
			return above
		}
	}
	return below
}
