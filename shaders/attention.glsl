// What all passes of attention share: where a workgroup's rows lie and who sees whom. Each workgroup owns a block of rows of
// one side (queries, or keys and values) and meets the rows of the other side. A launch sees a window [m0, m1) of its own
// rows and a window [s0, s1) of the other side's; what it finds for a block continues what the launch over the window before
// wrote. Rows count from the start of the batch. Include after index.glsl; SPANS is the binding of the spans.
#extension GL_EXT_control_flow_attributes : require
layout(constant_id = 1) const uint DH = 32; // head size
layout(push_constant) uniform P {
	uint T, H, KV, W;        // rows of a sequence, query heads, key heads, elements of a row of qkv
	uint m0, m1, s0, s1;     // windows of own and other rows
	uint seq0, seqs, blocks; // first sequence with own rows in the window, how many, blocks of own rows in each
	uint spanned;            // 1: spans [N,2] u32 say which keys of its sequence a query sees, from and to (exclusive), neither
	                         // ever falling within a sequence; 0: all up to its own
};
layout(binding = SPANS) readonly buffer Spans { uvec2 spans[]; };

const uint LANES = gl_WorkGroupSize.x;
const uint NT = (DH + 3) / 4; // groups of four elements in a row of a head
const float LOG2E = 1.44269504;
#define SCALE inversesqrt(float(DH))
// The gradients of the scores: 16 queries of a sequence side by side for each head and key, so that a block of queries finds
// what it needs in one run of memory. Rows are groups of 16 queries: [sequences * ceil(T / 16), H * TK * 16].
#define TK ((T + 3) / 4 * 4)
uint score_group(uint n) { return n / T * ((T + 15) / 16) + n % T / 16; }
const float NEVER = -1e30; // a score that is masked: exp2 of it is 0, and no inf - inf arises
#define UPTO(i, n) [[unroll]] for (uint i = 0; i < n; i++)

uint head;  // of the own side
uint first; // row where the sequence starts
uint begin; // own rows of the workgroup start here; those before m0 are another launch's
uint last;  // and end here

// place takes block number `block` of `rows` own rows of head and sequence number `pair`; false if the window has none of it.
bool place(uint heads, uint pair, uint block, uint rows) {
	head = pair % heads;
	first = (seq0 + pair / heads) * T;
	begin = first + block * rows;
	last = min(min(begin + rows, first + T), m1);
	return begin < last && last > m0;
}

// Where ds[n, h, key] lies, of a binding that starts with row w's group.
uint score_at(uint n, uint h, uint key, uint w) {
	return (((score_group(n) - score_group(w)) * H + h) * TK + key - first) * 16 + (n - first) % 16;
}

// The keys that query n sees.
uvec2 keys_of(uint n) { return spanned == 1 ? first + min(spans[n], T) : uvec2(first, n + 1); }

// The queries that see some of the own keys.
uvec2 queries_of() {
	if (spanned == 0) return uvec2(max(begin, m0), first + T);
	uvec2 at;
	UPTO(side, 2) { // the first whose span ends beyond begin, and the first whose span starts beyond last - 1
		uint low = first, high = first + T;
		while (low < high) {
			uint n = (low + high) / 2;
			if (keys_of(n)[1 - side] >= (side == 0 ? begin + 1 : last)) high = n; else low = n + 1;
		}
		at[side] = low;
	}
	return at;
}
