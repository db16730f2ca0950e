#version 460
#extension GL_GOOGLE_include_directive : require
// Attention for devices that are a CPU; contract as attention.comp, with dh a multiple of 4. Scores: lanes hold keys; output:
// lanes hold columns, so that the probabilities of a row, as they lie, are the texels that are handed round.
// Dispatch H * sequences * ceil(T / ROWS).
#define SPANS 4
#include "index.glsl"
#include "attention_texel.glsl"
TEXELS(0, mine);
TEXELS(1, theirs);
layout(binding = 2) buffer O { u64vec2 o[]; };
layout(binding = 3) buffer L { float lse[]; };
TEXELS(5, before); // o

// For the largest and the sum over the lanes: a reduction is a loop over them in some drivers.
float partner(float x, uint k) { return subgroupShuffle(x, lane ^ 1 << k); }

void main() {
	if (!take(H, true)) return;
	uint least = keys_of(begin).x, from = max(least, s0), to = min(keys_of(last - 1).y, s1); // the keys of this window
	if (from >= to) return;
	uint stride = W / 4, keys = (H + head / (H / KV)) * NT, values = keys + KV * NT;
	uint at[NA];
	uvec2 seen[NA];
	UPTO(i, NA) {
		uint n = own_row(8 * i + lane % 8);
		at[i] = (n - m0) * stride + head * NT;
		seen[i] = keys_of(n);
	}
	vec4 y[ROWS][COLS];
	float top[ROWS], sum[ROWS]; // of the exponents, base 2; the sum is this lane's part
	UPTO(r, ROWS) {
		UPTO(c, COLS) y[r][c] = LEFT(least < s0, before, ((own_row(r) - m0) * H + head) * NT + column(c));
		top[r] = NEVER;
		sum[r] = 0;
	}
	if (least < s0) UPTO(r, ROWS) { // earlier keys were met by the launch before
		top[r] = lse[(own_row(r) - m0) * H + head] * LOG2E;
		sum[r] = lane == 0 ? 1 : 0;
	}
	for (uint j0 = from; j0 < to; j0 += STEP) {
		vec4 p[ROWS];
		UPTO(r, ROWS) p[r] = vec4(0);
		uvec4 key = j0 + 4 * lane + uvec4(0, 1, 2, 3);
		uvec4 bt = (min(key, to - 1) - s0) * stride + keys;
		PRODUCTS(p, mine, at, theirs, bt)
		UPTO(r, ROWS) {
			uint start = subgroupShuffle(seen[r / 8].x, r % 8), end = min(subgroupShuffle(seen[r / 8].y, r % 8), to);
			bvec4 met;
			UPTO(i, 4) met[i] = key[i] >= start && key[i] < end;
			p[r] = mix(vec4(NEVER), p[r] * (SCALE * LOG2E), met);
			float high = max(max(p[r].x, p[r].y), max(p[r].z, p[r].w));
			UPTO(k, 7) if (1 << k < LANES) high = max(high, partner(high, k));
			high = max(high, top[r]);
			float shrink = exp2(top[r] - high);
			top[r] = high;
			p[r] = exp2(p[r] - high);
			sum[r] = sum[r] * shrink + ((p[r].x + p[r].y) + (p[r].z + p[r].w));
			UPTO(c, COLS) y[r][c] *= shrink;
		}
		COMBINE(y, p, theirs, j0, to, stride, values)
	}
	UPTO(r, ROWS) {
		UPTO(k, 7) if (1 << k < LANES) sum[r] += partner(sum[r], k);
		if (own_row(r) != begin + r) continue;
		uint n = (begin + r - m0) * H + head;
		UPTO(c, COLS) if (c * LANES + lane < NT) o[n * NT + c * LANES + lane] = words64(y[r][c] / sum[r]);
		if (lane == 0) lse[n] = (top[r] + log2(sum[r])) / LOG2E;
	}
}
