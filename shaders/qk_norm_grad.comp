#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of the norm of queries and keys (qk_norm.comp): with r the head's 1/rms, xhat = x r and c = mean_i g[i] dy[i] xhat[i],
//   dx[n,h,i] = r (g[i] dy[n,h,i] - xhat[n,h,i] c), and dy itself for the values
//   pq[n,h,i], pk[n,h-H,i] = dy[n,h,i] xhat[n,h,i], whose sums over n and h are the gains' gradients
// 0 x [N,row] f32   1 gq [DH] f32   2 gk [DH] f32   3 dy [N,row] f32   4 dx [N,row] f32   5 pq [N H,DH] f32   6 pk [N KV,DH] f32
// An invocation takes a head of a row, in order: same bits everywhere. Dispatch N row / DH invocations over x and y.
#include "index.glsl"
#include "wide.glsl"
layout(push_constant) uniform P { uint N, heads, DH, H, normed; float eps; }; // as in qk_norm.comp
INPUT(0, x);
INPUT(1, gq);
INPUT(2, gk);
INPUT(3, dy);
OUTPUT(4, dx);
OUTPUT(5, pq);
OUTPUT(6, pk);

void main() {
	uint i = thread_index(), n = i / heads, h = i % heads, cols = DH / WIDE, at = i * cols;
	if (i >= N * heads) return;
	if (h >= normed) {
		for (uint c = 0; c < cols; c++) PUT(dx, at + c, AT(dy, at + c));
		return;
	}
	float s = 0, t = 0;
	for (uint c = 0; c < cols; c++) {
		REAL v = AT(x, at + c), g = h < H ? AT(gq, c) : AT(gk, c);
		s += total(v * v);
		t += total(g * AT(dy, at + c) * v);
	}
	float r = 1 / sqrt(s / float(DH) + eps), back = r * r * r * t / float(DH); // r^2 c
	uint part = h < H ? (n * H + h) * cols : (n * (normed - H) + h - H) * cols;
	for (uint c = 0; c < cols; c++) {
		REAL v = AT(x, at + c), d = AT(dy, at + c) * r, g = h < H ? AT(gq, c) : AT(gk, c);
		PUT(dx, at + c, g * d - v * back);
		if (h < H) PUT(pq, part + c, d * v);
		else PUT(pk, part + c, d * v);
	}
}
