#version 460
#extension GL_GOOGLE_include_directive : require
// LayerNorm: y[n,d] = (x[n,d] - m[n]) r[n] g[d] + b[d],  m[n] = mean_d x[n,d],  r[n] = 1 / sqrt(mean_d (x[n,d] - m[n])^2 + eps)
//                                                                                                       arXiv 1607.06450
// 0 x [N,D] f32   1 g [D] f32   2 b [D] f32   3 y [N,D] f32   4 m [N] f32   5 r [N] f32, both kept for the gradient
// A workgroup takes some rows, four at a time, so that g and b are read once for them. rows: a multiple of 4. Dispatch
// ceil(N / rows) over x and y. Sums in f32, order fixed: same bits on the same device. x is read three times, from a cache again.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, x);
INPUT(1, g);
INPUT(2, b);
OUTPUT_RUNS(3, y);
layout(binding = 4) writeonly buffer M { float m[]; };
layout(binding = 5) writeonly buffer R { float r[]; };
layout(push_constant) uniform P { uint N, D, rows; float eps; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint cols = D / WIDE;
	for (; n < end; n += 4) {
		vec4 s = vec4(0), q = vec4(0);
		for (uint c = lane; c < cols; c += lanes)
			for (uint k = 0; k < 4; k++) s[k] += total(AT(x, min(n + k, N - 1) * cols + c));
		vec4 mean = group_sum(s) / float(D);
		for (uint c = lane; c < cols; c += lanes)
			for (uint k = 0; k < 4; k++) {
				REAL v = AT(x, min(n + k, N - 1) * cols + c) - mean[k];
				q[k] += total(v * v);
			}
		vec4 inv = 1 / sqrt(group_sum(q) / float(D) + eps);
		for (uint c = RUN * lane; c < cols; c += RUN * lanes) {
			REAL gain[RUN], bias[RUN], v[RUN];
			EACH(i) {
				gain[i] = AT(g, c + i);
				bias[i] = AT(b, c + i);
			}
			[[unroll]] for (uint k = 0; k < 4; k++) {
				uint o = (n + k) * cols + c;
				EACH(i) v[i] = (AT(x, o + i) - mean[k]) * inv[k] * gain[i] + bias[i];
				if (n + k < end) PUT_RUN(y, o, v, cols - c);
			}
		}
		if (lane < 4 && n + lane < end) {
			m[n + lane] = mean[lane];
			r[n + lane] = inv[lane];
		}
	}
}
