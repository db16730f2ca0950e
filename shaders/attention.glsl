// What the three passes of attention share: each invocation owns rows of one side (queries, or keys and values) and meets
// the rows of the other side, which are staged STAGE at a time for the whole workgroup. Include after index.glsl.
// A launch sees a window [m0, m1) of its own rows and a window [s0, s1) of the other side's; what it finds for a row
// continues what the launch over the previous window wrote. Rows count from the start of the batch.
// TEXEL: the workgroup is one subgroup, the staged rows lie in its registers, one texel per lane, handed round by
// subgroupShuffle; no workgroup memory, no barrier. DH % 4 = 0. Otherwise they lie in workgroup memory, for any DH.
// (Shuffle, not broadcast: Mesa 22.3.6 compiles the former to one instruction, the latter to a search for the first active
// lane, twenty times as long.)
#extension GL_EXT_control_flow_attributes : require
layout(constant_id = 1) const uint DH = 32;   // head size
layout(constant_id = 2) const uint STAGE = 4; // rows staged at once; STEP if TEXEL, else a multiple of STEP
layout(constant_id = 3) const uint STEP = 4;  // rows met at once
layout(constant_id = 4) const uint ROWS = 1;  // own rows per invocation
layout(push_constant) uniform P {
	uint T, H, KV, W;        // rows of a sequence, query heads, key heads, elements of a row of qkv
	uint m0, m1, s0, s1;     // windows of own and other rows
	uint seq0, seqs, blocks; // first sequence with own rows in the window, how many, blocks of own rows in each
};

const uint LANES = gl_WorkGroupSize.x;
const uint NT = (DH + 3) / 4; // groups of four elements in a row of a head
const float LOG2E = 1.44269504;
#define SCALE inversesqrt(float(DH))
const float NEVER = -1e30; // a score that is masked: exp2 of it is 0, and no inf - inf arises

// All groups of four of a row; in two levels, since compilers unroll only short loops, and these must be for arrays to be
// registers.
#define EACH(t) [[unroll]] for (uint hi_ = 0; hi_ < (NT + 7) / 8; hi_++) [[unroll]] for (uint lo_ = 0, t = 8 * hi_; lo_ < 8; lo_++, t++) if (t < NT)
#define UPTO(i, n) [[unroll]] for (uint i = 0; i < n; i++)

#ifdef TEXEL
#extension GL_KHR_shader_subgroup_shuffle : require
#define INPUT(number, name) layout(binding = number) uniform samplerBuffer name
#define OUTPUT(number, name) layout(binding = number) buffer B##number { vec4 name[]; }
#define LOAD(x, at, t) texelFetch(x, int((at) / 4 + (t)))
#define RELOAD(x, at, t) x[(at) / 4 + (t)]
#define STORE(x, at, t, v) x[(at) / 4 + (t)] = v
const uint NF = (NT + LANES - 1) / LANES;
vec4 stage_a[STEP][NF], stage_b[STEP][NF];
#define A(j, t) subgroupShuffle(stage_a[j][(t) / LANES], (t) % LANES)
#define B(j, t) subgroupShuffle(stage_b[j][(t) / LANES], (t) % LANES)
#define STAGE_ROWS(name, src, from, to, width, column) \
	UPTO(j_, STEP) UPTO(f_, NF) stage_##name[j_][f_] = LOAD(src, (min((from) + j_, (to) - 1) - s0) * (width) + (column), min(f_ * LANES + gl_SubgroupInvocationID, NT - 1))
#define STAGE_SYNC()
#define EACH_STEP(j, n) const uint j = 0;
#else
#define INPUT(number, name) layout(binding = number) readonly buffer B##number { float name[]; }
#define OUTPUT(number, name) layout(binding = number) buffer B##number { float name[]; }
#define PART(x, at, t, i) (DH % 4 == 0 || 4 * (t) + i < DH ? x[(at) + 4 * (t) + i] : 0)
#define LOAD(x, at, t) vec4(x[(at) + 4 * (t)], PART(x, at, t, 1), PART(x, at, t, 2), PART(x, at, t, 3))
#define RELOAD LOAD
#define STORE(x, at, t, v) { vec4 v_ = v; UPTO(i_, 4) if (DH % 4 == 0 || 4 * (t) + i_ < DH) x[(at) + 4 * (t) + i_] = v_[i_]; }
shared vec4 stage_a[STAGE * NT], stage_b[STAGE * NT];
#define A(j, t) stage_a[(j) * NT + (t)]
#define B(j, t) stage_b[(j) * NT + (t)]
#define STAGE_ROWS(name, src, from, to, width, column) \
	for (uint i_ = gl_LocalInvocationID.x; i_ < STAGE * NT; i_ += LANES) stage_##name[i_] = LOAD(src, (min((from) + i_ / NT, (to) - 1) - s0) * (width) + (column), i_ % NT)
#define STAGE_SYNC() barrier()
#define EACH_STEP(j, n) for (uint j = 0; j < STAGE && j < (n); j += STEP)
#endif

uint head;      // of the own side
uint first;     // row where the sequence starts
uint begin;     // own rows of the workgroup start here
uint last;      // and end here
uint row[ROWS]; // own rows; where there are fewer, the nearest that exists
bool own[ROWS]; // whether the row is this invocation's, to be written

// place finds the workgroup's rows; false if it has none. All invocations agree.
bool place(uint heads, bool backwards) {
	uint g = group_index();
	if (g >= heads * seqs * blocks) return false;
	uint block = g / (heads * seqs);
	if (backwards) block = blocks - 1 - block; // the longest first
	head = g % heads;
	first = (seq0 + g / heads % seqs) * T;
	begin = first + block * LANES * ROWS;
	last = min(min(begin + LANES * ROWS, first + T), m1);
	if (begin >= last || last <= m0) return false;
	UPTO(r, ROWS) {
		uint n = begin + r * LANES + gl_LocalInvocationID.x;
		row[r] = clamp(n, m0, last - 1);
		own[r] = row[r] == n;
	}
	return true;
}
