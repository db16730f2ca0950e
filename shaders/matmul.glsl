// What every variant of the matrix product is told, and what becomes of a sum. Whoever includes this may set WIDE to 4: then
// results are finished four at a time, and rows of y are a multiple of 4 elements long; RESULTS, the first binding of what
// follows the operands; and TEXEL, to read the addend as texels and to store the results itself (texels.glsl).
#ifndef WIDE
#define WIDE 1
#endif
#ifndef RESULTS
#define RESULTS 2
#endif
#if WIDE == 4
#define REAL vec4
#else
#define REAL float
#endif
layout(push_constant) uniform P {
	uint M, N, K;       // of an item, z in the grid: of a batch, or a stretch of K
	uint lda, ldb, ldy; // elements per stored row of A, B, y
	uint ca, cb, cy;    // element at which the block starts in A, B, y
	uint cn;            // and in the bias
	uint za, zb, zy;    // elements from one item to the next in A, B, y
	uint end;           // K of all items, of which the last may have less
	uint pb;            // elements from one tile's columns of B to the next one's
};
layout(constant_id = 1) const uint EPILOGUE = 0; // these, together:
const uint ADDEND = 1, BIAS = 2, SILU = 4, GELU = 8;
const uint RESUME = 16; // sums of an earlier stretch of K lie in pre
const uint GATES = 32; // the results are the gradient of swiglu.comp's y: see gated
#ifdef TEXEL
TEXELS(RESULTS, addend);
#define ADDED(i) imageLoad(addend, int(i))
#else
layout(binding = RESULTS) readonly buffer C { REAL addend[]; };
layout(binding = RESULTS + 1) buffer Y { REAL y[]; };
#define ADDED(i) addend[i]
#endif
layout(binding = RESULTS + 2) readonly buffer Bias { REAL bias[]; };
layout(binding = RESULTS + 3) buffer Pre { REAL pre[]; };

// Where the operands of this workgroup's item start in A, and in B for the columns of its tile; how long its sums are.
uint start_a() { return gl_WorkGroupID.z * za + ca; }
uint start_b(uint tile) { return gl_WorkGroupID.z * zb + cb + tile * pb; }
uint inner() { return min(K, end - gl_WorkGroupID.z * K); }

// x sigmoid(t x'): SiLU, arXiv 1702.03118; GELU in its tanh form, arXiv 1606.08415, as 0.5 (1 + tanh u) = sigmoid(2 u).
REAL activated(REAL x) {
	REAL t = (EPILOGUE & GELU) != 0 ? 1.5957691216057308 * (x + 0.044715 * x * x * x) : x;
	return x / (1 + exp(-t));
}

// place is where row m, column n of y lies, in units of WIDE elements.
uint place(uint m, uint n) { return (gl_WorkGroupID.z * zy + m * ldy + cy + n) / WIDE; }

// result is what becomes of the sums of columns n to n + WIDE - 1, at place o: act(sum + bias) + addend. The sums before an
// activation are kept for its gradient.
REAL result(uint o, uint n, REAL s) {
	if ((EPILOGUE & RESUME) != 0) s += pre[o];
	if ((EPILOGUE & BIAS) != 0) s += bias[(cn + n) / WIDE];
	if ((EPILOGUE & (SILU | GELU)) != 0) {
		pre[o] = s;
		s = activated(s);
	}
	return (EPILOGUE & ADDEND) != 0 ? s + ADDED(o) : s;
}

// gated makes of d, the gradient of SwiGLU's y, that of its gates, at place o of y, and of its ups, beside them (swiglu_grad.comp); their
// values are in addend, as y has them.
#define UPS (ldy / 2 / WIDE)
void gated(uint o, REAL d, out REAL dgate, out REAL dup) {
	REAL gate = ADDED(o), s = 1 / (1 + exp(-gate));
	dgate = d * ADDED(o + UPS) * s * (1 + gate * (1 - s));
	dup = d * gate * s;
}

#ifndef TEXEL
// finish stores the results at row m, columns n to n + WIDE - 1, given their sums.
void finish(uint m, uint n, REAL s) {
	uint o = place(m, n);
	REAL v = result(o, n, s);
	if ((EPILOGUE & GATES) != 0) gated(o, v, y[o], y[o + UPS]);
	else y[o] = v;
}
#endif

// tile_in_strip renumbers the workgroups: down eight rows of tiles, then on to the next column, so that those at work at one
// time share operands in a cache. Row and column of tiles.
uvec2 tile_in_strip() {
	const uint STRIP = 8;
	uint nx = gl_NumWorkGroups.y, strip = STRIP * nx, id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
	uint rows = min(STRIP, gl_NumWorkGroups.x - id / strip * STRIP);
	return uvec2(id / strip * STRIP + id % strip % rows, id % strip / rows);
}
