// The softmax of a row, carried over its elements: a maximum m and the sum s of exp(x - m) (arXiv 1805.02867). Include after
// index.glsl, wide.glsl and reduce.glsl.
// `precise` keeps a compiler from contracting one of two equal expressions: equal rows give equal bits.
#if defined(TEXEL) || defined(VEC4)
#define MASK bvec4
const REAL OFFSETS = REAL(0, 1, 2, 3);
float highest(REAL v) { return max(max(v.x, v.y), max(v.z, v.w)); }
float lowest(REAL v) { return min(min(v.x, v.y), min(v.z, v.w)); }
MASK same(REAL a, REAL b) { return equal(a, b); }
MASK above(REAL a, REAL b) { return greaterThan(a, b); }
MASK either(MASK a, MASK b) { return MASK(uvec4(a) | uvec4(b)); }
MASK both(MASK a, MASK b) { return MASK(uvec4(a) & uvec4(b)); }
#else
#define MASK bool
const REAL OFFSETS = 0;
float highest(REAL v) { return v; }
float lowest(REAL v) { return v; }
MASK same(REAL a, REAL b) { return a == b; }
MASK above(REAL a, REAL b) { return a > b; }
MASK either(MASK a, MASK b) { return a || b; }
MASK both(MASK a, MASK b) { return a && b; }
#endif

const float LOWEST = -3.0e38;

struct Softmax { float m, s; };

void see(inout Softmax a, REAL x) {
	precise float m = max(a.m, highest(x));
	precise float s = a.s * exp(a.m - m) + total(exp(x - m));
	a = Softmax(m, s);
}

Softmax whole(Softmax a) {
	precise float m = group_max(a.m);
	precise float s = a.s * exp(a.m - m);
	return Softmax(m, group_sum(s));
}

// The same, with the sum e of (x - m) exp(x - m) beside them: the entropy is log s - e / s. m and s have the same bits as above.
void see(inout Softmax a, inout float e, REAL x) {
	Softmax before = a;
	see(a, x);
	REAL d = x - a.m;
	e = (e + (before.m - a.m) * before.s) * exp(before.m - a.m) + total(d * exp(d));
}

Softmax whole(Softmax a, inout float e) {
	Softmax all = whole(a);
	e = group_sum((e + (a.m - all.m) * a.s) * exp(a.m - all.m));
	return all;
}
