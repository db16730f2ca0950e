#version 460
#extension GL_GOOGLE_include_directive : require
// Attention with grouped queries: o[n,h] = sum_j p_j v[j,g] / sum_j p_j,  p_j = exp(q[n,h] . k[j,g] / sqrt(dh)), g = h / (H / KV),
// over the keys j of the same sequence of T rows that n sees: j <= n, or its span. The T x T matrix never exists: arXiv 2307.08691.
// 0 qkv, own rows   1 qkv, rows of the keys: [N, (H + 2 KV) dh] f32 or 16-bit floats, q heads, k heads, v heads   2 o [N, H dh] f32
// 3 lse [N,H] f32: ln of the sum of p, kept for the gradient   4 spans [N,2] u32
// SPLIT invocations own a query of one head and keep q, o, the running maximum and sum in registers; keys ascend in steps of
// STEP: same bits on the same device. Dispatch H * sequences * ceil(T SPLIT / workgroup). Any T, any dh.
//! variant float:
//! variant half: -DHALVES
#define SPANS 4
#include "index.glsl"
#include "attention_tiled.glsl"
INPUT(0, mine);
INPUT(1, theirs);
OUTPUT(2, o);
layout(binding = 3) buffer L { float lse[]; };

void main() {
	if (!take(H, true)) return;
	uint least = keys_of(begin).x, from = max(least, s0), to = min(keys_of(last - 1).y, s1); // the keys of this window
	if (from >= to) return;
	bool resume = least < s0; // earlier keys were met by the launch before
	uint keys = (H + head / (H / KV)) * DH, values = keys + KV * DH, n = row - m0;
	uvec2 seen = keys_of(row);
	vec4 q[SHARE], y[SHARE];
	EACH(t) {
		q[t] = LOAD(mine, n * W + head * DH, t) * (SCALE * LOG2E);
		y[t] = vec4(0);
		if (resume) y[t] = RESUME(o, (n * H + head) * DH, t);
	}
	float top = resume ? lse[n * H + head] * LOG2E : NEVER, sum = resume ? 1 : 0; // of the exponents, base 2
	for (uint j0 = from; j0 < to; j0 += STAGE) {
		barrier(); // the last rows may still be read
		STAGE_ROWS(a, theirs, j0, to, W, keys);
		STAGE_ROWS(b, theirs, j0, to, W, values);
		barrier();
		for (uint j = 0; j < STAGE && j < to - j0; j += STEP) {
			float p[STEP], high = top;
			UPTO(b, STEP) p[b] = 0;
			EACH(t) UPTO(b, STEP) p[b] += dot(q[t], A(j + b, t));
			if (SPLIT > 1) {
				GIVE(0, p)
				barrier();
				TOGETHER(0, p)
				barrier();
			}
			UPTO(b, STEP) {
				uint key = j0 + j + b;
				if (key < seen.x || key >= min(seen.y, to)) p[b] = NEVER;
				high = max(high, p[b]);
			}
			float shrink = exp2(top - high);
			top = high;
			sum *= shrink;
			UPTO(b, STEP) {
				p[b] = exp2(p[b] - high);
				sum += p[b];
			}
			EACH(t) {
				y[t] *= shrink;
				UPTO(b, STEP) y[t] += p[b] * B(j + b, t);
			}
		}
	}
	if (!own) return;
	EACH(t) STORE(o, (n * H + head) * DH, t, y[t] / sum);
	if (LANE % SPLIT == 0) lse[n * H + head] = (top + log2(sum)) / LOG2E;
}
