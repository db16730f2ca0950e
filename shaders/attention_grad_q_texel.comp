#version 460
#extension GL_GOOGLE_include_directive : require
// Attention's gradient for the queries on devices that are a CPU; contract as attention_grad_q.comp, with dh a multiple of 4: a
// matrix product with the transposed rows of ds as its first operand. Dispatch H * sequences * ceil(T / ROWS).
#define SPANS 3
#include "index.glsl"
#include "attention_texel.glsl"
TEXELS(0, theirs);
TEXELS(1, ds);
layout(binding = 2) buffer Y { u64vec2 dqkv[]; };
TEXELS(4, before); // dqkv

void main() {
	if (!take(H, true)) return;
	uint least = keys_of(begin).x, from = max(least, s0), to = min(keys_of(last - 1).y, s1);
	if (from >= to) return;
	uint stride = W / 4, keys = (H + head / (H / KV)) * NT;
	// A lane fetches the ds of one of four keys and four queries, of all eight rows of each i.
	uint quad[NA];
	uvec4 start[NA], end[NA]; // of the keys that these queries see
	UPTO(i, NA) {
		uint n = begin + 8 * i + 4 * (lane % 2);
		quad[i] = score_at(min(n, first + (T - 1) / 4 * 4), head, first, m0) / 4;
		UPTO(k, 4) {
			uvec2 seen = keys_of(min(n + k, last - 1));
			start[i][k] = seen.x;
			end[i][k] = seen.y;
		}
	}
	vec4 y[ROWS][COLS];
	UPTO(r, ROWS) UPTO(c, COLS) y[r][c] = LEFT(least < s0, before, (own_row(r) - m0) * stride + head * NT + column(c));
	for (uint j = from; j < to; j += 4) {
		uint key = j + lane % 8 / 2;
		vec4 va[NA], v[4][COLS];
		UPTO(i, NA) {
			bvec4 met;
			UPTO(k, 4) met[k] = key >= start[i][k] && key < min(end[i][k], to);
			va[i] = mix(vec4(0), AT(ds, (min(key, to - 1) - first) * 4 + quad[i]), met);
		}
		UPTO(i, 4) UPTO(c, COLS) v[i][c] = AT(theirs, (min(j + i, to - 1) - s0) * stride + keys + column(c));
		UPTO(r, ROWS) {
			vec4 x;
			UPTO(i, 4) x[i] = subgroupShuffle(va[r / 8][r % 4], 2 * i + r % 8 / 4);
			UPTO(c, COLS) y[r][c] += x.x * v[0][c] + x.y * v[1][c] + x.z * v[2][c] + x.w * v[3][c];
		}
	}
	UPTO(r, ROWS) if (own_row(r) == begin + r) UPTO(c, COLS) if (c * LANES + lane < NT)
		dqkv[(begin + r - m0) * stride + head * NT + c * LANES + lane] = words64(y[r][c]);
}
