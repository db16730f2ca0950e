#version 460
#extension GL_GOOGLE_include_directive : require
// AdamW with decoupled weight decay (arXiv 1711.05101), in place; then g = 0 for the next accumulation:
//   g' = multiplier g;  m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2
//   p -= lr (c1 m / (sqrt(c2 v) + eps) + wd p),  wd only for i < decayed
// 0 p   1 g   2 m   3 v [n] f32   4 params [8] f32: lr, b1, b2, eps, wd, c1 = 1/(1-b1^t), c2 = 1/(1-b2^t), 0
// 5 control [4] f32: multiplier, finite, -, -   6 p   7 m   8 v   9 g: the same memory as 0, 2, 3, 1
// Where finite is 0, p, m and v are left alone: not written at all, so that their bits stay whatever g holds.
// A workgroup takes a stretch of chunk elements, so that reading the parameters costs little. Dispatch ceil(n / chunk).
// An invocation reads its elements before it writes them and no other's, so that in place is safe.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, p);
INPUT(1, g);
INPUT(2, m);
INPUT(3, v);
QUADS(4, params);
QUADS(5, control);
OUTPUT_RUNS(6, pOut);
OUTPUT_RUNS(7, mOut);
OUTPUT_RUNS(8, vOut);
OUTPUT_RUNS(9, gOut);
layout(push_constant) uniform P { uint n, chunk, decayed; };

void main() {
	uint lanes = gl_WorkGroupSize.x, from = group_index() * chunk;
	if (from >= n) return;
	uint end = min(from + chunk, n) / WIDE, i = from / WIDE + RUN * gl_LocalInvocationID.x;
	vec4 a = AT(params, 0), b = AT(params, 1), order = AT(control, 0);
	float lr = a.x, b1 = a.y, b2 = a.z, eps = a.w, wd = b.x, c1 = b.y, c2 = b.z, multiplier = order.x;
	REAL zero[RUN];
	EACH(k) zero[k] = REAL(0);
	if (order.y == 0) {
		for (; i < end; i += RUN * lanes) PUT_RUN(gOut, i, zero, end - i);
		return;
	}
	for (; i < end; i += RUN * lanes) {
		REAL weight[RUN], mean[RUN], square[RUN];
		EACH(k) {
			REAL grad = AT(g, i + k) * multiplier, before = AT(p, i + k);
			mean[k] = b1 * AT(m, i + k) + (1 - b1) * grad;
			square[k] = b2 * AT(v, i + k) + (1 - b2) * grad * grad;
#if defined(TEXEL) || defined(VEC4)
			vec4 decay = wd * vec4(lessThan(4 * (i + k) + uvec4(0, 1, 2, 3), uvec4(decayed)));
#else
			float decay = i + k < decayed ? wd : 0;
#endif
			weight[k] = before - lr * (c1 * mean[k] / (sqrt(c2 * square[k]) + eps) + decay * before);
		}
		PUT_RUN(pOut, i, weight, end - i);
		PUT_RUN(mOut, i, mean, end - i);
		PUT_RUN(vOut, i, square, end - i);
		PUT_RUN(gOut, i, zero, end - i);
	}
}
