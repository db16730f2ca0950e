#version 460
#extension GL_GOOGLE_include_directive : require
// Second half of RMSNorm's gradient:
//   dx[n,d] = r[n] (g[d] dy[n,d] - xhat[n,d] c[n]) (+ addend[n,d]),  xhat = x r,  c from rms_norm_grad_mean
//   part[b,d] = sum of dy[n,d] xhat[n,d] over the rows n of block b, for the gain's gradient
// 0 x [N,D] f32   1 g [D] f32   2 r [N] f32   3 dy [N,D] f32   4 c [N] f32   5 addend [N,D] f32   6 dx [N,D] f32, may be addend
// 7 part [ceil(N/rows),D] f32
// A workgroup takes one block of rows and as many columns (of WIDE elements) as it has lanes: a lane keeps its column's sum in
// a register. Rows in order: same bits everywhere. rows: a multiple of 4. Dispatch blocks * ceil(D / WIDE / lanes) over x and y.
#include "index.glsl"
#include "wide.glsl"
INPUT(0, x);
INPUT(1, g);
QUADS(2, r);
INPUT(3, dy);
QUADS(4, mean);
INPUT(5, addend);
OUTPUT(6, dx);
OUTPUT(7, part);
layout(push_constant) uniform P { uint N, D, rows, add; };

void main() {
	uint lanes = gl_WorkGroupSize.x, cols = D / WIDE, tiles = (cols + lanes - 1) / lanes;
	uint b = group_index() / tiles, c = group_index() % tiles * lanes + gl_LocalInvocationID.x;
	uint first = b * rows, end = min(first + rows, N);
	if (first >= N || c >= cols) return;
	REAL gain = AT(g, c), sum = REAL(0);
	for (uint q = first; q < end; q += 4) {
		vec4 rs = AT(r, q / 4), means = AT(mean, q / 4);
		for (uint k = 0; k < 4; k++) {
			if (q + k >= end) break;
			uint i = (q + k) * cols + c;
			REAL d = AT(dy, i), xhat = AT(x, i) * rs[k];
			REAL v = rs[k] * (gain * d - xhat * means[k]);
			sum += d * xhat;
			if (add == 1) v += AT(addend, i);
			dx[i] = v;
		}
	}
	part[b * cols + c] = sum;
}
