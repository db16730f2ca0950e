#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of the embedding, in place: acc[v] += sum of dy[n] over the tokens n with ids[n] = v
// 0 dy [M,D] f32, rows from to from + M of the whole   1 ids [N] u32   2 order [N] u32: positions sorted by (id, position)
// 3 acc [V,D] f32, rows first to first + V of the whole   4 acc again, to be written
// A workgroup takes some sorted positions and a tile of TILE * WIDE * lanes columns. For each run of equal ids that starts among
// its positions it sums the run's rows in order and adds the sum to the id's row. No atomics, same bits everywhere. A subgroup
// looks up as many positions as it has lanes at once.
// A run takes its length in loop trips, of which a CPU device allows 16k: a launch takes the sorted positions begin to until, and
// a run that goes on beyond them is the next launch's too.
// Dispatch ceil((until - begin) / positions) * ceil(D / (TILE * WIDE * lanes)) over x and y.
#include "index.glsl"
#include "wide.glsl"
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(constant_id = 2) const uint TILE = 4;
INPUT(0, dy);
WORDS(1, ids);
WORDS(2, order);
INPUT(3, acc);
OUTPUT(4, accOut);
layout(push_constant) uniform P { uint begin, until, D, first, V, from, M, positions; };

uint id_at(uint i) { return WORD(ids, WORD(order, i)); }

void main() {
	uint lanes = gl_WorkGroupSize.x, cols = D / WIDE, tiles = (cols + TILE * lanes - 1) / (TILE * lanes);
	uint i = begin + group_index() / tiles * positions, end = min(i + positions, until);
	uint c0 = group_index() % tiles * TILE * lanes + gl_LocalInvocationID.x;
	while (i < end && i > begin && id_at(i) == id_at(i - 1)) i++; // the rest of a run that started earlier
	while (i < end) {
		uint id = id_at(i), v = id - first, count;
		REAL s[TILE];
		for (uint q = 0; q < TILE; q++) s[q] = REAL(0);
		do {
			uint p = i + gl_SubgroupInvocationID, t = WORD(order, min(p, until - 1));
			uvec4 other = subgroupBallot(p >= until || WORD(ids, t) != id);
			count = other == uvec4(0) ? gl_SubgroupSize : subgroupBallotFindLSB(other);
			for (uint k = 0; k < count; k++) {
				uint n = subgroupShuffle(t, k) - from;
				if (n >= M) continue; // another launch's row
				for (uint q = 0; q < TILE; q++) s[q] += AT(dy, n * cols + min(c0 + q * lanes, cols - 1));
			}
			i += count;
		} while (count == gl_SubgroupSize);
		for (uint q = 0; q < TILE; q++) {
			uint c = c0 + q * lanes;
			if (v < V && c < cols) PUT(accOut, v * cols + c, AT(acc, v * cols + c) + s[q]);
		}
	}
}
