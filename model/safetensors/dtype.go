package safetensors

import (
	"encoding/binary"
	"math"

	"github.com/x448/float16"
)

// DType is a storage type under the name that the format gives it.
type DType string

// The types that [File.Float32] can read. Others are recognised, and read by [File.Raw].
const (
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	U8   DType = "U8"
)

// Size returns the bytes of one element, 0 for a type that is not known.
func (d DType) Size() int {
	switch d {
	case "BOOL", U8, "I8", "F8_E5M2", "F8_E4M3":
		return 1
	case "I16", "U16", F16, BF16:
		return 2
	case "I32", "U32", F32:
		return 4
	case "I64", "U64", "F64", "C64":
		return 8
	}
	return 0
}

// decode fills dst with the values of the len(dst) elements in raw, exactly: each float16, bfloat16 and byte is a float32.
func decode(dst []float32, raw []byte, d DType) {
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = float16.Frombits(binary.LittleEndian.Uint16(raw[2*i:])).Float32()
		}
	case BF16: // the upper half of a float32
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
	case U8:
		for i := range dst {
			dst[i] = float32(raw[i])
		}
	}
}
