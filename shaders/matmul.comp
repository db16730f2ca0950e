#version 460
#extension GL_GOOGLE_include_directive : require
// Matrix product: y[m,n] = sum_k A[m,k] B[k,n] (+ addend[m,n])
// 0 A [M,K] f32, or [K,M] if TRANS_A   1 B [K,N] f32, or [N,K] if TRANS_B   2 addend [M,N] f32   3 y [M,N] f32, may be addend
// Sums in f32, k ascending: same bits on the same device. Any M, N, K. Nothing is read or written past an edge.
// The variant that runs everywhere, a plain register tile: an invocation makes 4 x 4 results, its columns a workgroup apart.
// Dispatch ceil(N / (4 workgroup)), ceil(M / 4).
//! variant float:
//! variant half: -DHALVES
#include "index.glsl"
#include "matmul.glsl"
#include "operands.glsl"
layout(constant_id = 1) const uint TRANS_A = 0;
layout(constant_id = 2) const uint TRANS_B = 0;
layout(binding = 2) readonly buffer C { float addend[]; };
layout(binding = 3) buffer Y { float y[]; };

void main() {
	uint group = gl_WorkGroupSize.x, n0 = gl_WorkGroupID.x * 4 * group + gl_LocalInvocationID.x, m0 = gl_WorkGroupID.y * 4;
	if (n0 >= N) return;
	uint m[4], n[4]; // clamped into the matrix; what is beyond is not stored
	float s[4][4];
	for (uint i = 0; i < 4; i++) {
		m[i] = min(m0 + i, M - 1);
		n[i] = min(n0 + i * group, N - 1);
		for (uint j = 0; j < 4; j++) s[i][j] = 0;
	}
	for (uint k = 0; k < K; k++) {
		float x[4], w[4];
		for (uint i = 0; i < 4; i++) {
			x[i] = TRANS_A == 1 ? A(k * lda + ca + m[i]) : A(m[i] * lda + ca + k);
			w[i] = TRANS_B == 1 ? B(n[i] * ldb + cb + k) : B(k * ldb + cb + n[i]);
		}
		for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) s[i][j] += x[i] * w[j];
	}
	for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) {
		if (m0 + i >= M || n0 + j * group >= N) continue;
		uint o = m[i] * ldy + cy + n[j];
		y[o] = add == 1 ? s[i][j] + addend[o] : s[i][j];
	}
}
