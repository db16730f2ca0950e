#version 460
#extension GL_GOOGLE_include_directive : require
// SwiGLU: y[n,f] = silu(gate) up,  gate = gu[n,f], up = gu[n,F+f], silu(a) = a / (1 + exp(-a))          arXiv 2002.05202
// 0 gu [N,2F] f32   1 y [N,F] f32
// A workgroup takes some rows: no division to find them. Dispatch ceil(N / rows) over x and y.
#include "index.glsl"
#include "wide.glsl"
INPUT(0, gu);
OUTPUT(1, y);
layout(push_constant) uniform P { uint N, F, rows; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lanes = gl_WorkGroupSize.x, cols = F / WIDE;
	for (; n < end; n++)
		for (uint c = gl_LocalInvocationID.x; c < cols; c += lanes) {
			REAL a = AT(gu, 2 * n * cols + c);
			PUT(y, n * cols + c, a / (1 + exp(-a)) * AT(gu, (2 * n + 1) * cols + c));
		}
}
