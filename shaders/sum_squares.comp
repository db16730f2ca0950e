#version 460
#extension GL_GOOGLE_include_directive : require
// Sums of squares of stretches of vectors: part[b] = sum of x[i]^2 over b chunk <= i < (b + 1) chunk; 0 past the end. Up to seven of them in
// one launch; the parts of vector k begin at starts[k].
// 0 to 6 x [sizes[k]] f32   7 part f32
// One workgroup per stretch. Dispatch groups[6] over x and y. Four sums side by side, then a tree, order fixed: same bits on the
// same device. Inf and NaN in, inf or NaN out; so do squares beyond f32.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
INPUT(0, x0);
INPUT(1, x1);
INPUT(2, x2);
INPUT(3, x3);
INPUT(4, x4);
INPUT(5, x5);
INPUT(6, x6);
layout(binding = 7) writeonly buffer S { float part[]; };
layout(push_constant) uniform P {
	uint chunk;
	uint sizes[7], starts[7];
	uint groups[7]; // workgroups up to the end of each vector
};

// SQUARES sums up elements i to end of one vector, where that is the workgroup's: an image cannot be chosen at run time.
#define SQUARES(k, x) \
	if (which == k) { \
		for (; i + 3 * lanes < end; i += 4 * lanes) \
			for (uint n = 0; n < 4; n++) { \
				REAL v = AT(x, i + n * lanes); \
				s[n] += v * v; \
			} \
		for (; i < end; i += lanes) { \
			REAL v = AT(x, i); \
			s[0] += v * v; \
		} \
	}

void main() {
	uint group = group_index(), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x, which = 0, before = 0;
	if (group >= groups[6]) return;
	for (uint k = 0; k < 6; k++) if (group >= groups[k]) {
		which = k + 1;
		before = groups[k];
	}
	uint b = group - before, end = min((b + 1) * chunk, sizes[which]) / WIDE, i = b * chunk / WIDE + lane;
	REAL s[4] = REAL[](REAL(0), REAL(0), REAL(0), REAL(0));
	SQUARES(0, x0)
	SQUARES(1, x1)
	SQUARES(2, x2)
	SQUARES(3, x3)
	SQUARES(4, x4)
	SQUARES(5, x5)
	SQUARES(6, x6)
	float sum = group_sum(total((s[0] + s[1]) + (s[2] + s[3])));
	if (lane == 0) part[starts[which] + b] = sum;
}
