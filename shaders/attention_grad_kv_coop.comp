#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention_coop.comp for keys and values; contract as attention_grad_kv.comp's half variant, but 0, 1 qkv and 2 do
// are f16 or bf16, all rows. A subgroup keeps v, dk and dv of its MM rows in registers; k stays in workgroup memory. Scores
// are made transposed, K Q^T, so that p and ds come back with a row for each key, as the left side of their products.
// Heads ascend, within them queries: same bits on the same device, no atomics. Dispatch KV * sequences * ceil(T / ROWS).
//! newer
//! variant f16: -DELEMENT=float16_t
//! variant bf16: -DELEMENT=float16_t --bfloat16
#define SPANS 6
#include "index.glsl"
#include "attention_coop.glsl"
#include "attention_grad_coop.glsl"
shared uvec4 own_rows[ROWS * STRIDE], staged[2 * STEP * STRIDE]; // keys; queries, do
shared uint probs[ROWS * WORDS], grads[ROWS * WORDS];
shared vec2 stage_c[STEP]; // lse, D
shared uvec2 stage_s[STEP];

// FETCH_STEP reads this invocation's part of a step: of head h, queries i0 on.
#define FETCH_STEP(step) { \
		uint i0_ = from + (step) % steps * STEP, h_ = head * (H / KV) + (step) / steps; \
		FETCH(next_q, theirs, i0_, to, width, h_ * D8) \
		FETCH(next_g, dout, i0_, to, H * D8, h_ * D8) \
	}

void main() {
	if (!take(KV, false)) return;
	uvec2 queries = queries_of();
	uint from = queries.x, to = queries.y, steps = (to - from + STEP - 1) / STEP;
	uint width = W / 8, keys = (H + head) * D8, values = keys + KV * D8;
	uint base = gl_SubgroupID * MM, own = base + gl_SubgroupInvocationID / SHARE, column = gl_SubgroupInvocationID % SHARE;
	uint key = begin + own;

	uvec4 next_q[EACH], next_g[EACH];
	FETCH_STEP(0)
	LEFT v[DH / KK];
	STAGE_OWN(own_rows, mine, width, values);
	barrier();
	LOAD_OWN(v, own_rows)
	barrier();
	STAGE_OWN(own_rows, mine, width, keys);
	SUMS dk[DH / NN], dv[DH / NN];
	UPTO(d, DH / NN) dk[d] = dv[d] = SUMS(0.0);
	for (uint step = 0; step < steps * (H / KV); step++) {
		uint i0 = from + step % steps * STEP, h = head * (H / KV) + step / steps;
		barrier(); // the last step's rows have been loaded
		STAGE(staged, 0, next_q)
		STAGE(staged, STEP, next_g)
		for (uint i = gl_LocalInvocationID.x; i < STEP; i += LANES) {
			uint query = min(i0 + i, to - 1);
			stage_c[i] = vec2(lse[query * H + h] * LOG2E, dots[query * H + h]);
			stage_s[i] = i0 + i < to ? keys_of(query) : uvec2(0);
		}
		barrier();
		if (step + 1 < steps * (H / KV)) FETCH_STEP(step + 1)
		UPTO(j, STEP / NN) {
			SUMS s = SUMS(0.0), p = SUMS(0.0);
			UPTO(k, DH / KK) {
				LEFT w;
				RIGHT x;
				coopMatLoad(w, own_rows, base * STRIDE + k * KK / 8, STRIDE, ROW_MAJOR);
				coopMatLoad(x, staged, j * NN * STRIDE + k * KK / 8, STRIDE, COLUMN_MAJOR);
				s = coopMatMulAdd(w, x, s);
				coopMatLoad(x, staged, (STEP + j * NN) * STRIDE + k * KK / 8, STRIDE, COLUMN_MAJOR);
				p = coopMatMulAdd(v[k], x, p);
			}
			coopMatStore(s, scores, base * SCORES + j * NN, SCORES, ROW_MAJOR);
			coopMatStore(p, products, base * SCORES + j * NN, SCORES, ROW_MAJOR);
		}
		barrier(); // a subgroup's own matrices too are seen by plain reads only after one
		UPTO(i, PAIRS) {
			vec2 p, d;
			UPTO(b, 2) {
				uint c = 2 * (column + i * SHARE) + b, at = own * SCORES + c;
				bool meet = key >= stage_s[c].x && key < stage_s[c].y;
				p[b] = meet ? exp2(min(scores[at] * (SCALE * LOG2E) - stage_c[c].x, 0)) : 0; // 1 at most but for rounding
				d[b] = meet ? p[b] * (products[at] - stage_c[c].y) : 0;
			}
			probs[own * WORDS + column + i * SHARE] = narrow(p);
			grads[own * WORDS + column + i * SHARE] = narrow(d);
		}
		barrier();
		UPTO(k, STEP / KK) {
			LEFT p, g;
			coopMatLoad(p, probs, base * WORDS + k * KK / 2, WORDS, ROW_MAJOR);
			coopMatLoad(g, grads, base * WORDS + k * KK / 2, WORDS, ROW_MAJOR);
			UPTO(d, DH / NN) {
				RIGHT x;
				coopMatLoad(x, staged, k * KK * STRIDE + d * NN / 8, STRIDE, ROW_MAJOR);
				dk[d] = coopMatMulAdd(g, x, dk[d]);
				coopMatLoad(x, staged, (STEP + k * KK) * STRIDE + d * NN / 8, STRIDE, ROW_MAJOR);
				dv[d] = coopMatMulAdd(p, x, dv[d]);
			}
		}
	}
	UPTO(d, DH / NN) dk[d] = dk[d] * SCALE;
	STORE_ROWS(dqkv, W, (H + head) * DH, dk)
	STORE_ROWS(dqkv, W, (H + KV + head) * DH, dv)
}
