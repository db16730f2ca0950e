#version 460
#extension GL_GOOGLE_include_directive : require
// Matrix product for GPUs; contract as matmul.comp.
// A workgroup of 256 makes 64 x 64 results from slices of 16 along K staged in workgroup memory; an invocation holds 4 x 4.
// Dispatch ceil(M / 64), ceil(N / 64), items. Slices are stored with K first, so that the inner loop reads consecutive words; rows are
// padded by 4 words against bank conflicts.
//! variant float:
//! variant half: -DHALVES
#include "index.glsl"
#include "matmul.glsl"
#include "operands.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint TRANS_A = 0;

const uint T = 64, S = 16, PAD = 4;
shared float ta[S][T + PAD];
shared float tb[S][T + PAD];

void main() {
	uint t = gl_LocalInvocationID.x, tx = t % 16, ty = t / 16;
	uint m0 = gl_WorkGroupID.x * T, n0 = gl_WorkGroupID.y * T;
	uint depth = inner(), a0 = start_a(), b0 = start_b(gl_WorkGroupID.y);
	float s[4][4];
	for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) s[i][j] = 0;
	for (uint k0 = 0; k0 < depth; k0 += S) {
		// Neighbouring invocations read neighbouring words, whichever way the operand is stored.
		for (uint i = t; i < T * S; i += 256) {
			uint mm = TRANS_A == 1 ? i % T : i / S, ka = TRANS_A == 1 ? i / T : i % S;
			uint m = m0 + mm, k = k0 + ka;
			ta[ka][mm] = m < M && k < depth ? (TRANS_A == 1 ? A(a0 + k * lda + m) : A(a0 + m * lda + k)) : 0;
			uint nn = TRANS_B == 1 ? i / S : i % T, kb = TRANS_B == 1 ? i % S : i / T;
			k = k0 + kb;
			tb[kb][nn] = n0 + nn < N && k < depth ? (TRANS_B == 1 ? B(b0 + nn * ldb + k) : B(b0 + k * ldb + nn)) : 0;
		}
		barrier();
		for (uint k = 0; k < S; k++) {
			float va[4], vb[4];
			for (uint i = 0; i < 4; i++) { va[i] = ta[k][4 * ty + i]; vb[i] = tb[k][4 * tx + i]; }
			for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) s[i][j] += va[i] * vb[j];
		}
		barrier(); // the next slice overwrites what is being read
	}
	for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) {
		uint m = m0 + 4 * ty + i, n = n0 + 4 * tx + j;
		if (m < M && n < N) finish(m, n, s[i][j]);
	}
}
