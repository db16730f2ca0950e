#version 460
#extension GL_GOOGLE_include_directive : require
// Matrix product from storage buffers without workgroup memory; contract as matmul.comp, with rows of A, B and y a multiple
// of 4 elements long. 0, 1: A and B as vec4. One subgroup makes ROWS x (COLS * 4 * lanes) results, without a barrier.
// A's loads are uniform over the lanes: one address, which a driver that sees it loads once.
// Dispatch ceil(M / ROWS), ceil(N / (COLS * 4 * lanes)), items. Reads past an edge are clamped into the matrix and their results
// dropped; in K, where they would count, A is replaced by 0.
//! variant 8x8: -DROWS=8 -DCOLS=2 -DTRANS_A=0
//! variant 16x8: -DROWS=16 -DCOLS=2 -DTRANS_A=0
//! variant 8x8_ta: -DROWS=8 -DCOLS=2 -DTRANS_A=1
//! variant 16x8_ta: -DROWS=16 -DCOLS=2 -DTRANS_A=1
#include "index.glsl"
#define WIDE 4
#include "matmul.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(binding = 0) readonly buffer A { vec4 a[]; };
layout(binding = 1) readonly buffer B { vec4 b[]; };

void main() {
	uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint m0 = gl_WorkGroupID.x * ROWS, n0 = gl_WorkGroupID.y * (COLS * 4 * lanes);
	uint sa = lda / 4, sb = ldb / 4; // vec4s per row
	uint depth = inner(), a0 = start_a() / 4, b0 = start_b(gl_WorkGroupID.y) / 4;

	// The columns of this lane within the tile: n[c] to n[c] + 3.
	uint n[COLS];
	for (uint c = 0; c < COLS; c++) n[c] = min(4 * (c * lanes + lane), N - 4 - n0);

	vec4 s[ROWS][COLS];
	for (uint r = 0; r < ROWS; r++) for (uint c = 0; c < COLS; c++) s[r][c] = vec4(0);

	for (uint k = 0; k < depth; k += 4) {
		vec4 vb[4][COLS]; // for each of the four k, or transposed for each of this lane's four columns, four k
		for (uint c = 0; c < COLS; c++) for (uint j = 0; j < 4; j++)
			vb[j][c] = TRANS_B == 1 ? b[b0 + (n[c] + j) * sb + k / 4]
			                        : b[b0 + min(k + j, depth - 1) * sb + n[c] / 4];
		for (uint r = 0; r < ROWS; r++) {
			vec4 x; // A[m0 + r, k .. k + 3]
			if (TRANS_A == 0) x = a[a0 + min(m0 + r, M - 1) * sa + k / 4];
			else for (uint j = 0; j < 4; j++) x[j] = k + j < depth ? a[a0 + (k + j) * sa + min(m0 + r, M - 1) / 4][r % 4] : 0;
			for (uint c = 0; c < COLS; c++) {
				if (TRANS_B == 1)
					s[r][c] += vec4(dot(x, vb[0][c]), dot(x, vb[1][c]), dot(x, vb[2][c]), dot(x, vb[3][c]));
				else
					s[r][c] += x.x * vb[0][c] + x.y * vb[1][c] + x.z * vb[2][c] + x.w * vb[3][c];
			}
		}
	}

	for (uint c = 0; c < COLS; c++) {
		uint col = n0 + 4 * (c * lanes + lane);
		if (col >= N) continue;
		for (uint r = 0; r < ROWS; r++) {
			if (m0 + r >= M) break;
			finish(m0 + r, col, s[r][c]);
		}
	}
}
