#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
// Matrix product of 16-bit floats by cooperative matrices (VK_KHR_cooperative_matrix); contract as matmul.comp, but:
// 0, 1: A and B are f16 or bf16, eight to a uvec4, with rows a multiple of 8 elements long. Sums in f32, k ascending by K.
// A workgroup makes BM x BN results from slices of BK along K, staged in workgroup memory in the order in which they are
// stored: the matrix unit's loads transpose. While it multiplies one slice the next is on its way into registers.
// A subgroup makes WM x WN of them, as matrices of MM x NN. The slices' rows are padded by PAD uvec4 against bank conflicts.
// Dispatch ceil(M / BM), ceil(N / BN), items. Workgroups are renumbered into strips of rows, whose operands stay in a cache.
//! newer
//! variant f16: -DELEMENT=float16_t
//! variant bf16: -DELEMENT=float16_t --bfloat16
#include "index.glsl"
#include "matmul.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint TRANS_A = 0;
layout(constant_id = 4) const uint MM = 16; // the device's matrices
layout(constant_id = 5) const uint NN = 16;
layout(constant_id = 6) const uint KK = 16;
layout(constant_id = 7) const uint BM = 64; // the workgroup's tile
layout(constant_id = 8) const uint BN = 64;
layout(constant_id = 9) const uint BK = 32;
layout(constant_id = 10) const uint WM = 32; // a subgroup's
layout(constant_id = 11) const uint WN = 32;
layout(constant_id = 12) const uint PAD = 1;
#include "matmul_slice.glsl"

const uint SUBGROUPS = (BM / WM) * (BN / WN);
shared float rim[SUBGROUPS * MM * NN]; // a matrix of each subgroup, on its way to where not all of it is stored

void main() {
	uvec2 tile = tile_in_strip();
	uint m0 = tile.x * BM, n0 = tile.y * BN;
	uint wm = gl_SubgroupID / (BN / WN) * WM, wn = gl_SubgroupID % (BN / WN) * WN; // this subgroup's place in the tile
	// Whole tiles are stored as matrices, if there is no more to do than add; their rows must be aligned to 16 bytes.
	bool whole = (EPILOGUE & ~ADDEND) == 0 && m0 + BM <= M && n0 + BN <= N && ldy % 4 == 0 && cy % 4 == 0;
	uint y0 = gl_WorkGroupID.z * zy + cy;

	coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator> s[(WM / MM) * (WN / NN)];
	[[unroll]] for (uint i = 0; i < WM / MM; i++) [[unroll]] for (uint j = 0; j < WN / NN; j++) {
		s[i * (WN / NN) + j] = coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>(0.0);
		if (whole && EPILOGUE == ADDEND)
			coopMatLoad(s[i * (WN / NN) + j], addend, y0 + (m0 + wm + i * MM) * ldy + n0 + wn + j * NN, ldy, gl_CooperativeMatrixLayoutRowMajor);
	}

	uvec4 ra[EACH_A], rb[EACH_B];
	FETCH_A(0)
	FETCH_B(0)
	for (uint k0 = 0; k0 < K; k0 += BK) {
		barrier(); // the last slice has been multiplied
		STAGE(sa, EACH_A, ROWS_A, COLS_A, STRIDE_A, ra)
		STAGE(sb, EACH_B, ROWS_B, COLS_B, STRIDE_B, rb)
		barrier();
		if (k0 + BK < K) {
			FETCH_A((k0 + BK))
			FETCH_B((k0 + BK))
		}
		[[unroll]] for (uint k = 0; k < BK; k += KK) {
			coopmat<ELEMENT, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA> x[WM / MM];
			[[unroll]] for (uint i = 0; i < WM / MM; i++) {
				uint m = wm + i * MM;
				if (TRANS_A == 1) coopMatLoad(x[i], sa, k * STRIDE_A + m / 8, STRIDE_A, gl_CooperativeMatrixLayoutColumnMajor);
				else coopMatLoad(x[i], sa, m * STRIDE_A + k / 8, STRIDE_A, gl_CooperativeMatrixLayoutRowMajor);
			}
			[[unroll]] for (uint j = 0; j < WN / NN; j++) {
				coopmat<ELEMENT, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB> w;
				uint n = wn + j * NN;
				if (TRANS_B == 1) coopMatLoad(w, sb, n * STRIDE_B + k / 8, STRIDE_B, gl_CooperativeMatrixLayoutColumnMajor);
				else coopMatLoad(w, sb, k * STRIDE_B + n / 8, STRIDE_B, gl_CooperativeMatrixLayoutRowMajor);
				[[unroll]] for (uint i = 0; i < WM / MM; i++) s[i * (WN / NN) + j] = coopMatMulAdd(x[i], w, s[i * (WN / NN) + j]);
			}
		}
	}

	const uint MATRICES = (WM / MM) * (WN / NN);
	if (whole) {
		[[unroll]] for (uint q = 0; q < MATRICES; q++) {
			uint m = m0 + wm + q / (WN / NN) * MM, n = n0 + wn + q % (WN / NN) * NN;
			coopMatStore(s[q], y, y0 + m * ldy + n, ldy, gl_CooperativeMatrixLayoutRowMajor);
		}
		return;
	}
	// The loop that picks matrix t is unrolled, the one over t is not: with a variable index s would lie in memory, not in registers.
	uint base = gl_SubgroupID * MM * NN;
	[[dont_unroll]] for (uint t = 0; t < MATRICES; t++) {
		barrier(); // the last matrix has been read
		[[unroll]] for (uint q = 0; q < MATRICES; q++) {
			if (q == t) coopMatStore(s[q], rim, base, NN, gl_CooperativeMatrixLayoutRowMajor);
		}
		barrier(); // a subgroup's own stores too are seen by plain reads only after one
		uint m = m0 + wm + t / (WN / NN) * MM, n = n0 + wn + t % (WN / NN) * NN;
		for (uint e = gl_SubgroupInvocationID; e < MM * NN; e += gl_SubgroupSize) {
			if (m + e / NN < M && n + e % NN < N) finish(m + e / NN, n + e % NN, rim[base + e]);
		}
	}
}
