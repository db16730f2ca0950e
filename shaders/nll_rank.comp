#version 460
#extension GL_GOOGLE_include_directive : require
// How surprising the gold token y of a row of logits is, and how many tokens would have been likelier:
//   nll = log sum_v exp(z_v) - z_y       rank = |{v: z_v > z_y, or z_v = z_y and v < y}|
// 0 z [N,V] f32   1 labels [N] u32, >= V: masked   2 nll [N] f32   3 rank [N] u32
// A masked row has 0 and 0xffffffff. rank < k says that y is among the k likeliest tokens.
// All in f32, the maximum subtracted first, in a fixed order: same bits on the same device. NaN in a row, NaN in its nll.
// One workgroup per row. Dispatch N over x and y. The row is read once: the label's logit is handed round before, so that sum and
// count go together. An invocation makes V / (WIDE * workgroup) iterations.
#include "index.glsl"
#include "wide.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
INPUT(0, z);
layout(binding = 1) readonly buffer L { uint labels[]; };
layout(binding = 2) writeonly buffer S { float nll[]; };
layout(binding = 3) writeonly buffer R { uint ranks[]; };
layout(push_constant) uniform P { uint N, V; };

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint n = V / WIDE, begin = row * n, label = labels[row];
	if (label >= V) {
		if (t > 0) return;
		nll[row] = 0;
		ranks[row] = 0xffffffff;
		return;
	}
	uint at = label / WIDE;
	float y = group_max(at % lanes == t ? total(mix(REAL(0), AT(z, begin + at), same(OFFSETS, REAL(label % WIDE)))) : LOWEST);

	Softmax a = Softmax(LOWEST, 0);
	REAL likelier = REAL(0);
	for (uint i = t; i < n; i += lanes) {
		REAL x = AT(z, begin + i), index = REAL(WIDE * i) + OFFSETS;
		see(a, x);
		likelier += mix(REAL(0), REAL(1), either(above(x, REAL(y)), both(same(x, REAL(y)), above(REAL(label), index))));
	}
	a = whole(a);
	float rank = group_sum(total(likelier));
	if (t > 0) return;
	nll[row] = a.m - y + log(a.s);
	ranks[row] = uint(rank);
}
