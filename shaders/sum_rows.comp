#version 460
#extension GL_GOOGLE_include_directive : require
// Column sums of blocks of rows: y[b,d] = sum of x[n,d] over the rows n of block b (+ addend[b,d])
// 0 x [N,D] f32   1 addend [ceil(N/rows),D] f32   2 y, as addend, may be addend
// One invocation per WIDE results. Dispatch ceil(results / WIDE / workgroup) over x and y. rows: a multiple of 4.
// Four sums side by side, joined in fixed order: same bits everywhere.
#include "index.glsl"
#include "wide.glsl"
INPUT(0, x);
INPUT(1, addend);
OUTPUT(2, y);
layout(push_constant) uniform P { uint N, D, rows, add; };

void main() {
	uint i = thread_index(), cols = D / WIDE;
	uint b = i / cols, c = i % cols;
	uint n = b * rows, end = min(n + rows, N);
	if (n >= N) return;
	REAL s[4] = REAL[](REAL(0), REAL(0), REAL(0), REAL(0));
	for (; n + 4 <= end; n += 4)
		for (uint k = 0; k < 4; k++) s[k] += AT(x, (n + k) * cols + c);
	for (; n < end; n++) s[0] += AT(x, n * cols + c);
	REAL v = (s[0] + s[1]) + (s[2] + s[3]);
	if (add == 1) v += AT(addend, i);
	y[i] = v;
}
