#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention_coop.comp for the queries; contract as attention_grad_q.comp's half variant, but 0, 1 qkv and 2 do are
// f16 or bf16, all rows. A subgroup keeps q, do and dq of its MM rows in registers. Scores and the products do . v go through
// workgroup memory as f32, where subgroup / MM invocations share a row; ds, not yet divided by sqrt(dh), comes back as 16 bits.
// Keys ascend: same bits on the same device. Dispatch H * sequences * ceil(T / ROWS).
//! newer
//! variant f16: -DELEMENT=float16_t
//! variant bf16: -DELEMENT=float16_t --bfloat16
#define SPANS 6
#include "index.glsl"
#include "attention_coop.glsl"
#include "attention_grad_coop.glsl"
shared uvec4 staged[(ROWS > 2 * STEP ? ROWS : 2 * STEP) * STRIDE]; // keys, values
shared uint grads[ROWS * WORDS];

void main() {
	if (!take(H, true)) return;
	uint from = keys_of(begin).x, to = keys_of(last - 1).y;
	uint width = W / 8, keys = (H + head / (H / KV)) * D8, values = keys + KV * D8;
	uint base = gl_SubgroupID * MM, own = base + gl_SubgroupInvocationID / SHARE, column = gl_SubgroupInvocationID % SHARE;
	uint row = min(begin + own, last - 1);
	uvec2 seen = keys_of(row);
	float top = lse[row * H + head] * LOG2E, D = dots[row * H + head];

	uvec4 next_k[EACH], next_v[EACH];
	FETCH(next_k, theirs, from, to, width, keys)
	FETCH(next_v, theirs, from, to, width, values)
	LEFT q[DH / KK], g[DH / KK];
	STAGE_OWN(staged, mine, width, head * D8);
	barrier();
	LOAD_OWN(q, staged)
	barrier();
	STAGE_OWN(staged, dout, H * D8, head * D8);
	barrier();
	LOAD_OWN(g, staged)
	SUMS y[DH / NN];
	UPTO(d, DH / NN) y[d] = SUMS(0.0);
	for (uint j0 = from; j0 < to; j0 += STEP) {
		barrier(); // do, or the last keys, have been loaded
		STAGE(staged, 0, next_k)
		STAGE(staged, STEP, next_v)
		barrier();
		if (j0 + STEP < to) {
			FETCH(next_k, theirs, j0 + STEP, to, width, keys)
			FETCH(next_v, theirs, j0 + STEP, to, width, values)
		}
		UPTO(j, STEP / NN) {
			SUMS s = SUMS(0.0), p = SUMS(0.0);
			UPTO(k, DH / KK) {
				RIGHT x;
				coopMatLoad(x, staged, j * NN * STRIDE + k * KK / 8, STRIDE, COLUMN_MAJOR);
				s = coopMatMulAdd(q[k], x, s);
				coopMatLoad(x, staged, (STEP + j * NN) * STRIDE + k * KK / 8, STRIDE, COLUMN_MAJOR);
				p = coopMatMulAdd(g[k], x, p);
			}
			coopMatStore(s, scores, base * SCORES + j * NN, SCORES, ROW_MAJOR);
			coopMatStore(p, products, base * SCORES + j * NN, SCORES, ROW_MAJOR);
		}
		barrier(); // a subgroup's own matrices too are seen by plain reads only after one
		UPTO(i, PAIRS) {
			vec2 d;
			UPTO(b, 2) {
				uint c = 2 * (column + i * SHARE) + b, at = own * SCORES + c;
				float p = exp2(min(scores[at] * (SCALE * LOG2E) - top, 0)); // 1 at most but for rounding
				d[b] = j0 + c >= seen.x && j0 + c < seen.y ? p * (products[at] - D) : 0;
			}
			grads[own * WORDS + column + i * SHARE] = narrow(d);
		}
		barrier();
		UPTO(k, STEP / KK) {
			LEFT x;
			coopMatLoad(x, grads, base * WORDS + k * KK / 2, WORDS, ROW_MAJOR);
			UPTO(d, DH / NN) {
				RIGHT w;
				coopMatLoad(w, staged, k * KK * STRIDE + d * NN / 8, STRIDE, ROW_MAJOR);
				y[d] = coopMatMulAdd(x, w, y[d]);
			}
		}
	}
	UPTO(d, DH / NN) y[d] = y[d] * SCALE;
	STORE_ROWS(dqkv, W, head * DH, y)
}
