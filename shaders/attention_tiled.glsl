// Attention's passes for any head size and device: an invocation owns a row, the other side's rows are staged STAGE at a time
// in workgroup memory and met STEP at a time. HALVES: qkv and do are 16-bit floats, in words of half.glsl. Blocks with the most to meet come first. Include after index.glsl.
#include "attention.glsl"
layout(constant_id = 2) const uint STAGE = 4; // rows staged at once, a multiple of STEP
layout(constant_id = 3) const uint STEP = 4;  // rows met at once

// All groups of four of a row; in two levels, since compilers unroll only short loops, and these must be for arrays to be
// registers.
#define EACH(t) [[unroll]] for (uint hi_ = 0; hi_ < (NT + 7) / 8; hi_++) [[unroll]] for (uint lo_ = 0, t = 8 * hi_; lo_ < 8; lo_++, t++) if (t < NT)
#define FLOATS(number, name) layout(binding = number) readonly buffer B##number { float name[]; }
#define OUTPUT(number, name) layout(binding = number) buffer B##number { float name[]; }
#define PART(x, at, t, i) (DH % 4 == 0 || 4 * (t) + i < DH ? x[(at) + 4 * (t) + i] : 0)
#define RESUME(x, at, t) vec4(x[(at) + 4 * (t)], PART(x, at, t, 1), PART(x, at, t, 2), PART(x, at, t, 3)) // of an output
#ifdef HALVES
#define HALF_ID 4
#include "half.glsl"
#define INPUT(number, name) layout(binding = number) readonly buffer B##number { uint name[]; }
#define ONE(x, at, t, i) (4 * (t) + i < DH ? widen_at(x[((at) + 4 * (t) + i) / 2], (at) + i) : 0)
#define LOAD(x, at, t) (DH % 4 == 0 ? vec4(widen(x[(at) / 2 + 2 * (t)]), widen(x[(at) / 2 + 2 * (t) + 1])) : vec4(ONE(x, at, t, 0), ONE(x, at, t, 1), ONE(x, at, t, 2), ONE(x, at, t, 3)))
#else
#define INPUT FLOATS
#define LOAD RESUME
#endif
#define STORE(x, at, t, v) { vec4 v_ = v; UPTO(i_, 4) if (DH % 4 == 0 || 4 * (t) + i_ < DH) x[(at) + 4 * (t) + i_] = v_[i_]; }
shared vec4 stage_a[STAGE * NT], stage_b[STAGE * NT];
#define A(j, t) stage_a[(j) * NT + (t)]
#define B(j, t) stage_b[(j) * NT + (t)]
#define STAGE_ROWS(name, src, from, to, width, column) \
	for (uint i_ = gl_LocalInvocationID.x; i_ < STAGE * NT; i_ += LANES) stage_##name[i_] = LOAD(src, (min((from) + i_ / NT, (to) - 1) - s0) * (width) + (column), i_ % NT)

uint row; // this invocation's; where there are fewer, the nearest that exists
bool own; // whether it is this invocation's, to be written

// take finds the workgroup's rows; false if it has none. All invocations agree.
bool take(uint heads, bool backwards) {
	uint g = group_index(), block = g / (heads * seqs);
	if (block >= blocks || !place(heads, g % (heads * seqs), backwards ? blocks - 1 - block : block, LANES)) return false;
	row = clamp(begin + gl_LocalInvocationID.x, m0, last - 1);
	own = row == begin + gl_LocalInvocationID.x;
	return true;
}
