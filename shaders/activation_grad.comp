#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of an activation: dx[i] = dy[i] act'(x[i])
//   ACT 1, SiLU: s (1 + x (1-s)), s = 1/(1+exp(-x))                                                      arXiv 1702.03118
//   ACT 2, GELU by tanh: s + x s (1-s) t', s = 1/(1+exp(-t)), t = 2 sqrt(2/pi) (x + 0.044715 x^3)        arXiv 1606.08415
// 0 x [n] f32   1 dy [n] f32   2 dx [n] f32, may be dy
// A workgroup takes a stretch of chunk elements. Dispatch ceil(n / chunk) over x and y.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 3
#include "runs.glsl"
layout(constant_id = 2) const uint ACT = 1;
INPUT(0, x);
INPUT(1, dy);
OUTPUT_RUNS(2, dx);
layout(push_constant) uniform P { uint n, chunk; };

void main() {
	uint from = group_index() * chunk, end = min(from + chunk, n) / WIDE;
	if (from >= n) return;
	for (uint i = from / WIDE + RUN * gl_LocalInvocationID.x; i < end; i += RUN * gl_WorkGroupSize.x) {
		REAL d[RUN];
		EACH(k) {
			REAL v = AT(x, i + k), t = v, slope = REAL(1);
			if (ACT == 2) {
				t = 1.5957691216057308 * (v + 0.044715 * v * v * v);
				slope = 1.5957691216057308 * (1 + 0.134145 * v * v);
			}
			REAL s = 1 / (1 + exp(-t));
			d[k] = AT(dy, i + k) * s * (1 + v * (1 - s) * slope);
		}
		PUT_RUN(dx, i, d, end - i);
	}
}
