#version 460
#extension GL_GOOGLE_include_directive : require
// Column sums of blocks of rows: y[b,d] = sum of x[n,d] over the rows n of block b (+ addend[b,d])
// 0 x [N,D] f32   1 addend [ceil(N/rows),D] f32, y unless ADD   2 y, as addend, may be addend
// A workgroup takes a block and a tile of TILE * WIDE * lanes columns. Dispatch blocks * ceil(D / tile) over x and y.
// Four sums side by side, joined in fixed order: same bits everywhere.
#include "index.glsl"
#include "wide.glsl"
layout(constant_id = 2) const uint TILE = 1;
layout(constant_id = 3) const uint ADD = 0;
INPUT(0, x);
INPUT(1, addend);
OUTPUT(2, y);
layout(push_constant) uniform P { uint N, D, rows; };

void main() {
	uint lanes = gl_WorkGroupSize.x, cols = D / WIDE, tiles = (cols + TILE * lanes - 1) / (TILE * lanes);
	uint b = group_index() / tiles, c = group_index() % tiles * TILE * lanes + gl_LocalInvocationID.x;
	uint first = b * rows, last = min(first + rows, N), end = min(c + TILE * lanes, cols);
	if (first >= N) return;
	for (; c < end; c += lanes) {
		REAL s[4] = REAL[](REAL(0), REAL(0), REAL(0), REAL(0));
		uint n = first;
		for (; n + 4 <= last; n += 4)
			for (uint k = 0; k < 4; k++) s[k] += AT(x, (n + k) * cols + c);
		for (; n < last; n++) s[0] += AT(x, n * cols + c);
		REAL v = (s[0] + s[1]) + (s[2] + s[3]);
		if (ADD == 1) v += AT(addend, b * cols + c);
		PUT(y, b * cols + c, v);
	}
}
