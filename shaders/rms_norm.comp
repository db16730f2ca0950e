#version 460
#extension GL_GOOGLE_include_directive : require
// RMSNorm: y[n,d] = x[n,d] g[d] r[n],  r[n] = 1 / sqrt(mean_d x[n,d]^2 + eps)          arXiv 1910.07467
// 0 x [N,D] f32   1 g [D] f32   2 y [N,D] f32   3 r [N] f32, kept for the gradient
// One workgroup per row. Dispatch N over x and y. Sum in f32, order fixed: same bits on the same device.
// x is read twice; the second time it comes from a cache.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
INPUT(0, x);
INPUT(1, g);
OUTPUT(2, y);
layout(binding = 3) writeonly buffer R { float r[]; };
layout(push_constant) uniform P { uint N, D; float eps; };

void main() {
	uint n = group_index(), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	if (n >= N) return;
	uint cols = D / WIDE, row = n * cols;
	REAL s = REAL(0);
	for (uint c = lane; c < cols; c += lanes) {
		REAL v = AT(x, row + c);
		s += v * v;
	}
	float inv = 1 / sqrt(group_sum(total(s)) / float(D) + eps);
	for (uint c = lane; c < cols; c += lanes) y[row + c] = AT(x, row + c) * AT(g, c) * inv;
	if (lane == 0) r[n] = inv;
}
