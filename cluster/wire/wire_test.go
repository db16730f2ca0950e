package wire

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// numbers are n of them, over the magnitudes that gradients have, with zeros between.
func numbers(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		if r.IntN(10) > 0 {
			x[i] = float32(r.NormFloat64() * math.Exp2(float64(r.IntN(40)-30)))
		}
	}
	return x
}

func through(f Format, x []float32) []float32 {
	code, y := make([]byte, f.Size(len(x))), make([]float32, len(x))
	f.Encode(code, x)
	f.Decode(y, code)
	return y
}

// most is the largest magnitude in the block of x that holds i.
func most(x []float32, i int) float64 {
	m := 0.0
	for _, v := range x[i/Block*Block : min(len(x), (i/Block+1)*Block)] {
		m = max(m, math.Abs(float64(v)))
	}
	return m
}

func bound(f Format, x []float32, i int) float64 {
	switch f {
	case BFloat16:
		return max(math.Abs(float64(x[i]))*0x1p-8, 0x1p-134)
	case Int8:
		return max(most(x, i)/254*(1+0x1p-15), 0x1p-126)
	}
	return 0
}

// TestBounds holds each format to the bound of the package comment, and Add to Decode, at lengths around the block's.
func TestBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range Formats() {
		for _, n := range []int{0, 1, 2, 255, 256, 257, 511, 1000, 4096} {
			for _, scale := range []float32{1, 0x1p-120, 0x1p-140, 0x1p+80} {
				x := numbers(r, n)
				for i := range x {
					x[i] *= scale
				}
				y := through(f, x)
				sum, code := numbers(r, n), make([]byte, f.Size(n))
				before := append([]float32(nil), sum...)
				f.Encode(code, x)
				f.Add(sum, code)
				for i := range x {
					if d := math.Abs(float64(x[i]) - float64(y[i])); d > bound(f, x, i) {
						t.Fatalf("%s, %d of %d: %g became %g, %g away; at most %g", f, i, n, x[i], y[i], d, bound(f, x, i))
					}
					if want := before[i] + y[i]; sum[i] != want {
						t.Fatalf("%s, %d of %d: %g + %g gave %g", f, i, n, before[i], y[i], sum[i])
					}
				}
			}
		}
	}
}

// TestOnceIsEnough wants the numbers a code stands for to have that code again, on which it rests that every rank sees the same.
func TestOnceIsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, f := range []Format{Float32, BFloat16} {
		once := through(f, numbers(r, 1000))
		for i, v := range through(f, once) {
			if v != once[i] {
				t.Fatalf("%s: %g became %g the second time", f, once[i], v)
			}
		}
	}
}

// TestGolden fixes the bytes, ties included.
func TestGolden(t *testing.T) {
	for _, test := range []struct {
		f    Format
		x    []float32
		want string
	}{
		{Float32, []float32{1, -2.5}, "0000803f000020c0"},
		{BFloat16, []float32{1, 1 + 0x1p-8, 1 + 3*0x1p-8, -0x1p-133, math.MaxFloat32, float32(math.Inf(-1))}, "803f803f823f0180807f80ff"},
		{Int8, []float32{127, -127, 0.5, 1.5, -2.5, 63.4}, "0000803f7f810002fe3f"},
		{Int8, []float32{0x1p-130, 0}, "000000000000"},
	} {
		code := make([]byte, test.f.Size(len(test.x)))
		if test.f.Encode(code, test.x); hex.EncodeToString(code) != test.want {
			t.Errorf("%s of %v: %x, want %s", test.f, test.x, code, test.want)
		}
	}
}

// TestNotFinite wants a step that diverged to be seen by every rank.
func TestNotFinite(t *testing.T) {
	for _, f := range Formats() {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), math.Float32frombits(0x7f800001)} {
			x := make([]float32, 600)
			x[300] = bad
			y := through(f, x)
			if v := y[300]; v-v == 0 {
				t.Errorf("%s: %g became %g", f, bad, v)
			}
			if y[0] != 0 || y[599] != 0 {
				t.Errorf("%s: %g spoiled another block: %g, %g", f, bad, y[0], y[599])
			}
		}
	}
}

// TestCuts wants a vector cut at a block's end to have the code of the whole, cut.
func TestCuts(t *testing.T) {
	x := numbers(rand.New(rand.NewPCG(5, 6)), 3*Block+5)
	for _, f := range Formats() {
		whole, parts := make([]byte, f.Size(len(x))), make([]byte, f.Size(len(x)))
		f.Encode(whole, x)
		f.Encode(parts[:f.Size(Block)], x[:Block])
		f.Encode(parts[f.Size(Block):], x[Block:])
		if string(whole) != string(parts) {
			t.Errorf("%s: the parts differ from the whole", f)
		}
	}
}

// TestFeedback sends one vector many times: the sum of what arrives is that of what was sent, but for one rounding.
func TestFeedback(t *testing.T) {
	x := numbers(rand.New(rand.NewPCG(7, 8)), 700)
	for _, f := range Formats() {
		var e Feedback
		if err := e.Prepare(len(x)); err != nil {
			t.Fatal(err)
		}
		const steps = 200
		sum := make([]float64, len(x))
		for range steps {
			y, code := append([]float32(nil), x...), make([]byte, f.Size(len(x)))
			e.Encode(f, code[:f.Size(512)], y[:512], 0)
			e.Encode(f, code[:f.Size(188)], y[512:], 512)
			for i := range y {
				sum[i] += float64(y[i])
			}
		}
		for i, v := range x {
			// What is lost at the end is at most a rounding of a vector that is at most twice as large in each block.
			if d := math.Abs(sum[i]/steps - float64(v)); d > 2*bound(f, x, i)/steps+math.Abs(float64(v))*1e-6 {
				t.Errorf("%s, element %d: the mean over %d steps is %g, want %g", f, i, steps, sum[i]/steps, v)
			}
		}
	}
	var e Feedback
	e.Restore(make([]float32, 3))
	if err := e.Prepare(4); err == nil {
		t.Error("a Feedback of 3 numbers was taken for a vector of 4")
	}
}

// TestFeedbackStaysFinite wants one step that diverged to leave no trace.
func TestFeedbackStaysFinite(t *testing.T) {
	for _, f := range Formats() {
		var e Feedback
		_ = e.Prepare(3)
		code := make([]byte, f.Size(3))
		e.Encode(f, code, []float32{float32(math.Inf(1)), 1, math.MaxFloat32}, 0)
		for i, v := range e.Lost() {
			if v-v != 0 {
				t.Errorf("%s: %g is carried over at %d", f, v, i)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, f := range Formats() {
		var g Format
		text, _ := f.MarshalText()
		if err := g.UnmarshalText(text); err != nil || g != f {
			t.Errorf("%s was read as %s, %v", f, g, err)
		}
	}
	if err := new(Format).UnmarshalText([]byte("fp4")); err == nil {
		t.Error("fp4 was taken for a format")
	}
}

func BenchmarkAdd(b *testing.B) { each(b, func(f Format, x []float32, code []byte) { f.Add(x, code) }) }
func BenchmarkEncode(b *testing.B) {
	each(b, func(f Format, x []float32, code []byte) { f.Encode(code, x) })
}

func each(b *testing.B, do func(f Format, x []float32, code []byte)) {
	for _, f := range Formats() {
		b.Run(f.String(), func(b *testing.B) {
			x := numbers(rand.New(rand.NewPCG(9, 9)), 1<<17)
			code := make([]byte, f.Size(len(x)))
			b.SetBytes(int64(4 * len(x)))
			for b.Loop() {
				do(f, x, code)
			}
		})
	}
}
