#version 460
#extension GL_GOOGLE_include_directive : require
// Softmax of rows at a temperature T, and what is to be known of a label y in each of them:
//   q = softmax(z / T)
// 0 z [N,V] f32   1 sharpness [1] f32, 1/T > 0   2 labels [N] u32, >= V: masked; not read without STATS
// 3 q [N,V] f32, may be z   4 stats [N,2] f32: -log q(y), entropy of q   5 rank [N] u32: how many v have a larger z than y, or
// an equal one and v < y; 4 and 5 are not written without STATS
// A masked row has its q like any other; its stats are 0, its rank 0xffffffff.
// All in f32, the maximum subtracted first, in a fixed order: same bits on the same device. NaN in a row, NaN in that row.
// One workgroup per row. Dispatch N over x and y. Each element is read and written by one invocation only, so that
// overwriting needs no barrier; the label's is handed round before. An invocation makes 2 V / (WIDE * workgroup) iterations.
#include "index.glsl"
#include "wide.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
INPUT(0, z);
layout(binding = 1) readonly buffer H { float sharpness[]; };
layout(binding = 2) readonly buffer L { uint labels[]; };
OUTPUT(3, q);
layout(binding = 4) writeonly buffer S { vec2 stats[]; };
layout(binding = 5) writeonly buffer R { uint ranks[]; };
layout(constant_id = 2) const uint STATS = 0;
layout(push_constant) uniform P { uint N, V; };

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint n = V / WIDE, begin = row * n;
	uint label = STATS == 1 ? labels[row] : V;
	bool asked = label < V;
	float y = 0;
	if (asked) {
		uint at = label / WIDE;
		y = group_max(at % lanes == t ? total(mix(REAL(0), AT(z, begin + at), same(OFFSETS, REAL(label % WIDE)))) : LOWEST);
	}

	Softmax a = Softmax(LOWEST, 0);
	for (uint i = t; i < n; i += lanes) see(a, AT(z, begin + i) * sharpness[0]);
	a = whole(a);
	precise float r = 1 / a.s;

	REAL entropy = REAL(0), rank = REAL(0);
	for (uint i = t; i < n; i += lanes) {
		REAL x = AT(z, begin + i);
		precise REAL u = x * sharpness[0];
		precise REAL p = exp(u - a.m) * r;
		if (asked) {
			REAL index = REAL(WIDE * i) + OFFSETS;
			entropy += p * (a.m - u);
			rank += mix(REAL(0), REAL(1), either(above(x, REAL(y)), both(same(x, REAL(y)), above(REAL(label), index))));
		}
		PUT(q, begin + i, p);
	}
	if (STATS == 0) return;
	vec2 s = vec2(0);
	uint place = 0xffffffff;
	if (asked) {
		s = vec2(a.m - y * sharpness[0] + log(a.s), log(a.s) + group_sum(total(entropy)));
		place = uint(group_sum(total(rank)));
	}
	if (t > 0) return;
	stats[row] = s;
	ranks[row] = place;
}
