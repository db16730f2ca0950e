#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of SwiGLU (swiglu.comp): with s = 1 / (1 + exp(-gate)),
//   dgu[n,f] = dy up s (1 + gate (1 - s)),  dgu[n,F+f] = dy gate s
// 0 gu [N,2F] f32   1 dy [N,F] f32   2 dgu [N,2F] f32
// A workgroup takes some rows. Dispatch ceil(N / rows) over x and y.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, gu);
INPUT(1, dy);
OUTPUT_RUNS(2, dgu);
layout(push_constant) uniform P { uint N, F, rows; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lanes = gl_WorkGroupSize.x, cols = F / WIDE;
	uint first = RUN * gl_LocalInvocationID.x;
	if (n >= end || first >= cols) return;
	// One loop, left at its end: where only the ends of loops jump, others run their body once more for nothing.
	for (uint c = first;;) {
		uint i = 2 * n * cols + c;
		REAL dgate[RUN], dup[RUN];
		EACH(k) {
			REAL a = AT(gu, i + k), up = AT(gu, i + cols + k), d = AT(dy, n * cols + c + k);
			REAL s = 1 / (1 + exp(-a));
			dgate[k] = d * up * s * (1 + a * (1 - s));
			dup[k] = d * a * s;
		}
		PUT_RUN(dgu, i, dgate, cols - c);
		PUT_RUN(dgu, i + cols, dup, cols - c);
		if ((c += RUN * lanes) < cols) continue;
		if (++n == end) break;
		c = first;
	}
}
