#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention.comp for the queries: dq[n,h] = sum_j ds[j,h,n] k[j,g] over the keys j that n sees.
// 0 qkv, rows of the keys   1 ds, own rows, attention_grad_kv.comp   2 dqkv as qkv, own rows: the q columns are
// written, the others left alone   3 spans [N,2] u32. What ds holds for pairs that do not meet is not used.
// Layout, order and dispatch as attention.comp.
#define SPANS 3
#include "index.glsl"
#include "attention_tiled.glsl"
INPUT(0, theirs);
INPUT(1, ds);
OUTPUT(2, dqkv);

void main() {
	if (!take(H, true)) return;
	uint least = keys_of(begin).x, from = max(least, s0), to = min(keys_of(last - 1).y, s1);
	if (from >= to) return;
	bool resume = least < s0;
	uint keys = (H + head / (H / KV)) * DH, n = row - m0;
	uvec2 seen = keys_of(row);
	vec4 dq[SHARE];
	EACH(t) {
		dq[t] = vec4(0);
		if (resume) dq[t] = LOAD(dqkv, n * W + head * DH, t);
	}
	for (uint j0 = from; j0 < to; j0 += STAGE) {
		barrier();
		STAGE_ROWS(a, theirs, j0, to, W, keys);
		barrier();
		for (uint j = 0; j < STAGE && j < to - j0; j++) {
			uint key = j0 + j;
			float d = key >= seen.x && key < seen.y ? ds[score_at(row, head, key, m0)] : 0;
			EACH(t) dq[t] += d * A(j, t);
		}
	}
	if (own) EACH(t) STORE(dqkv, n * W + head * DH, t, dq[t]);
}
