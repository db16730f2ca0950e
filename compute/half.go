package compute

import (
	"math"

	"github.com/x448/float16"
)

// narrow rounds to 16-bit elements, to the nearest and ties to even.
func narrow(t DType, data []float32) []uint16 {
	half := make([]uint16, len(data))
	for i, v := range data {
		half[i] = uint16(bitsOf(t, v))
	}
	return half
}

// widen turns 16-bit elements into float32, exactly.
func widen(t DType, data []float32, half []uint16) {
	for i, h := range half {
		data[i] = fromBits(t, uint32(h))
	}
}

// bitsOf is the element of type t nearest to v, ties to even; U32 holds whole numbers.
func bitsOf(t DType, v float32) uint32 {
	switch t {
	case U32:
		return uint32(v)
	case F16:
		return uint32(float16.Fromfloat32(v).Bits())
	case BF16:
		b := math.Float32bits(v)
		if v != v {
			return b>>16 | 0x40 // quiet, whatever the lower half was
		}
		return (b + 0x7fff + b>>16&1) >> 16
	}
	return math.Float32bits(v)
}

// fromBits is the value of an element.
func fromBits(t DType, b uint32) float32 {
	switch t {
	case U32:
		return float32(b)
	case F16:
		return float16.Frombits(uint16(b)).Float32()
	case BF16:
		return math.Float32frombits(b << 16)
	}
	return math.Float32frombits(b)
}

// ulp is the largest distance of two neighbouring values of the type, relative to either: what a conversion to it may be off by,
// since a driver rounds either way.
func (d DType) ulp() float64 {
	switch d {
	case F16:
		return 0x1p-10
	case BF16:
		return 0x1p-7
	}
	return 0
}
