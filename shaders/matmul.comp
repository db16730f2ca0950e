#version 460
#extension GL_GOOGLE_include_directive : require
// Matrix product: y[m,n] = act(sum_k A[m,k] B[k,n] + bias[n]) + addend[m,n], as far as EPILOGUE asks for it; many if z > 1
// 0 A [M,K], or [K,M] if TRANS_A, f32 or 16-bit floats   1 B [K,N], or [N,K] if TRANS_B, likewise   2 addend [M,N] f32   3 y [M,N] f32, may be addend
// 4 bias [N] f32   5 pre [M,N] f32, the sum before the activation. What EPILOGUE leaves out is bound and not touched.
// Sums in f32, k ascending: same bits on the same device. Any M, N, K. Nothing is read or written past an edge.
// The variant that runs everywhere, a plain register tile: an invocation makes 4 x 4 results, its columns a workgroup apart.
// Dispatch ceil(M / 4), ceil(N / (4 workgroup)), items.
//! variant float:
//! variant half: -DHALVES
#include "index.glsl"
#include "matmul.glsl"
#include "operands.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint TRANS_A = 0;

void main() {
	uint group = gl_WorkGroupSize.x, n0 = gl_WorkGroupID.y * 4 * group + gl_LocalInvocationID.x, m0 = gl_WorkGroupID.x * 4;
	uint first = gl_WorkGroupID.y * 4 * group; // column of this tile
	if (n0 >= N) return;
	uint depth = inner(), a0 = start_a(), b0 = start_b(gl_WorkGroupID.y);
	uint m[4], n[4]; // clamped into the matrix; what is beyond is not stored
	float s[4][4];
	for (uint i = 0; i < 4; i++) {
		m[i] = min(m0 + i, M - 1);
		n[i] = min(n0 + i * group, N - 1) - first;
		for (uint j = 0; j < 4; j++) s[i][j] = 0;
	}
	for (uint k = 0; k < depth; k++) {
		float x[4], w[4];
		for (uint i = 0; i < 4; i++) {
			x[i] = TRANS_A == 1 ? A(a0 + k * lda + m[i]) : A(a0 + m[i] * lda + k);
			w[i] = TRANS_B == 1 ? B(b0 + n[i] * ldb + k) : B(b0 + k * ldb + n[i]);
		}
		for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) s[i][j] += x[i] * w[j];
	}
	for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++)
		if (m0 + i < M && n0 + j * group < N) finish(m[i], first + n[j], s[i][j]);
}
