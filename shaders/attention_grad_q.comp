#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention.comp for the queries: dq[n,h] = sum_j ds_j k[j,g] / sqrt(dh), ds_j = p_j (do[n,h] . v[j,g] - D[n,h]),
// p_j = exp(q[n,h] . k[j,g] / sqrt(dh) - lse[n,h]), over the rows j <= n of the same sequence.
// 0 qkv, own rows   1 qkv, rows of the keys   2 do [N, H dh] f32   3 lse [N,H] f32   4 D [N,H] f32, attention_dot.comp
// 5 dqkv as qkv: the q columns are written, the others become 0
// Layout, order and dispatch as attention.comp.
//! variant texel: -DTEXEL
//! variant tiled:
#include "index.glsl"
#include "attention.glsl"
INPUT(0, mine);
INPUT(1, theirs);
INPUT(2, dout);
layout(binding = 3) readonly buffer L { float lse[]; };
layout(binding = 4) readonly buffer D { float dots[]; };
OUTPUT(5, dqkv);

void main() {
	if (!place(H, true)) return;
	uint from = max(first, s0), to = min(last, s1);
	if (from >= to) return;
	bool resume = first < s0;
	uint keys = (H + head / (H / KV)) * DH, values = keys + KV * DH;
	vec4 q[ROWS][NT], g[ROWS][NT], dq[ROWS][NT];
	float high[ROWS], D[ROWS];
	UPTO(r, ROWS) {
		uint n = row[r] - m0;
		EACH(t) {
			q[r][t] = LOAD(mine, n * W + head * DH, t) * (SCALE * LOG2E);
			g[r][t] = LOAD(dout, (n * H + head) * DH, t);
			dq[r][t] = vec4(0);
			if (resume) dq[r][t] = RELOAD(dqkv, n * W + head * DH, t);
		}
		high[r] = lse[n * H + head] * LOG2E;
		D[r] = dots[n * H + head];
	}
	for (uint j0 = from; j0 < to; j0 += STAGE) {
		STAGE_SYNC();
		STAGE_ROWS(a, theirs, j0, to, W, keys);
		STAGE_ROWS(b, theirs, j0, to, W, values);
		STAGE_SYNC();
		EACH_STEP(j, to - j0) {
			float ds[ROWS][STEP], s[ROWS][STEP], dp[ROWS][STEP];
			UPTO(r, ROWS) UPTO(b, STEP) {
				s[r][b] = 0;
				dp[r][b] = 0;
			}
			EACH(t) UPTO(b, STEP) {
				vec4 k = A(j + b, t), v = B(j + b, t);
				UPTO(r, ROWS) {
					s[r][b] += dot(q[r][t], k);
					dp[r][b] += dot(g[r][t], v);
				}
			}
			UPTO(r, ROWS) UPTO(b, STEP) {
				float p = exp2(min(s[r][b] - high[r], 0)); // 0 at most but for rounding
				ds[r][b] = j0 + j + b <= min(row[r], to - 1) ? p * (dp[r][b] - D[r]) * SCALE : 0;
			}
			EACH(t) UPTO(b, STEP) {
				vec4 k = A(j + b, t);
				UPTO(r, ROWS) dq[r][t] += ds[r][b] * k;
			}
		}
	}
	UPTO(r, ROWS) if (own[r] && row[r] >= from) {
		uint n = (row[r] - m0) * W;
		EACH(t) STORE(dqkv, n + head * DH, t, dq[r][t]);
		if (head % (H / KV) == 0) EACH(t) { // one of the queries' heads clears what their key head will write
			STORE(dqkv, n + keys, t, vec4(0));
			STORE(dqkv, n + values, t, vec4(0));
		}
	}
}
