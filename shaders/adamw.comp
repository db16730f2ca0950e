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
INPUT(0, p);
INPUT(1, g);
INPUT(2, m);
INPUT(3, v);
QUADS(4, params);
QUADS(5, control);
OUTPUT(6, pOut);
OUTPUT(7, mOut);
OUTPUT(8, vOut);
OUTPUT(9, gOut);
layout(push_constant) uniform P { uint n, chunk, decayed; };

void main() {
	uint lanes = gl_WorkGroupSize.x, from = group_index() * chunk;
	if (from >= n) return;
	uint end = min(from + chunk, n) / WIDE, i = from / WIDE + gl_LocalInvocationID.x;
	vec4 a = AT(params, 0), b = AT(params, 1), order = AT(control, 0);
	float lr = a.x, b1 = a.y, b2 = a.z, eps = a.w, wd = b.x, c1 = b.y, c2 = b.z, multiplier = order.x;
	if (order.y == 0) {
		for (; i < end; i += lanes) PUT(gOut, i, REAL(0));
		return;
	}
	for (; i < end; i += lanes) {
		REAL grad = AT(g, i) * multiplier, weight = AT(p, i);
		REAL mean = b1 * AT(m, i) + (1 - b1) * grad;
		REAL square = b2 * AT(v, i) + (1 - b2) * grad * grad;
#if defined(TEXEL) || defined(VEC4)
		vec4 decay = wd * vec4(lessThan(4 * i + uvec4(0, 1, 2, 3), uvec4(decayed)));
#else
		float decay = i < decayed ? wd : 0;
#endif
		PUT(pOut, i, weight - lr * (c1 * mean / (sqrt(c2 * square) + eps) + decay * weight));
		PUT(mOut, i, mean);
		PUT(vOut, i, square);
		PUT(gOut, i, REAL(0));
	}
}
