#version 460
#extension GL_GOOGLE_include_directive : require
// RMSNorm of each head of queries and keys: with g = gq for the first H heads of a row and gk for the next KV heads,
//   y[n,h,i] = x[n,h,i] g[i] / sqrt(mean_i x[n,h,i]^2 + eps); the heads behind them, the values, stay     arXiv 2302.05442
// 0 x [N,row] f32   1 gq [DH] f32   2 gk [DH] f32   3 y [N,row] f32
// An invocation takes a head of a row, in order: same bits everywhere. Dispatch N row / DH invocations over x and y.
#include "index.glsl"
#include "wide.glsl"
layout(push_constant) uniform P { uint N, heads, DH, H, normed; float eps; }; // heads of a row; H + KV of them are normed
INPUT(0, x);
INPUT(1, gq);
INPUT(2, gk);
OUTPUT(3, y);

void main() {
	uint i = thread_index(), h = i % heads, cols = DH / WIDE, at = i * cols;
	if (i >= N * heads) return;
	float s = 0, r = 1;
	if (h < normed) {
		for (uint c = 0; c < cols; c++) s += total(AT(x, at + c) * AT(x, at + c));
		r = 1 / sqrt(s / float(DH) + eps);
	}
	for (uint c = 0; c < cols; c++) {
		REAL g = h < H ? AT(gq, c) : AT(gk, c);
		if (h >= normed) g = REAL(1);
		PUT(y, at + c, AT(x, at + c) * g * r);
	}
}
