#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of the embedding, in place: acc[v] += sum of dy[n] over the tokens n with ids[n] = v
// 0 dy [M,D] f32, rows from to from + M of the whole   1 ids [N] u32   2 order [N] u32: positions sorted by (id, position)
// 3 acc [V,D] f32, rows first to first + V of the whole   4 acc again, to be written
// A workgroup stands at one sorted position and a tile of 4 * WIDE * lanes columns. Where a run of equal ids starts it sums the
// run's rows in order and adds the sum to the id's row; elsewhere it ends at once. No atomics: same bits everywhere.
// A run takes a quarter of its length in loop trips, so N <= 64k keeps within the 16k that every device does.
// Dispatch N * ceil(D / (4 * WIDE * lanes)) over x and y.
#include "index.glsl"
#include "wide.glsl"
INPUT(0, dy);
WORDS(1, ids);
WORDS(2, order);
INPUT(3, acc);
OUTPUT(4, accOut);
layout(push_constant) uniform P { uint N, D, first, V, from, M; };

void main() {
	uint lanes = gl_WorkGroupSize.x, cols = D / WIDE, tiles = (cols + 4 * lanes - 1) / (4 * lanes);
	uint i = group_index() / tiles, c0 = group_index() % tiles * 4 * lanes + gl_LocalInvocationID.x;
	if (i >= N) return;
	uint id = WORD(ids, WORD(order, i)), v = id - first;
	if (v >= V || i > 0 && WORD(ids, WORD(order, i - 1)) == id) return;
	REAL s[4] = REAL[](REAL(0), REAL(0), REAL(0), REAL(0));
	bool more = true;
	for (uint j = i; more && j < N; j += 4) {
		uint n[4]; // the next four rows of the run within dy's window, M where there is none
		for (uint k = 0; k < 4; k++) {
			uint t = WORD(order, min(j + k, N - 1));
			more = more && j + k < N && WORD(ids, t) == id;
			n[k] = more ? min(t - from, M) : M;
		}
		for (uint k = 0; k < 4; k++) {
			if (n[k] == M) continue;
			for (uint q = 0; q < 4; q++)
				s[q] += AT(dy, n[k] * cols + min(c0 + q * lanes, cols - 1));
		}
	}
	for (uint q = 0; q < 4; q++) {
		uint c = c0 + q * lanes;
		if (c < cols) accOut[v * cols + c] = AT(acc, v * cols + c) + s[q];
	}
}
