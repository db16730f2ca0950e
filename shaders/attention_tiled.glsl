// Attention's passes for any head size and device: SPLIT invocations side by side own a row, each every SPLIT-th group of four
// elements of it, so that the row fits into their registers; they add up their parts of a product in workgroup memory. The
// other side's rows are staged STAGE at a time there and met STEP at a time. HALVES: qkv and do are 16-bit floats, in words of
// half.glsl. Blocks with the most to meet come first. Include after index.glsl.
#include "attention.glsl"
layout(constant_id = 2) const uint STAGE = 4; // rows staged at once, a multiple of STEP
layout(constant_id = 3) const uint STEP = 4;  // rows met at once
layout(constant_id = 4) const uint SPLIT = 1; // invocations of a row, a power of two
const uint SHARE = (NT + SPLIT - 1) / SPLIT;  // groups of four elements that each holds
#define LANE gl_LocalInvocationID.x
#define GROUP(t) ((t) * SPLIT + LANE % SPLIT) // where in a row this invocation's group number t is

// All groups of four of this invocation; in two levels, since compilers unroll only short loops, and these must be for arrays to
// be registers.
#define EACH(t) [[unroll]] for (uint hi_ = 0; hi_ < (SHARE + 7) / 8; hi_++) [[unroll]] for (uint lo_ = 0, t = 8 * hi_; lo_ < 8; lo_++, t++) if (t < SHARE && (NT % SPLIT == 0 || GROUP(t) < NT))
#define FLOATS(number, name) layout(binding = number) readonly buffer B##number { float name[]; }
#define OUTPUT(number, name) layout(binding = number) buffer B##number { float name[]; }
#define PART(x, at, t, i) (DH % 4 == 0 || 4 * (t) + i < DH ? x[(at) + 4 * (t) + i] : 0)
#define RESUME_GROUP(x, at, t) vec4(x[(at) + 4 * (t)], PART(x, at, t, 1), PART(x, at, t, 2), PART(x, at, t, 3)) // of an output
#ifdef HALVES
#define HALF_ID 5
#include "half.glsl"
#define INPUT(number, name) layout(binding = number) readonly buffer B##number { uint name[]; }
#define ONE(x, at, t, i) (4 * (t) + i < DH ? widen_at(x[((at) + 4 * (t) + i) / 2], (at) + i) : 0)
#define LOAD_GROUP(x, at, t) (DH % 4 == 0 ? vec4(widen(x[(at) / 2 + 2 * (t)]), widen(x[(at) / 2 + 2 * (t) + 1])) : vec4(ONE(x, at, t, 0), ONE(x, at, t, 1), ONE(x, at, t, 2), ONE(x, at, t, 3)))
#else
#define INPUT FLOATS
#define LOAD_GROUP RESUME_GROUP
#endif
#define LOAD(x, at, t) LOAD_GROUP(x, at, GROUP(t))
#define RESUME(x, at, t) RESUME_GROUP(x, at, GROUP(t))
#define STORE(x, at, t, v) { vec4 v_ = v; uint t_ = GROUP(t); UPTO(i_, 4) if (DH % 4 == 0 || 4 * t_ + i_ < DH) x[(at) + 4 * t_ + i_] = v_[i_]; }
shared vec4 stage_a[STAGE * NT], stage_b[STAGE * NT];
#define A(j, t) stage_a[(j) * NT + GROUP(t)]
#define B(j, t) stage_b[(j) * NT + GROUP(t)]
#define STAGE_ROWS(name, src, from, to, width, column) \
	for (uint i_ = LANE; i_ < STAGE * NT; i_ += LANES) stage_##name[i_] = LOAD_GROUP(src, (min((from) + i_ / NT, (to) - 1) - s0) * (width) + (column), i_ % NT)

// GIVE and TOGETHER, a barrier between and one before the next GIVE, make products of STEP numbers of the parts in each
// invocation of a row. Two products at a time, of slots 0 and 1.
shared float parts[SPLIT > 1 ? 2 * STEP * LANES : 1];
#define GIVE(slot, x) UPTO(b_, STEP) parts[((slot) * STEP + b_) * LANES + LANE] = x[b_];
#define TOGETHER(slot, x) UPTO(b_, STEP) { \
	x[b_] = 0; \
	UPTO(i_, SPLIT) x[b_] += parts[((slot) * STEP + b_) * LANES + LANE / SPLIT * SPLIT + i_]; \
}

uint row; // this invocation's; where there are fewer, the nearest that exists
bool own; // whether it is this invocation's, to be written

// take finds the workgroup's rows; false if it has none. All invocations agree.
bool take(uint heads, bool backwards) {
	uint g = group_index(), block = g / (heads * seqs);
	if (block >= blocks || !place(heads, g % (heads * seqs), backwards ? blocks - 1 - block : block, LANES / SPLIT)) return false;
	row = clamp(begin + LANE / SPLIT, m0, last - 1);
	own = row == begin + LANE / SPLIT;
	return true;
}
