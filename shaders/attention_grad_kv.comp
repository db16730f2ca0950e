#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention.comp for keys and values: dv[j,g] = sum p do[n,h], dk[j,g] = sum ds q[n,h], with
// p = exp(q[n,h] . k[j,g] / sqrt(dh) - lse[n,h]), ds = p (do[n,h] . v[j,g] - D[n,h]) / sqrt(dh), over the query heads h of the
// key head g and the rows n of the same sequence that see j; and the ds themselves, of which attention_grad_q.comp makes dq.
// 0 qkv, own rows   1 qkv, rows of the queries   2 do [N, H dh], as qkv f32 or 16-bit floats   3 lse [N,H] f32   4 D [N,H] f32, attention_dot.comp
// 5 dqkv as qkv: the k and v columns are written, the others left alone   6 ds f32, laid out as score_at says; written for pairs that
// meet, and for some others as 0   7 spans [N,2] u32. half: no ds, 6 spans
// SPLIT invocations own a key of one head and keep k, v, dk, dv in registers; heads ascend, within them queries: same bits
// on the same device, no atomics. Dispatch KV * sequences * ceil(T SPLIT / workgroup). Any T, any dh.
//! variant float:
//! variant half: -DHALVES
#ifdef HALVES
#define SPANS 6
#else
#define SPANS 7
#endif
#include "index.glsl"
#include "attention_tiled.glsl"
INPUT(0, mine);
INPUT(1, theirs);
INPUT(2, dout);
FLOATS(3, lse);
FLOATS(4, dots);
OUTPUT(5, dqkv);
#ifndef HALVES
OUTPUT(6, ds);
#endif
shared vec2 stage_c[STAGE]; // lse, D
shared uvec2 stage_s[STAGE];

void main() {
	if (!take(KV, false)) return;
	uvec2 queries = queries_of();
	uint from = max(queries.x, s0), to = min(queries.y, s1); // the queries of this window that see some own key
	if (from >= to) return;
	bool resume = queries.x < s0;
	uint keys = (H + head) * DH, values = keys + KV * DH, n = row - m0;
	vec4 k[SHARE], v[SHARE], dk[SHARE], dv[SHARE];
	EACH(t) {
		k[t] = LOAD(mine, n * W + keys, t) * (SCALE * LOG2E);
		v[t] = LOAD(mine, n * W + values, t);
		dk[t] = dv[t] = vec4(0);
		if (resume) {
			dk[t] = RESUME(dqkv, n * W + keys, t);
			dv[t] = RESUME(dqkv, n * W + values, t);
		}
	}
	for (uint h = head * (H / KV); h < (head + 1) * (H / KV); h++)
	for (uint i0 = from; i0 < to; i0 += STAGE) {
		barrier(); // the last rows may still be read
		STAGE_ROWS(a, theirs, i0, to, W, h * DH);
		STAGE_ROWS(b, dout, i0, to, H * DH, h * DH);
		if (LANE < STAGE) {
			uint query = min(i0 + LANE, to - 1);
			stage_c[LANE] = vec2(lse[(query - s0) * H + h], dots[(query - s0) * H + h]);
			stage_s[LANE] = keys_of(query);
		}
		barrier();
		for (uint i = 0; i < STAGE && i < to - i0; i += STEP) {
			float p[STEP], d[STEP];
			UPTO(b, STEP) p[b] = d[b] = 0;
			EACH(t) UPTO(b, STEP) {
				p[b] += dot(k[t], A(i + b, t));
				d[b] += dot(v[t], B(i + b, t));
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
				vec2 c = stage_c[i + b];
				uvec2 seen = stage_s[i + b];
				uint query = i0 + i + b;
				bool meet = row >= seen.x && row < seen.y && query < to;
				p[b] = meet ? exp2(min(p[b] - c.x * LOG2E, 0)) : 0; // 0 at most but for rounding
				d[b] = p[b] * (d[b] - c.y) * SCALE;
#ifndef HALVES
				if (own && LANE % SPLIT == 0 && query < to) ds[score_at(query, h, row, s0)] = d[b];
#endif
			}
			EACH(t) UPTO(b, STEP) {
				dv[t] += p[b] * B(i + b, t);
				dk[t] += d[b] * A(i + b, t);
			}
		}
	}
	if (own) EACH(t) {
		STORE(dqkv, n * W + keys, t, dk[t]);
		STORE(dqkv, n * W + values, t, dv[t]);
	}
}
