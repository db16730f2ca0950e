#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention.comp for the queries: dq[n,h] = sum_j ds[j,h,n] k[j,g] over the keys j that n sees.
// 0 qkv, rows of the keys   1 ds, own rows, attention_grad_kv.comp   2 dqkv as qkv, own rows: the q columns are
// written, the others left alone   3 spans [N,2] u32. What ds holds for pairs that do not meet is not used.
// half: ds is not stored but computed again, ds = p (do[n,h] . v[j,g] - D[n,h]) / sqrt(dh), p = exp(q[n,h] . k[j,g] / sqrt(dh) -
// lse[n,h]), from 0 qkv, own rows   1 qkv, rows of the keys   2 do [N, H dh]   3 lse [N,H] f32   4 D [N,H] f32   5 dqkv   6 spans
// Layout, order and dispatch as attention.comp.
//! variant float:
//! variant half: -DHALVES
#ifdef HALVES
#define SPANS 6
#else
#define SPANS 3
#endif
#include "index.glsl"
#include "attention_tiled.glsl"
#ifdef HALVES
INPUT(0, mine);
INPUT(1, theirs);
INPUT(2, dout);
FLOATS(3, lse);
FLOATS(4, dots);
OUTPUT(5, dqkv);
#else
INPUT(0, theirs);
FLOATS(1, ds);
OUTPUT(2, dqkv);
#endif

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
		if (resume) dq[t] = RESUME(dqkv, n * W + head * DH, t);
	}
#ifdef HALVES
	vec4 q[SHARE], g[SHARE];
	EACH(t) {
		q[t] = LOAD(mine, n * W + head * DH, t) * (SCALE * LOG2E);
		g[t] = LOAD(dout, (n * H + head) * DH, t);
	}
	float top = lse[n * H + head] * LOG2E, D = dots[n * H + head];
	for (uint j0 = from; j0 < to; j0 += STAGE) {
		barrier(); // the last rows may still be read
		STAGE_ROWS(a, theirs, j0, to, W, keys);
		STAGE_ROWS(b, theirs, j0, to, W, keys + KV * DH);
		barrier();
		for (uint j = 0; j < STAGE && j < to - j0; j += STEP) {
			float p[STEP], d[STEP];
			UPTO(b, STEP) p[b] = d[b] = 0;
			EACH(t) UPTO(b, STEP) {
				p[b] += dot(q[t], A(j + b, t));
				d[b] += dot(g[t], B(j + b, t));
			}
			if (SPLIT > 1) {
				GIVE(0, p)
				GIVE(1, d)
				barrier();
				TOGETHER(0, p)
				TOGETHER(1, d)
				barrier();
			}
			UPTO(b, STEP) {
				uint key = j0 + j + b;
				bool meet = key >= seen.x && key < min(seen.y, to);
				d[b] = meet ? exp2(min(p[b] - top, 0)) * (d[b] - D) * SCALE : 0; // 0 at most but for rounding
			}
			EACH(t) UPTO(b, STEP) dq[t] += d[b] * A(j + b, t);
		}
	}
#else
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
#endif
	if (own) EACH(t) STORE(dqkv, n * W + head * DH, t, dq[t]);
}
