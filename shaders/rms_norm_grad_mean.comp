#version 460
#extension GL_GOOGLE_include_directive : require
// First half of RMSNorm's gradient: c[n] = mean_d g[d] dy[n,d] xhat[n,d],  xhat = x r
// 0 x [N,D] f32   1 g [D] f32   2 r [N] f32   3 dy [N,D] f32   4 c [N] f32
// One workgroup per row. Dispatch N over x and y. Sum in f32, order fixed: same bits on the same device.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
INPUT(0, x);
INPUT(1, g);
QUADS(2, r);
INPUT(3, dy);
layout(binding = 4) writeonly buffer C { float mean[]; };
layout(push_constant) uniform P { uint N, D; };

void main() {
	uint n = group_index(), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	if (n >= N) return;
	uint cols = D / WIDE, row = n * cols;
	REAL s = REAL(0);
	for (uint c = lane; c < cols; c += lanes) s += AT(g, c) * AT(dy, row + c) * AT(x, row + c);
	float sum = group_sum(total(s));
	if (lane == 0) mean[n] = sum * AT(r, n / 4)[n % 4] / float(D);
}
