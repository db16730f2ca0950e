// Neighbours of a row that a lane takes together, RUN of them, so that one store writes them. Where stores are loops over the
// lanes (texels.glsl), half of a lane's turn is spent before its first word: 32 bytes at once cost 1.4 times what 16 do. A
// GPU's lanes take single ones. Include after wide.glsl; PAIRED_ID: the number of a specialization constant.
#extension GL_EXT_control_flow_attributes : require
#ifdef TEXEL
layout(constant_id = PAIRED_ID) const uint PAIRED = 0; // 1: rows are a multiple of 2 * WIDE elements long
#ifdef RUN_IS_PAIRED // rows of other lengths: one by one, where what lies beyond the end would count
const uint RUN = PAIRED + 1;
#else
const uint RUN = 2;
#endif
#define OUTPUT_RUNS(b, name) OUTPUT(b, name); layout(binding = b) writeonly buffer Runs##b { u64vec4 name##_runs[]; }
#define PUT_RUN(name, i, v, count) \
	if (PAIRED == 1) name##_runs[(i) / 2] = u64vec4(words64(v[0]), words64(v[RUN - 1])); \
	else [[unroll]] for (uint at = 0; at < RUN; at++) if (at < count) PUT(name, (i) + at, v[at])
#else
const uint RUN = 1;
#define OUTPUT_RUNS(b, name) OUTPUT(b, name)
#define PUT_RUN(name, i, v, count) PUT(name, i, v[0])
#endif
#define EACH(k) [[unroll]] for (uint k = 0; k < RUN; k++)
