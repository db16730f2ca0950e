#version 460
#extension GL_GOOGLE_include_directive : require
// Draws ids from a distribution q with replacement, DRAWS of them per row:
//   ids[n,0..m) the distinct ones in ascending order, then 0xffffffff; weights[n,j] = how often ids[n,j] was drawn / DRAWS, then 0
// 0 q [N,V] f32, each row a distribution   1 index [N] u32, the row's number   2 seed [4] u32
// 3 ids [N,DRAWS] u32   4 weights [N,DRAWS] f32
// In whole numbers, so that every device draws the same: w[v] = q[v] 2^31 rounded, halves up; the ids lie along [0, sum of w) by
// (v mod 1024, v), so that a column's sum is coalesced reads of one lane; draw d takes the id at floor(r sum w / 2^32), with r
// word d mod 4 of Philox 4x32-10 (Salmon et al. 2011, doi 10.1145/2063384.2063405), key seed[0,1], counter
// (d / 4, index[n], seed[2], seed[3]). An id with q below 2^-32 is never drawn.
// A row that is no distribution (NaN, sums above 1.5 or to 0) has no ids and NaN weights.
// DRAWS <= 256. One workgroup per row. Dispatch N over x and y. An invocation makes at most V / (WIDE * workgroup) iterations, and
// V / 1024 + 21 for each of its draws, and those of the sort.
#include "index.glsl"
#include "wide.glsl"
#include "reduce.glsl"
#include "sort.glsl"
INPUT(0, q);
layout(binding = 1) readonly buffer X { uint index[]; };
layout(binding = 2) readonly buffer S { uint seed[]; };
layout(binding = 3) writeonly buffer I { uint ids[]; };
layout(binding = 4) writeonly buffer W { float weights[]; };
layout(push_constant) uniform P { uint N, V, DRAWS; };

#if defined(TEXEL) || defined(VEC4)
#define WHOLE uvec4
#define PART(v, e) v[e]
#define ELEMENT(a, i) AT(a, (i) / 4)[(i) % 4]
WHOLE halves(REAL f) { return WHOLE(greaterThanEqual(f, REAL(0.5))); }
#else
#define WHOLE uint
#define PART(v, e) v
#define ELEMENT(a, i) AT(a, i)
WHOLE halves(REAL f) { return WHOLE(f >= 0.5); }
#endif

WHOLE weight(REAL p) {
	REAL f = clamp(p, 0, 1) * 2147483648.0;
	WHOLE w = WHOLE(f);
	return w + halves(f - REAL(w));
}

uint weight_of(uint i) {
	float f = clamp(ELEMENT(q, i), 0, 1) * 2147483648.0;
	uint w = uint(f);
	return w + uint(f - float(w) >= 0.5);
}

uvec4 philox(uvec4 c, uvec2 k) {
	for (uint i = 0; i < 10; i++) {
		uint h0, l0, h1, l1;
		umulExtended(0xD2511F53, c.x, h0, l0);
		umulExtended(0xCD9E8D57, c.z, h1, l1);
		c = uvec4(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
		k += uvec2(0x9E3779B9, 0xBB67AE85);
	}
	return c;
}

const uint COLUMNS = 1024;
uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;

// Leaves the sums of all columns up to each in sort_keys, and gives the sum of all, 0 if the row is no distribution.
uint column_sums(uint row) {
	uint n = V / WIDE, begin = row * n;
	REAL mass = REAL(0);
	for (uint g = t; g < COLUMNS / WIDE; g += lanes) {
		WHOLE sum = WHOLE(0);
		for (uint i = g; i < n; i += COLUMNS / WIDE) {
			REAL p = AT(q, begin + i);
			mass += p;
			sum += weight(p);
		}
		for (uint e = 0; e < WIDE; e++) sort_keys[g * WIDE + e] = PART(sum, e);
	}
	sync();
	uint share = COLUMNS / lanes, own = 0, all;
	for (uint c = t * share; c < (t + 1) * share; c++) own += sort_keys[c];
	uint before = group_prefix(own, all);
	for (uint c = t * share; c < (t + 1) * share; c++) {
		before += sort_keys[c];
		sort_keys[c] = before;
	}
	float whole = group_sum(total(mass));
	sync();
	return floatBitsToUint(whole) <= floatBitsToUint(1.5) ? all : 0; // as bits, NaN and negative numbers are above
}

// The id at place target of the row.
uint find(uint row, uint target) {
	uint c = 0; // the first column whose end lies beyond target
	for (uint step = COLUMNS / 2; step > 0; step /= 2)
		if (sort_keys[c + step - 1] <= target) c += step;
	uint left = c == 0 ? target : target - sort_keys[c - 1], v = c;
	for (; v + COLUMNS < V; v += COLUMNS) {
		uint w = weight_of(row * V + v);
		if (left < w) break;
		left -= w;
	}
	return v;
}

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint all = column_sums(row), out_at = row * DRAWS;
	if (all == 0) {
		for (uint d = t; d < DRAWS; d += lanes) {
			ids[out_at + d] = 0xffffffff;
			weights[out_at + d] = uintBitsToFloat(0x7fc00000);
		}
		return;
	}
	for (uint d = t; d < DRAWS; d += lanes) {
		uvec4 r = philox(uvec4(d / 4, index[row], seed[2], seed[3]), uvec2(seed[0], seed[1]));
		uint target, low;
		umulExtended(r[d % 4], all, target, low);
		sort_ids[d] = find(row, target);
	}
	uint padded = power_of_two(DRAWS);
	sync();
	for (uint d = t; d < padded; d += lanes) {
		if (d >= DRAWS) sort_ids[d] = 0xffffffff;
		sort_keys[d] = 0; // the ids alone decide
	}
	group_sort(padded);
	// Each lane has a stretch of the draws and writes the runs that start in it.
	uint share = (DRAWS + lanes - 1) / lanes, from = min(t * share, DRAWS), to = min(from + share, DRAWS), starts = 0, distinct;
	for (uint d = from; d < to; d++) starts += uint(d == 0 || sort_ids[d - 1] != sort_ids[d]);
	uint at = group_prefix(starts, distinct);
	for (uint d = from; d < to; d++) {
		uint id = sort_ids[d], end = d + 1;
		if (d > 0 && sort_ids[d - 1] == id) continue;
		while (end < DRAWS && sort_ids[end] == id) end++;
		ids[out_at + at] = id;
		weights[out_at + at] = float(end - d) / float(DRAWS);
		at++;
	}
	for (uint d = distinct + t; d < DRAWS; d += lanes) {
		ids[out_at + d] = 0xffffffff;
		weights[out_at + d] = 0;
	}
}
