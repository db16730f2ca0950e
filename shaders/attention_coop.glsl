// Attention's passes by cooperative matrices (VK_KHR_cooperative_matrix), for qkv of 16-bit floats. A workgroup of SUBGROUPS
// subgroups owns ROWS rows of one side, MM for each subgroup; the other side's rows are staged in workgroup memory, STEP at a
// time, in the order in which they are stored, eight numbers to a uvec4: the matrix unit's loads transpose.
// All sums are f32; what goes from one product into the next is rounded to 16 bits. DH % 16 = 0, whole tensors are bound.
// Include after index.glsl.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#include "attention.glsl"
layout(constant_id = 2) const uint MM = 16; // the device's matrices
layout(constant_id = 3) const uint NN = 16;
layout(constant_id = 4) const uint KK = 16;
layout(constant_id = 5) const uint STEP = 16; // other rows met at once, a multiple of NN and KK

const uint SUBGROUPS = 4, ROWS = SUBGROUPS * MM;
const uint D8 = DH / 8, PAD = 1; // uvec4 of a row of a head; between rows in workgroup memory, against bank conflicts
const uint STRIDE = D8 + PAD;
const uint EACH = (STEP * D8 + LANES - 1) / LANES; // uvec4 of the staged rows that an invocation fetches
const uint SHARE = LANES / SUBGROUPS / MM; // invocations for each own row, between two products
const uint PAIRS = STEP / 2 / SHARE;       // pairs of numbers of its row that an invocation has
const uint SCORES = (STEP > NN ? STEP : NN) + 4, WORDS = STEP / 2 + 4; // lengths of rows in workgroup memory, of f32 and 16-bit pairs
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor
#define LEFT coopmat<ELEMENT, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA>
#define RIGHT coopmat<ELEMENT, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB>
#define SUMS coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>

// FETCH reads this invocation's part of the other side's rows from row r0 on, of a tensor whose rows are width uvec4 long,
// from column c0 on. Rows from bound on are 0.
#define FETCH(name, src, r0, bound, width, c0) UPTO(i_, EACH) { \
		uint at_ = i_ * LANES + gl_LocalInvocationID.x, r_ = at_ / D8; \
		name[i_] = at_ < STEP * D8 && (r0) + r_ < (bound) ? src[((r0) + r_) * (width) + (c0) + at_ % D8] : uvec4(0); \
	}
// STAGE puts it in workgroup memory, from row r0 on.
#define STAGE(dst, r0, name) UPTO(i_, EACH) { \
		uint at_ = i_ * LANES + gl_LocalInvocationID.x; \
		if (at_ < STEP * D8) dst[((r0) + at_ / D8) * STRIDE + at_ % D8] = name[i_]; \
	}
// STAGE_OWN copies the own rows; where there are fewer, the last again.
#define STAGE_OWN(dst, src, width, c0) for (uint i_ = gl_LocalInvocationID.x; i_ < ROWS * D8; i_ += LANES) \
		dst[i_ / D8 * STRIDE + i_ % D8] = src[min(begin + i_ / D8, last - 1) * (width) + (c0) + i_ % D8]
#define LOAD_OWN(x, src) UPTO(k_, DH / KK) coopMatLoad(x[k_], src, gl_SubgroupID * MM * STRIDE + k_ * KK / 8, STRIDE, ROW_MAJOR);

// take finds the workgroup's rows; false if it has none. All invocations agree.
bool take(uint heads, bool backwards) {
	uint g = group_index(), block = g / (heads * seqs);
	return block < blocks && place(heads, g % (heads * seqs), backwards ? blocks - 1 - block : block, ROWS);
}

// STORE_ROWS writes the subgroup's sums to columns c0 on of its rows in dst, whose rows are width elements long; by way of the
// array spare, of ROWS rows of at least NN elements, where the workgroup has fewer rows.
#define STORE_ROWS(dst, width, c0, y) UPTO(d_, DH / NN) { \
		uint n_ = begin + gl_SubgroupID * MM, base_ = gl_SubgroupID * MM * SPARE; \
		if (begin + ROWS <= last) { \
			coopMatStore(y[d_], dst, n_ * (width) + (c0) + d_ * NN, width, ROW_MAJOR); \
			continue; \
		} \
		barrier(); \
		coopMatStore(y[d_], spare, base_, SPARE, ROW_MAJOR); \
		barrier(); \
		for (uint e_ = gl_SubgroupInvocationID; e_ < MM * NN; e_ += LANES / SUBGROUPS) \
			if (n_ + e_ / NN < last) dst[(n_ + e_ / NN) * (width) + (c0) + d_ * NN + e_ % NN] = spare[base_ + e_ / NN * SPARE + e_ % NN]; \
	}
