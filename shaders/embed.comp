#version 460
#extension GL_GOOGLE_include_directive : require
// Embedding: y[n] = table[ids[n]], for the ids within this launch's rows of the table
// 0 table [V,D] f32, rows first to first + V of the whole   1 ids [N] u32   2 y [N,D] f32
// A workgroup takes some rows, four at a time; one whose id lies elsewhere is not written. rows: a multiple of 4.
// Dispatch ceil(N / rows) over x and y.
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
	for (; n < end; n += 4) {
		uint v[4];
		bool here[4];
		[[unroll]] for (uint k = 0; k < 4; k++) {
			v[k] = WORD(ids, min(n + k, N - 1)) - first; // wraps below first, and is then past V too
			here[k] = v[k] < V && n + k < end;
			v[k] = min(v[k], V - 1);
		}
		for (uint c = RUN * gl_LocalInvocationID.x; c < cols; c += RUN * lanes)
			[[unroll]] for (uint k = 0; k < 4; k++) {
				REAL x[RUN];
				EACH(i) x[i] = AT(table, v[k] * cols + c + i);
				if (here[k]) PUT_RUN(y, (n + k) * cols + c, x, cols - c);
			}
	}
}
