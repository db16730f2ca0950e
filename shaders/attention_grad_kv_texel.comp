#version 460
#extension GL_GOOGLE_include_directive : require
// Attention's gradient for keys and values on devices that are a CPU; contract as attention_grad_kv.comp, with dh a multiple
// of 4. Rows of the tiles are keys, lanes hold queries, then columns: p and ds, as they lie, are handed round for dv and dk.
// Dispatch KV * sequences * ceil(T / ROWS).
#define SPANS 7
#include "index.glsl"
#include "attention_texel.glsl"
layout(constant_id = 3) const uint QUADS = 1; // 1: windows begin at every fourth row of a sequence, so that ds goes by four
TEXELS(0, mine);
TEXELS(1, theirs);
TEXELS(2, dout);
layout(binding = 3) readonly buffer L { float lse[]; };
layout(binding = 4) readonly buffer D { float dots[]; };
layout(binding = 5) buffer Y { u64vec2 dqkv[]; };
layout(binding = 6) buffer S { float ds[]; };
layout(binding = 6) buffer S4 { u64vec2 ds4[]; }; // the same, four queries at a time
TEXELS(8, before); // dqkv
TEXELS(9, scores); // ds

void main() {
	if (!take(KV, false)) return;
	uvec2 queries = queries_of();
	uint from = max(queries.x, s0), to = min(queries.y, s1); // the queries of this window that see some own key
	if (from >= to) return;
	uint stride = W / 4, keys = (H + head) * NT, values = keys + KV * NT;
	uint at[NA], av[NA];
	UPTO(i, NA) {
		at[i] = (own_row(8 * i + lane % 8) - m0) * stride + keys;
		av[i] = at[i] + KV * NT;
	}
	vec4 dk[ROWS][COLS], dv[ROWS][COLS];
	UPTO(r, ROWS) UPTO(c, COLS) {
		uint n = (own_row(r) - m0) * stride + column(c);
		dk[r][c] = LEFT(queries.x < s0, before, n + keys);
		dv[r][c] = LEFT(queries.x < s0, before, n + values);
	}
	if (QUADS == 1) from -= (from - first) % 4; // queries before see no own key
	for (uint h = head * (H / KV), i0 = from;;) { // see attention_texel.glsl
		vec4 p[ROWS], d[ROWS];
		UPTO(r, ROWS) p[r] = d[r] = vec4(0);
		UPTO(i, ROWS / 4) { // ds has ROWS * STEP / 16 lines of 16 elements here, of which a lane loads one after the other
			uint n = i * LANES + lane, q = min(i0 + n % (STEP / 16) * 16, to - 1), key = min(begin + n / (STEP / 16), last - 1);
			p[i].x = nothing_of(AT(scores, score_at(q, h, key, s0) / 4).x);
		}
		uvec4 query = min(i0 + 4 * lane + uvec4(0, 1, 2, 3), to - 1) - s0;
		uvec4 bt = query * stride + h * NT;
		PRODUCTS(p, mine, at, theirs, bt)
		bt = (query * H + h) * NT;
		PRODUCTS(d, mine, av, dout, bt)
		vec4 top, D;
		uvec4 place; // of ds with the first own key
		uvec4 start, end; // of the keys that this lane's queries see; none if there is no such query
		UPTO(i, 4) {
			top[i] = lse[query[i] * H + h] * LOG2E;
			D[i] = dots[query[i] * H + h];
			place[i] = score_at(query[i] + s0, h, begin, s0);
			uvec2 seen = keys_of(query[i] + s0);
			start[i] = seen.x;
			end[i] = i0 + 4 * lane + i < to ? seen.y : 0;
		}
		UPTO(r, ROWS) {
			uint key = begin + r;
			bvec4 met;
			UPTO(i, 4) met[i] = key >= start[i] && key < end[i];
			p[r] = mix(vec4(0), exp2(min(p[r] * (SCALE * LOG2E) - top, 0)), met); // 1 at most but for rounding
			d[r] = p[r] * (d[r] - D) * SCALE;
			if (own_row(r) != key) continue;
			if (QUADS == 1) {
				if (i0 + 4 * lane < to) ds4[place.x / 4 + 4 * r] = words64(d[r]);
			} else UPTO(i, 4) if (i0 + 4 * lane + i < to) ds[place[i] + 16 * r] = d[r][i];
		}
		COMBINE(dv, p, dout, i0, to, H * NT, h * NT)
		COMBINE(dk, d, theirs, i0, to, stride, h * NT)
		if ((i0 += STEP) >= to) {
			if (++h == (head + 1) * (H / KV)) break;
			i0 = from;
		}
	}
	UPTO(r, ROWS) if (own_row(r) == begin + r) UPTO(c, COLS) if (c * LANES + lane < NT) {
		uint n = (begin + r - m0) * stride + c * LANES + lane;
		dqkv[n + keys] = words64(dk[r][c]);
		dqkv[n + values] = words64(dv[r][c]);
	}
}
