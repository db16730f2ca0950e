package compute

import (
	"maps"
	"math/rand/v2"

	"saltern/compute/ref"
)

// attentionCases are the shapes of interest, for each of the attention operations, and some again with spans.
func attentionCases(build func(a Attention, n int, t DType) Case) []Case {
	var list []Case
	for _, c := range []struct {
		why     string
		a       Attention
		n       int
		spanned bool
	}{
		{"one row meets only itself", Attention{1, 1, 4, 1}, 3, false},
		{"a whole layer's shape", Attention{4, 4, 32, 32}, 64, true},
		{"sequences shorter than a block, end of the batch inside one", Attention{2, 1, 16, 5}, 35, true},
		{"grouped queries, two texels per lane", Attention{4, 2, 64, 37}, 74, true},
		{"a head that fills no whole number of subgroups", Attention{2, 2, 20, 19}, 19, false},
		{"a head size that is no multiple of 4", Attention{3, 1, 6, 70}, 140, true},
		{"three texels per lane", Attention{2, 2, 96, 45}, 45, false},
		{"four texels per lane", Attention{2, 1, 128, 41}, 82, false},
		{"the largest head, whose arrays exceed the registers", Attention{2, 1, 256, 35}, 35, true},
		{"several blocks and several windows of keys", Attention{2, 1, 32, 200}, 200, true},
	} {
		k := build(c.a, c.n, F32)
		k.Why, k.Attr = c.why, c.a
		list = append(list, k)
		if c.spanned {
			k = withSpans(k)
			k.Why += ", documents and prefixes"
			list = append(list, k)
		}
	}
	for _, c := range []struct {
		why     string
		a       Attention
		n       int
		t       DType
		spanned bool
	}{
		{"in 16 bits, a head size that is no multiple of 4, in rows of an odd length", Attention{1, 1, 5, 70}, 70, F16, false},
		{"in bfloat16, a head that no matrices fill", Attention{2, 1, 20, 19}, 38, BF16, true},
		{"matrices that end within a sequence, grouped queries", Attention{4, 2, 32, 45}, 90, F16, true},
		{"whole blocks of rows", Attention{2, 2, 32, 128}, 128, F16, false},
		{"whole blocks of rows, of a larger head", Attention{1, 1, 48, 64}, 128, F16, true},
		{"matrices of bfloat16", Attention{2, 1, 32, 70}, 70, BF16, true},
	} {
		k := build(c.a, c.n, c.t)
		k.Why, k.Attr = c.why, c.a
		if c.spanned {
			k = withSpans(k)
		}
		list = append(list, k)
	}
	return list
}

// attentionCase is a case of the forward pass.
func attentionCase(a Attention, n int, t DType) Case {
	return Case{In: []Shape{{n, a.width()}}, Types: map[int]DType{0: t}}
}

// withSpans gives the case spans as its last input.
func withSpans(c Case) Case {
	c.Types = maps.Clone(c.Types)
	if c.Types == nil {
		c.Types = map[int]DType{}
	}
	c.Types[len(c.In)] = U32
	c.In = append(c.In, Shape{c.In[0][0], 2})
	return c
}

// randomAttention varies everything but the head size much: each costs the compilation of every variant.
func randomAttention(build func(a Attention, n int, t DType) Case) func(rng *rand.Rand) Case {
	return func(rng *rand.Rand) Case {
		kv, t := 1+rng.IntN(2), 1+rng.IntN(90)
		a := Attention{Heads: kv * (1 + rng.IntN(3)), KVHeads: kv, HeadSize: []int{6, 32}[rng.IntN(2)], T: t}
		c := build(a, t*(1+rng.IntN(3)), []DType{F32, F32, F16, BF16}[rng.IntN(4)])
		c.Attr = a
		if rng.IntN(2) == 0 {
			c = withSpans(c)
		}
		return c
	}
}

// fillSpans draws documents and prefixes for an input of spans, which is the last if there is one; one sequence in four is
// a single document, one in two has no prefix.
func fillSpans(rng *rand.Rand, in []ref.Tensor, attr any) {
	x, t := in[len(in)-1], attr.(Attention).T
	n := in[0].Shape[0]
	if len(x.Shape) != 2 || x.Shape[1] != 2 || x.Shape[0] != n {
		return
	}
	documents, prefixes := make([]uint32, n), make([]uint32, n/t)
	for i := range prefixes {
		cuts, length := rng.IntN(4) > 0, 1+rng.IntN(t)
		for j := range t {
			documents[i*t+j] = uint32(i)
			if j > 0 {
				documents[i*t+j] = documents[i*t+j-1]
				if cuts && rng.IntN(length) == 0 {
					documents[i*t+j]++
				}
			}
		}
		prefixes[i] = uint32(rng.IntN(2) * rng.IntN(t+2))
	}
	for i, v := range Spans(n, t, documents, prefixes) {
		x.Data[i] = float64(v)
	}
}
