#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of LayerNorm (layer_norm.comp): with xhat = (x - m) r, a[n] = mean_d g[d] dy[n,d], c[n] = mean_d g[d] dy[n,d] xhat[n,d],
//   dx[n,d] = r[n] (g[d] dy[n,d] - a[n] - xhat[n,d] c[n]) (+ addend[n,d])
//   part[b,d] = sum of dy[n,d] xhat[n,d] over the 8 rows n of block b, for the gain's gradient
// 0 x [N,D] f32   1 g [D] f32   2 m [N] f32   3 r [N] f32   4 dy [N,D] f32   5 addend [N,D] f32, dx unless ADD
// 6 dx [N,D] f32, may be addend   7 part [ceil(N/8),D] f32
// A workgroup takes a block: its rows side by side, so that g is read once and part is summed in registers. Dispatch the blocks
// over x and y. Sums in f32, order fixed: same bits on the same device. x and dy are read twice, from a cache the second time.
#include "index.glsl"
#include "reduce.glsl"
#include "wide.glsl"
#define PAIRED_ID 3
#include "runs.glsl"
layout(constant_id = 2) const uint ADD = 0;
INPUT(0, x);
INPUT(1, g);
QUADS(2, m);
QUADS(3, r);
INPUT(4, dy);
INPUT(5, addend);
OUTPUT_RUNS(6, dx);
OUTPUT_RUNS(7, part);
layout(push_constant) uniform P { uint N, D; };

void main() {
	uint b = group_index(), first = 8 * b, lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	if (first >= N) return;
	uint cols = D / WIDE, last = N - 1; // rows past the last are read as the last and not written
	vec4 ms[2] = vec4[](AT(m, 2 * b), AT(m, min(2 * b + 1, last / 4)));
	vec4 rs[2] = vec4[](AT(r, 2 * b), AT(r, min(2 * b + 1, last / 4)));
	for (uint k = 0; k < 8; k++) if (first + k > last) ms[k / 4][k % 4] = rs[k / 4][k % 4] = 0;
	vec4 s[2] = vec4[](vec4(0), vec4(0)), t[2] = vec4[](vec4(0), vec4(0));
	for (uint c = lane; c < cols; c += lanes) {
		REAL gain = AT(g, c);
		for (uint k = 0; k < 8; k++) {
			uint i = min(first + k, last) * cols + c;
			REAL d = gain * AT(dy, i);
			t[k / 4][k % 4] += total(d);
			s[k / 4][k % 4] += total(d * (AT(x, i) - ms[k / 4][k % 4]));
		}
	}
	vec4 back[2], shift[2]; // r^2 c, r a
	for (uint h = 0; h < 2; h++) {
		back[h] = rs[h] * rs[h] * rs[h] * group_sum(s[h]) / float(D);
		shift[h] = rs[h] * group_sum(t[h]) / float(D);
	}
	for (uint c = RUN * lane; c < cols; c += RUN * lanes) {
		REAL gain[RUN], sum[RUN], value[RUN];
		EACH(i) {
			gain[i] = AT(g, c + i);
			sum[i] = REAL(0);
		}
		[[unroll]] for (uint k = 0; k < 8; k++) {
			uint o = min(first + k, last) * cols + c;
			EACH(i) {
				REAL d = AT(dy, o + i) * rs[k / 4][k % 4], v = AT(x, o + i) - ms[k / 4][k % 4];
				sum[i] += d * v;
				value[i] = gain[i] * d - shift[k / 4][k % 4] - v * back[k / 4][k % 4];
				if (ADD == 1) value[i] += AT(addend, o + i);
			}
			if (first + k <= last) PUT_RUN(dx, o, value, cols - c);
		}
		PUT_RUN(part, b * cols + c, sum, cols - c);
	}
}
