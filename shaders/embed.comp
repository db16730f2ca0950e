#version 460
#extension GL_GOOGLE_include_directive : require
// Embedding: y[n] = table[ids[n]], for the ids within this launch's rows of the table
// 0 table [V,D] f32, rows first to first + V of the whole   1 ids [N] u32   2 y [N,D] f32
// A workgroup takes some rows; one whose id lies elsewhere is not written. Dispatch ceil(N / rows) over x and y.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, table);
WORDS(1, ids);
OUTPUT_RUNS(2, y);
layout(push_constant) uniform P { uint N, D, first, V, rows; };

void main() {
	uint n = group_index() * rows, end = min(n + rows, N), lanes = gl_WorkGroupSize.x, cols = D / WIDE;
	for (; n < end; n++) {
		uint v = WORD(ids, n) - first; // wraps below first, and is then past V too
		if (v >= V) continue;
		for (uint c = RUN * gl_LocalInvocationID.x; c < cols; c += RUN * lanes) {
			REAL x[RUN];
			EACH(k) x[k] = AT(table, v * cols + c + k);
			PUT_RUN(y, n * cols + c, x, cols - c);
		}
	}
}
