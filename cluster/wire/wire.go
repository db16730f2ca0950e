package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Format is how a vector of float32 numbers is written. The zero value is Float32.
type Format int

const (
	Float32  Format = iota // as they are
	BFloat16               // their upper halves, rounded
	Int8                   // blocks of 256 with one scale
)

var names = []string{Float32: "float32", BFloat16: "bfloat16", Int8: "int8"}

// Formats are all of them, the exact one first.
func Formats() []Format { return []Format{Float32, BFloat16, Int8} }

func (f Format) String() string { return names[f] }

// MarshalText gives the name, as job files have it.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a name.
func (f *Format) UnmarshalText(text []byte) error {
	for i, name := range names {
		if name == string(text) {
			*f = Format(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no wire format; use one of %q", text, names)
}

// Block is how many numbers share a scale in Int8. Vectors cut at its multiples have the code of the uncut one, cut.
const Block = 256

// Size is how many bytes n numbers take.
func (f Format) Size(n int) int {
	switch f {
	case BFloat16:
		return 2 * n
	case Int8:
		return n + 4*((n+Block-1)/Block)
	}
	return 4 * n
}

// Encode writes x to code, whose length is Size(len(x)).
func (f Format) Encode(code []byte, x []float32) {
	f.check(code, x)
	switch f {
	case BFloat16:
		for len(x) >= 4 { // four at a time take half as long
			v, c := x[:4:4], code[:8:8]
			binary.LittleEndian.PutUint64(c, uint64(toBFloat16(v[0]))|uint64(toBFloat16(v[1]))<<16|uint64(toBFloat16(v[2]))<<32|uint64(toBFloat16(v[3]))<<48)
			x, code = x[4:], code[8:]
		}
		for i, v := range x {
			binary.LittleEndian.PutUint16(code[2*i:], toBFloat16(v))
		}
	case Int8:
		for len(x) > 0 {
			n := min(Block, len(x))
			encodeBlock(code[:4+n], x[:n])
			code, x = code[4+n:], x[n:]
		}
	default:
		copy(code, Bytes(x))
	}
}

// Decode reads code into x.
func (f Format) Decode(x []float32, code []byte) {
	f.check(code, x)
	switch f {
	case BFloat16:
		for i := range x {
			x[i] = fromBFloat16(binary.LittleEndian.Uint16(code[2*i:]))
		}
	case Int8:
		for len(x) > 0 {
			n := min(Block, len(x))
			scale := math.Float32frombits(binary.LittleEndian.Uint32(code))
			part := x[:n]
			for i, q := range code[4:][:len(part)] {
				part[i] = float32(int8(q)) * scale
			}
			code, x = code[4+n:], x[n:]
		}
	default:
		copy(Bytes(x), code)
	}
}

// Add adds the numbers in code to x, each in one rounding.
func (f Format) Add(x []float32, code []byte) {
	f.check(code, x)
	switch f {
	case BFloat16:
		for len(x) >= 4 {
			v, c := x[:4:4], binary.LittleEndian.Uint64(code[:8:8])
			v[0] += fromBFloat16(uint16(c))
			v[1] += fromBFloat16(uint16(c >> 16))
			v[2] += fromBFloat16(uint16(c >> 32))
			v[3] += fromBFloat16(uint16(c >> 48))
			x, code = x[4:], code[8:]
		}
		for i := range x {
			x[i] += fromBFloat16(binary.LittleEndian.Uint16(code[2*i:]))
		}
	case Int8:
		for len(x) > 0 {
			n := min(Block, len(x))
			scale := math.Float32frombits(binary.LittleEndian.Uint32(code))
			part := x[:n]
			for i, q := range code[4:][:len(part)] {
				part[i] += float32(float32(int8(q)) * scale) // the inner conversion forbids one fused rounding where a processor has it
			}
			code, x = code[4+n:], x[n:]
		}
	default:
		if uintptr(unsafe.Pointer(unsafe.SliceData(code)))%4 != 0 {
			code = append([]byte(nil), code...)
		}
		y := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(code))), len(x))
		for i, v := range y {
			x[i] += v
		}
	}
}

func (f Format) check(code []byte, x []float32) {
	if len(code) != f.Size(len(x)) {
		panic(fmt.Sprintf("bug: %d bytes for %d numbers in %s, which take %d", len(code), len(x), f, f.Size(len(x))))
	}
}

// Bytes is x's own memory: what Encode in Float32 would write, without writing it.
func Bytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// toBFloat16 rounds to nearest, ties to even. NaN stays NaN.
func toBFloat16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// encodeBlock writes the scale, max|x|/127, and x in units of it. A block of numbers so small that the unit has no reciprocal is
// zero, one with a number that is not finite has the scale NaN.
func encodeBlock(code []byte, x []float32) {
	var most uint32 // bits of numbers without sign are ordered as the numbers are, NaN last
	for _, v := range x {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	scale, unit := math.Float32frombits(most)/127, 127/math.Float32frombits(most)
	switch {
	case most >= 0x7f800000:
		scale, unit = float32(math.NaN()), 0
	case most < 0x00800000:
		scale, unit = 0, 0
	}
	binary.LittleEndian.PutUint32(code, math.Float32bits(scale))
	const whole = 3 << 22 // a float32 this large has no bits after the point, so that adding it rounds to nearest even
	code = code[4:][:len(x)]
	for i, v := range x {
		code[i] = byte(int8(int32(math.Float32bits(float32(v*unit)+whole)) - int32(0x4b400000)))
	}
}
