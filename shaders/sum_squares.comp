#version 460
#extension GL_GOOGLE_include_directive : require
// Sums of squares of stretches of a vector: part[b] = sum of x[i]^2 over b chunk <= i < (b + 1) chunk; 0 past the end
// 0 x [n] f32   1 part [blocks] f32
// One workgroup per stretch. Dispatch blocks over x and y. Four sums side by side, then a tree, order fixed: same bits on the
// same device. Inf and NaN in, inf or NaN out; so do squares beyond f32.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
INPUT(0, x);
layout(binding = 1) writeonly buffer S { float part[]; };
layout(push_constant) uniform P { uint n, chunk, blocks; };

void main() {
	uint b = group_index(), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	if (b >= blocks) return;
	uint end = min((b + 1) * chunk, n) / WIDE, i = b * chunk / WIDE + lane;
	REAL s[4] = REAL[](REAL(0), REAL(0), REAL(0), REAL(0));
	for (; i + 3 * lanes < end; i += 4 * lanes)
		for (uint k = 0; k < 4; k++) {
			REAL v = AT(x, i + k * lanes);
			s[k] += v * v;
		}
	for (; i < end; i += lanes) {
		REAL v = AT(x, i);
		s[0] += v * v;
	}
	float sum = group_sum(total((s[0] + s[1]) + (s[2] + s[3])));
	if (lane == 0) part[b] = sum;
}
