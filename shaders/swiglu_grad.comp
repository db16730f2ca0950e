#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of SwiGLU (swiglu.comp): with s = 1 / (1 + exp(-gate)),
//   dgu[n,f] = dy up s (1 + gate (1 - s)),  dgu[n,F+f] = dy gate s
// 0 gu [N,2F] f32   1 dy [N,F] f32   2 dgu [N,2F] f32
// A workgroup takes some rows. Dispatch ceil(N / rows) over x and y.
#include "index.glsl"
#include "wide.glsl"
INPUT(0, gu);
INPUT(1, dy);
OUTPUT(2, dgu);
layout(push_constant) uniform P { uint N, F, rows; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lanes = gl_WorkGroupSize.x, cols = F / WIDE;
	for (; n < end; n++)
		for (uint c = gl_LocalInvocationID.x; c < cols; c += lanes) {
			uint i = 2 * n * cols + c;
			REAL a = AT(gu, i), up = AT(gu, i + cols), d = AT(dy, n * cols + c);
			REAL s = 1 / (1 + exp(-a));
			PUT(dgu, i, d * up * s * (1 + a * (1 - s)));
			PUT(dgu, i + cols, d * a * s);
		}
}
