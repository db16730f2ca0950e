#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_16bit_storage : require
// Matrix product of 16-bit floats by cooperative matrices of any size (VK_NV_cooperative_matrix2); contract as
// matmul_coop.comp. The results are finished element by element where they are, whatever the rim and the epilogue.
// WORKGROUP: a workgroup of the size that the device asks for owns one matrix of BM x BN and loads its operands from memory as
// tensors, which the driver stages as it likes and which read as 0 beyond their bounds. 0, 1: A and B as 16-bit floats.
// Otherwise a subgroup owns one matrix of WM x WN and multiplies slices of BK staged as in matmul_coop.comp.
//! newer vulkan1.3
//! variant f16: -DELEMENT=float16_t
//! variant bf16: -DELEMENT=float16_t --bfloat16
//! variant workgroup_f16: -DELEMENT=float16_t -DWORKGROUP
//! variant workgroup_bf16: -DELEMENT=float16_t -DWORKGROUP --bfloat16
#include "index.glsl"
#include "matmul.glsl"
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint TRANS_A = 0;
layout(constant_id = 4) const uint BM = 64; // the workgroup's tile
layout(constant_id = 5) const uint BN = 64;
layout(constant_id = 6) const uint BK = 32;
layout(constant_id = 7) const uint WM = 32; // a subgroup's
layout(constant_id = 8) const uint WN = 32;
layout(constant_id = 9) const uint PAD = 1;

uint m_first, n_first; // where this matrix starts in y

// finish_element stores one result; the value that it returns goes nowhere.
float finish_element(const in uint row, const in uint col, const in float sum) {
	if (m_first + row < M && n_first + col < N) finish(m_first + row, n_first + col, sum);
	return sum;
}

#ifdef WORKGROUP
#define SCOPE gl_ScopeWorkgroup
#define ROWS BM
#define COLS BN
layout(binding = 0) readonly buffer A { ELEMENT a[]; };
layout(binding = 1) readonly buffer B { ELEMENT b[]; };
#else
#define SCOPE gl_ScopeSubgroup
#define ROWS WM
#define COLS WN
#include "matmul_slice.glsl"
#endif
#define SUMS coopmat<float, SCOPE, ROWS, COLS, gl_MatrixUseAccumulator>

void main() {
	uvec2 tile = tile_in_strip();
	uint m0 = tile.x * BM, n0 = tile.y * BN;
	SUMS s = SUMS(0.0);
#ifdef WORKGROUP
	tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV> la = createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV);
	tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV> lb = la;
	la = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(la, TRANS_A == 1 ? K : M, TRANS_A == 1 ? M : K), lda, 1);
	lb = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(lb, TRANS_B == 1 ? N : K, TRANS_B == 1 ? K : N), ldb, 1);
	tensorViewNV<2, false, 1, 0> transposed = createTensorViewNV(2, false, 1, 0);
	m_first = m0;
	n_first = n0;
	for (uint k0 = 0; k0 < K; k0 += BK) {
		coopmat<ELEMENT, SCOPE, ROWS, BK, gl_MatrixUseA> x;
		coopmat<ELEMENT, SCOPE, BK, COLS, gl_MatrixUseB> w;
		if (TRANS_A == 1) coopMatLoadTensorNV(x, a, start_a(), sliceTensorLayoutNV(la, k0, BK, m0, BM), transposed);
		else coopMatLoadTensorNV(x, a, start_a(), sliceTensorLayoutNV(la, m0, BM, k0, BK));
		if (TRANS_B == 1) coopMatLoadTensorNV(w, b, start_b(0), sliceTensorLayoutNV(lb, n0, BN, k0, BK), transposed);
		else coopMatLoadTensorNV(w, b, start_b(0), sliceTensorLayoutNV(lb, k0, BK, n0, BN));
		s = coopMatMulAdd(x, w, s);
	}
#else
	uint wm = gl_SubgroupID / (BN / WN) * WM, wn = gl_SubgroupID % (BN / WN) * WN; // this subgroup's place in the tile
	m_first = m0 + wm;
	n_first = n0 + wn;
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
		coopmat<ELEMENT, SCOPE, ROWS, BK, gl_MatrixUseA> x;
		coopmat<ELEMENT, SCOPE, BK, COLS, gl_MatrixUseB> w;
		if (TRANS_A == 1) coopMatLoad(x, sa, wm / 8, STRIDE_A, gl_CooperativeMatrixLayoutColumnMajor);
		else coopMatLoad(x, sa, wm * STRIDE_A, STRIDE_A, gl_CooperativeMatrixLayoutRowMajor);
		if (TRANS_B == 1) coopMatLoad(w, sb, wn * STRIDE_B, STRIDE_B, gl_CooperativeMatrixLayoutColumnMajor);
		else coopMatLoad(w, sb, wn / 8, STRIDE_B, gl_CooperativeMatrixLayoutRowMajor);
		s = coopMatMulAdd(x, w, s);
	}
#endif
	coopMatPerElementNV(s, s, finish_element);
}
