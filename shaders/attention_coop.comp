#version 460
#extension GL_GOOGLE_include_directive : require
// Attention by cooperative matrices; contract as attention.comp, but:
// 0, 1 qkv: f16 or bf16, all rows.
// A subgroup keeps q and o of its MM rows in registers. Scores go through workgroup memory as f32, where subgroup / MM
// invocations share a row; the probabilities, relative to the row's maximum so far, come back as 16 bits.
// Dispatch H * sequences * ceil(T / ROWS).
//! newer
//! variant f16: -DELEMENT=float16_t
//! variant bf16: -DELEMENT=float16_t --bfloat16
#extension GL_KHR_shader_subgroup_shuffle : require
#define SPANS 4
#include "index.glsl"
#include "attention_coop.glsl"
#define HALF_ID 6
#include "half.glsl"
layout(binding = 0) readonly buffer Mine { uvec4 mine[]; };
layout(binding = 1) readonly buffer Theirs { uvec4 theirs[]; };
layout(binding = 2) buffer O { float o[]; };
layout(binding = 3) buffer L { float lse[]; };

shared uvec4 staged[(ROWS > STEP ? ROWS : STEP) * STRIDE];
shared float scores[ROWS * SCORES];
#define SPARE SCORES
#define spare scores
shared uint probs[ROWS * WORDS];

uint own, column; // this invocation's row in the workgroup, its first pair of columns

// Multiply the rows of the sums by what each row's invocations put, which takes the place of the scores.
#define PUT_FACTOR(f) UPTO(i_, PAIRS) UPTO(b_, 2) scores[own * SCORES + 2 * (column + i_ * SHARE) + b_] = f
#define SCALE_ROWS(y) { \
		SUMS f_; \
		coopMatLoad(f_, scores, gl_SubgroupID * MM * SCORES, SCORES, ROW_MAJOR); \
		UPTO(d_, DH / NN) y[d_] = y[d_] * f_; \
	}

void main() {
	if (!take(H, true)) return;
	uint from = keys_of(begin).x, to = keys_of(last - 1).y;
	uint width = W / 8, keys = (H + head / (H / KV)) * D8, values = keys + KV * D8;
	uint base = gl_SubgroupID * MM;
	own = base + gl_SubgroupInvocationID / SHARE;
	column = gl_SubgroupInvocationID % SHARE;
	uvec2 seen = keys_of(min(begin + own, last - 1));

	uvec4 next[EACH];
	FETCH(next, theirs, from, to, width, keys)
	STAGE_OWN(staged, mine, width, head * D8);
	barrier();
	LEFT q[DH / KK];
	LOAD_OWN(q, staged)
	SUMS y[DH / NN];
	UPTO(d, DH / NN) y[d] = SUMS(0.0);
	float top = NEVER, sum = 0; // of the exponents, base 2; the sum is this invocation's part
	for (uint j0 = from; j0 < to; j0 += STEP) {
		barrier(); // q, or the last values, have been loaded
		STAGE(staged, 0, next)
		barrier();
		FETCH(next, theirs, j0, to, width, values)
		UPTO(j, STEP / NN) {
			SUMS s = SUMS(0.0);
			UPTO(k, DH / KK) {
				RIGHT x;
				coopMatLoad(x, staged, j * NN * STRIDE + k * KK / 8, STRIDE, COLUMN_MAJOR);
				s = coopMatMulAdd(q[k], x, s);
			}
			coopMatStore(s, scores, base * SCORES + j * NN, SCORES, ROW_MAJOR);
		}
		barrier(); // a subgroup's own matrices too are seen by plain reads only after one
		STAGE(staged, 0, next)
		vec2 p[PAIRS];
		float high = top;
		UPTO(i, PAIRS) UPTO(b, 2) {
			uint c = 2 * (column + i * SHARE) + b;
			p[i][b] = j0 + c >= seen.x && j0 + c < seen.y ? scores[own * SCORES + c] * (SCALE * LOG2E) : NEVER;
			high = max(high, p[i][b]);
		}
		UPTO(k, 6) if (1 << k < SHARE) high = max(high, subgroupShuffleXor(high, 1 << k));
		float shrink = exp2(top - high);
		top = high;
		sum *= shrink;
		UPTO(i, PAIRS) {
			p[i] = exp2(p[i] - high);
			sum += p[i].x + p[i].y;
			probs[own * WORDS + column + i * SHARE] = narrow(p[i]);
		}
		PUT_FACTOR(shrink); // where this invocation, and no other, has read
		barrier();
		if (j0 + STEP < to) FETCH(next, theirs, j0 + STEP, to, width, keys)
		SCALE_ROWS(y)
		UPTO(k, STEP / KK) {
			LEFT x;
			coopMatLoad(x, probs, base * WORDS + k * KK / 2, WORDS, ROW_MAJOR);
			UPTO(d, DH / NN) {
				RIGHT v;
				coopMatLoad(v, staged, k * KK * STRIDE + d * NN / 8, STRIDE, ROW_MAJOR);
				y[d] = coopMatMulAdd(x, v, y[d]);
			}
		}
	}
	UPTO(k, 6) if (1 << k < SHARE) sum += subgroupShuffleXor(sum, 1 << k);
	if (column == 0 && begin + own < last) lse[(begin + own) * H + head] = (top + log2(sum)) / LOG2E;
	barrier(); // the last factors have been loaded
	PUT_FACTOR(1 / sum);
	barrier();
	SCALE_ROWS(y)
	STORE_ROWS(o, H * DH, head * DH, y)
}
