#version 460
#extension GL_GOOGLE_include_directive : require
// From sums of squares to the optimizer's orders: norm = scale sqrt(sum_i part[i]);
// control = {scale min(1, clip / (norm + 1e-6)), 1, norm, 0}, or {0, 0, norm, 0} where the norm is inf or NaN
// 0 params [4] f32: scale of the gradients, clip (0: none), 0, 0   1 part [n] f32   2 control [4] f32
// One workgroup in all. Order fixed: same bits on the same device. n / lanes <= 16k loop trips: part is one number per 16k.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
QUADS(0, params);
INPUT(1, part);
layout(binding = 2) writeonly buffer C { vec4 control[]; };
layout(push_constant) uniform P { uint n; };

void main() {
	uint lane = gl_LocalInvocationID.x;
	REAL s = REAL(0);
	for (uint i = lane; i < n / WIDE; i += gl_WorkGroupSize.x) s += AT(part, i);
	float sum = group_sum(total(s));
	if (lane != 0) return;
	float scale = AT(params, 0).x, clip = AT(params, 0).y, norm = scale * sqrt(sum);
	// By bits: a compiler may take for granted that comparisons see no NaN.
	bool finite = (floatBitsToUint(norm) & 0x7f800000u) != 0x7f800000u;
	float multiplier = clip > 0 ? scale * min(1.0, clip / (norm + 1e-6)) : scale;
	control[0] = finite ? vec4(multiplier, 1, norm, 0) : vec4(0, 0, norm, 0);
}
