// Attention's passes for devices that are a CPU: inputs as texels of four elements, a workgroup is one subgroup, no workgroup
// memory, no barrier. It owns ROWS rows and meets the other side's rows 4 * LANES at a time, four to a lane, in register tiles
// as matmul_texel.comp's: one operand's texels lie one to a lane and are handed round by subgroupShuffle. DH % 4 = 0.
// Blocks of one head follow each other, so that they find the other side in the cache. Include after index.glsl.
// Old drivers run a loop's body once more with all lanes masked after the test at its beginning has ended it, as nothing but the end
// of a loop jumps. Hence the loops over tiles, of which there are few, are left at their end. (Not so the products: what they sum
// up would be copied in every trip.)
#extension GL_KHR_shader_subgroup_shuffle : require
#include "attention.glsl"
#include "texels.glsl"
layout(constant_id = 2) const uint ROWS = 16; // own rows of a workgroup, a multiple of 8
const uint NA = ROWS / 8;
const uint STEP = 4 * LANES;                // other rows met at once
const uint COLS = (NT + LANES - 1) / LANES; // texels of a row in a lane
#define AT(name, i) imageLoad(name, int(i))

uint lane = gl_SubgroupInvocationID;

// take finds the workgroup's rows; false if it has none. All invocations agree.
bool take(uint heads, bool backwards) {
	uint g = group_index(), block = g % blocks, pair = g / blocks;
	return pair < heads * seqs && place(heads, pair, backwards ? blocks - 1 - block : block, ROWS);
}

// The own row that a workgroup's row r is, or the nearest that exists.
uint own_row(uint r) { return clamp(begin + r, m0, last - 1); }

// What an earlier launch left of a row's texel, or 0. It is loaded in any case, as nothing_of says why.
#define LEFT(earlier, before, i) mix(vec4(0), AT(before, i), bvec4(earlier))

// This lane's texel of the row's COLS: column c. Lanes beyond the row's end hold the last again.
uint column(uint c) { return min(c * LANES + lane, NT - 1); }

// An image cannot be handed to a function with its format, hence macros.

// s[r][i] += A[r] . B[i]: at is where this lane's rows of A start, row 8 i + lane % 8 for i, and bt where this lane's four of B do.
#define PRODUCTS(s, a, at, b, bt) \
	for (uint t = 0; t < NT; t++) { \
		vec4 va[NA], vb[4]; \
		UPTO(i, NA) va[i] = AT(a, at[i] + t); \
		UPTO(i, 4) vb[i] = AT(b, bt[i] + t); \
		UPTO(r, ROWS) { \
			vec4 x = subgroupShuffle(va[r / 8], r % 8); \
			s[r] += vec4(dot(x, vb[0]), dot(x, vb[1]), dot(x, vb[2]), dot(x, vb[3])); \
		} \
	}

// into[r] += sum_j p[r][j] B[j] over the rows [from, to), at most STEP, of B, whose rows are stride texels apart.
#define COMBINE(into, p, b, from, to, stride, start) \
	for (uint j = 0; j < min((to - from + 3) / 4, LANES); j++) { \
		vec4 v[4][COLS]; \
		UPTO(i, 4) UPTO(c, COLS) v[i][c] = AT(b, (min(from + 4 * j + i, to - 1) - s0) * stride + start + column(c)); \
		UPTO(r, ROWS) { \
			vec4 x = subgroupShuffle(p[r], j); \
			UPTO(c, COLS) into[r][c] += x.x * v[0][c] + x.y * v[1][c] + x.z * v[2][c] + x.w * v[3][c]; \
		} \
	}
