#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
// Matrix product for devices that are a CPU; contract as matmul.comp, with rows of A, B and y a multiple of 4 elements long.
// 0, 1, 2: A, B and the addend as texels of four elements; y is written in words of 64 bits: see texels.glsl.   6 y, as texels
// One subgroup makes ROWS x (COLS * 4 * lanes) results, no workgroup memory, no barrier (one costs more than the tile). A lane
// has neighbouring columns, so that it stores all of a row's at once: where K is short, stores take a third of the time.
// A's texels are spread over eight lanes and handed round by subgroupShuffle: subgroupBroadcast is a loop in some drivers,
// which looks for an active lane.
// Dispatch ceil(M / ROWS), ceil(N / (COLS * 4 * lanes)), items. Reads past an edge are clamped into the matrix and their results
// dropped; in K, where they would count, A is replaced by 0.
//! variant 8x4: -DROWS=8 -DCOLS=1 -DTRANS_A=0
//! variant 8x8: -DROWS=8 -DCOLS=2 -DTRANS_A=0
//! variant 16x8: -DROWS=16 -DCOLS=2 -DTRANS_A=0
//! variant 32x4: -DROWS=32 -DCOLS=1 -DTRANS_A=0
//! variant 32x8: -DROWS=32 -DCOLS=2 -DTRANS_A=0
//! variant 8x4_ta: -DROWS=8 -DCOLS=1 -DTRANS_A=1
//! variant 8x8_ta: -DROWS=8 -DCOLS=2 -DTRANS_A=1
//! variant 16x8_ta: -DROWS=16 -DCOLS=2 -DTRANS_A=1
//! variant 32x4_ta: -DROWS=32 -DCOLS=1 -DTRANS_A=1
//! variant 32x8_ta: -DROWS=32 -DCOLS=2 -DTRANS_A=1
#include "index.glsl"
#include "texels.glsl"
#define WIDE 4
#define TEXEL
#include "matmul.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint WHOLE = 0; // 1: N and where y's rows start are multiples of 8
TEXELS(0, a);
TEXELS(1, b);
TEXELS(6, before);
layout(binding = 3) buffer Y { u64vec2 y[]; };
layout(binding = 3) buffer Y8 { u64vec4 y8[]; }; // the same, 8 elements at a time

// store stores a lane's results of a row, at place o, of which the first count are within the matrix.
void store(uint o, uint count, vec4 v[COLS]) {
	if (COLS == 2 && WHOLE == 1) y8[o / 2] = u64vec4(words64(v[0]), words64(v[COLS - 1]));
	else for (uint c = 0; c < COLS; c++) if (c < count) y[o + c] = words64(v[c]);
}

void main() {
	uint lane = gl_SubgroupInvocationID, lanes = gl_WorkGroupSize.x;
	uint m0 = gl_WorkGroupID.x * ROWS, n0 = gl_WorkGroupID.y * (COLS * 4 * lanes);
	uint sa = lda / 4, sb = ldb / 4; // texels per row
	uint depth = inner(), a0 = start_a() / 4, b0 = start_b(gl_WorkGroupID.y) / 4;

	// Where this lane's texels of A lie, one for each eight rows: row m0 + 8 i + lane, four k; or, transposed, k + lane / 2,
	// four m. Lanes beyond the eighth hold the same again.
	uint am[ROWS / 8], ak = TRANS_A == 0 ? 0 : lane % 8 / 2;
	for (uint i = 0; i < ROWS / 8; i++)
		am[i] = TRANS_A == 0 ? a0 + min(m0 + 8 * i + lane % 8, M - 1) * sa
		                     : a0 + min((m0 + 8 * i) / 4 + lane % 2, (M - 1) / 4);
	// The columns of this lane within the tile: n[c] to n[c] + 3.
	uint n[COLS];
	for (uint c = 0; c < COLS; c++) n[c] = min(4 * (COLS * lane + c), N - 4 - n0);

	vec4 s[ROWS][COLS];
	for (uint r = 0; r < ROWS; r++) for (uint c = 0; c < COLS; c++) s[r][c] = vec4(0);
	// Rows of y lie far apart, and nothing else brings them into the cache; nor those of the gates' values.
	uint col = n0 + 4 * COLS * lane;
	for (uint r = 0; r < ROWS; r++) {
		uint o = place(min(m0 + r, M - 1), min(col, N - 4));
		s[r][0].x = nothing_of(imageLoad(before, int(o)).x);
		if ((EPILOGUE & GATES) != 0) s[r][0].yzw = vec3(nothing_of(imageLoad(before, int(o + UPS)).x), nothing_of(ADDED(o).x), nothing_of(ADDED(o + UPS).x));
	}

	for (uint k = 0; k < depth; k += 4) {
		vec4 va[ROWS / 8];
		for (uint i = 0; i < ROWS / 8; i++)
			va[i] = TRANS_A == 0 ? imageLoad(a, int(am[i] + k / 4))
			                     : (k + ak < depth ? imageLoad(a, int((k + ak) * sa + am[i])) : vec4(0));
		vec4 vb[4][COLS]; // for each of the four k, or transposed for each of this lane's four columns, four k
		for (uint c = 0; c < COLS; c++) for (uint j = 0; j < 4; j++)
			vb[j][c] = TRANS_B == 1 ? imageLoad(b, int(b0 + (n[c] + j) * sb + k / 4))
			                        : imageLoad(b, int(b0 + min(k + j, depth - 1) * sb + n[c] / 4));
		for (uint r = 0; r < ROWS; r++) {
			vec4 x; // A[m0 + r, k .. k + 3]
			if (TRANS_A == 0) x = subgroupShuffle(va[r / 8], r % 8);
			else for (uint j = 0; j < 4; j++) x[j] = subgroupShuffle(va[r / 8][r % 4], 2 * j + r % 8 / 4);
			for (uint c = 0; c < COLS; c++) {
				if (TRANS_B == 1)
					s[r][c] += vec4(dot(x, vb[0][c]), dot(x, vb[1][c]), dot(x, vb[2][c]), dot(x, vb[3][c]));
				else
					s[r][c] += x.x * vb[0][c] + x.y * vb[1][c] + x.z * vb[2][c] + x.w * vb[3][c];
			}
		}
	}

	if (col >= N) return;
	uint o = place(m0, col);
	for (uint r = 0; r < ROWS; r++) {
		if (m0 + r >= M) break;
		vec4 v[COLS], ups[COLS];
		for (uint c = 0; c < COLS; c++) if (WHOLE == 1 || col + 4 * c < N) {
			v[c] = result(o + c, col + 4 * c, s[r][c]);
			if ((EPILOGUE & GATES) != 0) gated(o + c, v[c], v[c], ups[c]);
		}
		if ((EPILOGUE & GATES) != 0) store(o + UPS, (N - col) / 4, ups);
		store(o, (N - col) / 4, v);
		o += ldy / 4;
	}
}
