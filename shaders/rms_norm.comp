#version 460
#extension GL_GOOGLE_include_directive : require
// RMSNorm: y[n,d] = x[n,d] g[d] r[n],  r[n] = 1 / sqrt(mean_d x[n,d]^2 + eps)          arXiv 1910.07467
// 0 x [N,D] f32   1 g [D] f32   2 y [N,D] f32   3 r [N] f32, kept for the gradient
// A workgroup takes some rows, four at a time, so that g is read once for them. rows: a multiple of 4. Dispatch ceil(N / rows)
// over x and y. Sum in f32, order fixed: same bits on the same device. x is read twice; the second time it comes from a cache.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, x);
INPUT(1, g);
OUTPUT_RUNS(2, y);
layout(binding = 3) writeonly buffer R { float r[]; };
layout(push_constant) uniform P { uint N, D, rows; float eps; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint cols = D / WIDE;
	for (; n < end; n += 4) {
		vec4 s = vec4(0);
		for (uint c = lane; c < cols; c += lanes)
			for (uint k = 0; k < 4; k++) {
				REAL v = AT(x, min(n + k, N - 1) * cols + c);
				s[k] += total(v * v);
			}
		vec4 inv = 1 / sqrt(group_sum(s) / float(D) + eps);
		for (uint c = RUN * lane; c < cols; c += RUN * lanes) {
			REAL gain[RUN], v[RUN];
			EACH(i) gain[i] = AT(g, c + i);
			[[unroll]] for (uint k = 0; k < 4; k++) {
				uint o = (n + k) * cols + c;
				EACH(i) v[i] = AT(x, o + i) * gain[i] * inv[k];
				if (n + k < end) PUT_RUN(y, o, v, cols - c);
			}
		}
		if (lane < 4 && n + lane < end) r[n + lane] = inv[lane];
	}
}
