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

// m[r] of eight rows, each lane's own: joined over the lanes, m[0] is that of row lane % 8. In three exchanges a lane gives half of its rows away
// and gets the partner's of those it keeps, which for eight rows costs hardly more than for two. A reduction is a loop over the lanes in some drivers.
#define OVER_LANES(m, join) { \
	UPTO(k, 3) UPTO(i, 4 >> k) { \
		bool second = (lane >> k & 1) == 1; \
		m[i] = join(second ? m[2 * i + 1] : m[2 * i], subgroupShuffle(second ? m[2 * i] : m[2 * i + 1], lane ^ 1 << k)); \
	} \
	UPTO(k, 7) if (k > 2 && 1 << k < LANES) m[0] = join(m[0], subgroupShuffle(m[0], lane ^ 1 << k)); \
}
float plus(float a, float b) { return a + b; }

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
	float top[NA];   // of the exponents, base 2, of row 8 i + lane % 8
	float sum[ROWS]; // this lane's part
	bool again = least < s0; // earlier keys were met by the launch before
	UPTO(i, NA) top[i] = again ? lse[(own_row(8 * i + lane % 8) - m0) * H + head] * LOG2E : NEVER;
	UPTO(r, ROWS) {
		UPTO(c, COLS) y[r][c] = LEFT(again, before, ((own_row(r) - m0) * H + head) * NT + column(c));
		sum[r] = again && lane == 0 ? 1 : 0;
	}
	for (uint j0 = from;;) { // see attention_texel.glsl
		vec4 p[ROWS];
		UPTO(r, ROWS) p[r] = vec4(0);
		uvec4 key = j0 + 4 * lane + uvec4(0, 1, 2, 3);
		uvec4 bt = (min(key, to - 1) - s0) * stride + keys;
		PRODUCTS(p, mine, at, theirs, bt)
		UPTO(i, NA) {
			float high[8];
			UPTO(k, 8) {
				uint r = 8 * i + k, start = subgroupShuffle(seen[i].x, k), end = min(subgroupShuffle(seen[i].y, k), to);
				bvec4 met;
				UPTO(j, 4) met[j] = key[j] >= start && key[j] < end;
				p[r] = mix(vec4(NEVER), p[r] * (SCALE * LOG2E), met);
				high[k] = max(max(p[r].x, p[r].y), max(p[r].z, p[r].w));
			}
			OVER_LANES(high, max)
			float highest = max(high[0], top[i]), shrinks = exp2(top[i] - highest);
			top[i] = highest;
			UPTO(k, 8) {
				uint r = 8 * i + k;
				float shrink = subgroupShuffle(shrinks, k);
				p[r] = exp2(p[r] - subgroupShuffle(highest, k));
				sum[r] = sum[r] * shrink + ((p[r].x + p[r].y) + (p[r].z + p[r].w));
				UPTO(c, COLS) y[r][c] *= shrink;
			}
		}
		COMBINE(y, p, theirs, j0, to, stride, values)
		if ((j0 += STEP) >= to) break;
	}
	UPTO(i, NA) {
		float whole[8];
		UPTO(k, 8) whole[k] = sum[8 * i + k];
		OVER_LANES(whole, plus)
		float inverse = 1 / whole[0];
		uint one = 8 * i + lane % 8;
		if (lane < 8 && own_row(one) == begin + one) lse[(begin + one - m0) * H + head] = (top[i] + log2(whole[0])) / LOG2E;
		UPTO(k, 8) {
			uint r = 8 * i + k, n = (begin + r - m0) * H + head;
			float scale = subgroupShuffle(inverse, k);
			if (own_row(r) != begin + r) continue;
			UPTO(c, COLS) if (c * LANES + lane < NT) o[n * NT + c * LANES + lane] = words64(y[r][c] * scale);
		}
	}
}
