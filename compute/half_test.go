package compute

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestHalfBits checks the 16-bit types on every pattern, and rounding against the two neighbours of random values.
func TestHalfBits(t *testing.T) {
	for _, typ := range []DType{F16, BF16} {
		for b := range uint32(1 << 16) {
			v := fromBits(typ, b)
			if got := bitsOf(typ, v); got != b && v == v {
				t.Fatalf("%v %#04x is %g, which is %#04x", typ, b, v, got)
			}
			if v != v {
				if w := fromBits(typ, bitsOf(typ, v)); w == w {
					t.Fatalf("%v %#04x is NaN, and becomes %g", typ, b, w)
				}
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 100000 {
			v := float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(30)-20)))
			b := bitsOf(typ, v)
			have := math.Abs(float64(fromBits(typ, b)) - float64(v))
			for _, other := range []uint32{b - 1, b + 1} {
				away := math.Abs(float64(fromBits(typ, other&0xffff)) - float64(v))
				if away < have || away == have && b%2 == 1 {
					t.Fatalf("%v: %g became %g, and %g is nearer, or even and as near", typ, v, fromBits(typ, b), fromBits(typ, other&0xffff))
				}
			}
		}
	}
	if v := fromBits(F16, bitsOf(F16, 65520)); !math.IsInf(float64(v), 1) {
		t.Errorf("65520 overflows a float16, and became %g", v)
	}
}

// TestClassesOfTypes: a choice for one type of operands is none for another, whose kernels are others.
func TestClassesOfTypes(t *testing.T) {
	seen := map[string]DType{}
	for _, typ := range []DType{F32, F16, BF16} {
		r := NewRecorder()
		r.MatMul(NewTensor(State, "a", typ, 8, 8), NewTensor(State, "b", typ, 8, 8), NN)
		p, err := r.Finish()
		if err != nil {
			t.Fatal(err)
		}
		c := class(p.Nodes[0])
		if other, ok := seen[c]; ok {
			t.Errorf("%v and %v are both of class %q", other, typ, c)
		}
		seen[c] = typ
	}
}
