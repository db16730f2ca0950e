#version 460
#extension GL_GOOGLE_include_directive : require
// Causal attention with grouped queries: o[n,h] = sum_j p_j v[j,g] / sum_j p_j,  p_j = exp(q[n,h] . k[j,g] / sqrt(dh)),
// over the rows j <= n of the same sequence of T rows, g = h / (H / KV). The T x T matrix never exists: arXiv 2307.08691.
// 0 qkv, own rows   1 qkv, rows of the keys: [N, (H + 2 KV) dh] f32, q heads, k heads, v heads   2 o [N, H dh] f32
// 3 lse [N,H] f32: ln of the sum of p, kept for the gradient
// An invocation owns ROWS queries of one head and keeps q, o, the running maximum and sum in registers; keys ascend in
// steps of STEP: same bits on the same device. Dispatch H * sequences * ceil(T / (workgroup * ROWS)). Any T, any dh.
//! variant texel: -DTEXEL
//! variant tiled:
#include "index.glsl"
#include "attention.glsl"
INPUT(0, mine);
INPUT(1, theirs);
OUTPUT(2, o);
layout(binding = 3) buffer L { float lse[]; };

void main() {
	if (!place(H, true)) return;
	uint from = max(first, s0), to = min(last, s1); // the keys of this window
	if (from >= to) return;
	bool resume = first < s0; // earlier keys were met by the launch before
	uint keys = (H + head / (H / KV)) * DH, values = keys + KV * DH;
	vec4 q[ROWS][NT], y[ROWS][NT];
	float top[ROWS], sum[ROWS]; // of the exponents, base 2
	UPTO(r, ROWS) {
		uint n = row[r] - m0;
		EACH(t) {
			q[r][t] = LOAD(mine, n * W + head * DH, t) * (SCALE * LOG2E);
			y[r][t] = vec4(0);
			if (resume) y[r][t] = RELOAD(o, (n * H + head) * DH, t);
		}
		top[r] = NEVER;
		sum[r] = 0;
		if (resume) {
			top[r] = lse[n * H + head] * LOG2E;
			sum[r] = 1;
		}
	}
	for (uint j0 = from; j0 < to; j0 += STAGE) {
		STAGE_SYNC(); // the last rows may still be read
		STAGE_ROWS(a, theirs, j0, to, W, keys);
		STAGE_ROWS(b, theirs, j0, to, W, values);
		STAGE_SYNC();
		EACH_STEP(j, to - j0) {
			float p[ROWS][STEP], shrink[ROWS];
			UPTO(r, ROWS) UPTO(b, STEP) p[r][b] = 0;
			EACH(t) UPTO(b, STEP) {
				vec4 k = A(j + b, t);
				UPTO(r, ROWS) p[r][b] += dot(q[r][t], k);
			}
			UPTO(r, ROWS) {
				float high = top[r];
				UPTO(b, STEP) {
					if (j0 + j + b > min(row[r], to - 1)) p[r][b] = NEVER;
					high = max(high, p[r][b]);
				}
				shrink[r] = exp2(top[r] - high);
				top[r] = high;
				sum[r] *= shrink[r];
				UPTO(b, STEP) {
					p[r][b] = exp2(p[r][b] - high);
					sum[r] += p[r][b];
				}
			}
			EACH(t) {
				UPTO(r, ROWS) y[r][t] *= shrink[r];
				UPTO(b, STEP) {
					vec4 v = B(j + b, t);
					UPTO(r, ROWS) y[r][t] += p[r][b] * v;
				}
			}
		}
	}
	UPTO(r, ROWS) if (own[r] && row[r] >= from) {
		uint n = row[r] - m0;
		EACH(t) STORE(o, (n * H + head) * DH, t, y[r][t] / sum[r]);
		lse[n * H + head] = (top[r] + log2(sum[r])) / LOG2E;
	}
}
