#version 460
#extension GL_GOOGLE_include_directive : require
// Matrix product: y[m,n] = sum_k A[m,k] B[k,n] (+ addend[m,n])
// 0 A [M,K] f32, or [K,M] if TRANS_A   1 B [K,N] f32, or [N,K] if TRANS_B   2 addend [M,N] f32   3 y [M,N] f32, may be addend
// Sums in f32, k ascending: same bits on the same device. Any M, N, K. Nothing is read or written past an edge.
// The variant that runs everywhere: an invocation makes 4 results of one column. Dispatch ceil(N / 64), ceil(M / 4).
#include "index.glsl"
#include "matmul.glsl"
layout(constant_id = 1) const uint TRANS_A = 0;
layout(constant_id = 2) const uint TRANS_B = 0;
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) readonly buffer B { float b[]; };
layout(binding = 2) readonly buffer C { float addend[]; };
layout(binding = 3) buffer Y { float y[]; };

void main() {
	uint n = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
	uint m0 = gl_WorkGroupID.y * 4;
	if (n >= N) return;
	uint rows = min(4u, M - m0);
	float s[4] = float[](0, 0, 0, 0);
	for (uint k = 0; k < K; k++) {
		float v = TRANS_B == 1 ? b[n * ldb + cb + k] : b[k * ldb + cb + n];
		for (uint r = 0; r < 4; r++) {
			uint m = m0 + min(r, rows - 1);
			s[r] += (TRANS_A == 1 ? a[k * lda + ca + m] : a[m * lda + ca + k]) * v;
		}
	}
	for (uint r = 0; r < rows; r++) {
		uint i = (m0 + r) * ldy + cy + n;
		y[i] = add == 1 ? s[r] + addend[i] : s[r];
	}
}
