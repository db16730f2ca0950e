#version 460
#extension GL_GOOGLE_include_directive : require
// Gradient of attention.comp for keys and values: dv[j,g] = sum p do[n,h], dk[j,g] = sum ds q[n,h] / sqrt(dh), with
// p = exp(q[n,h] . k[j,g] / sqrt(dh) - lse[n,h]), ds = p (do[n,h] . v[j,g] - D[n,h]), over the query heads h of the key head g
// and the rows n >= j of the same sequence.
// 0 qkv, own rows   1 qkv, rows of the queries   2 do [N, H dh] f32   3 lse [N,H] f32   4 D [N,H] f32, attention_dot.comp
// 5 dqkv as qkv: the k and v columns are written, the others left alone
// An invocation owns ROWS keys of one head and keeps k, v, dk, dv in registers; heads ascend, within them queries: same bits
// on the same device, no atomics. Dispatch KV * sequences * ceil(T / (workgroup * ROWS)). Any T, any dh.
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

#ifdef TEXEL
// One lane reads what belongs to one query, the step's queries together: a storage load is a loop over the lanes there.
vec2 stage_c;
#define C(j) subgroupShuffle(stage_c, j)
#define STAGE_C(n) stage_c = vec2(lse[n * H + h], dots[n * H + h])
#define QUERY gl_SubgroupInvocationID
#else
shared vec2 stage_c[STAGE];
#define C(j) stage_c[j]
#define STAGE_C(n) if (gl_LocalInvocationID.x < STAGE) stage_c[gl_LocalInvocationID.x] = vec2(lse[n * H + h], dots[n * H + h])
#define QUERY gl_LocalInvocationID.x
#endif

void main() {
	if (!place(KV, false)) return;
	uint from = max(begin, s0), to = min(first + T, s1); // the queries of this window that see some own key
	if (from >= to) return;
	uint keys = (H + head) * DH, values = keys + KV * DH;
	vec4 k[ROWS][NT], v[ROWS][NT], dk[ROWS][NT], dv[ROWS][NT];
	UPTO(r, ROWS) {
		uint n = row[r] - m0;
		bool resume = row[r] < s0; // this key's own query lies in an earlier window
		EACH(t) {
			k[r][t] = LOAD(mine, n * W + keys, t) * (SCALE * LOG2E);
			v[r][t] = LOAD(mine, n * W + values, t);
			dk[r][t] = dv[r][t] = vec4(0);
			if (resume) {
				dk[r][t] = RELOAD(dqkv, n * W + keys, t);
				dv[r][t] = RELOAD(dqkv, n * W + values, t);
			}
		}
	}
	for (uint h = head * (H / KV); h < (head + 1) * (H / KV); h++)
	for (uint i0 = from; i0 < to; i0 += STAGE) {
		STAGE_SYNC();
		STAGE_ROWS(a, theirs, i0, to, W, h * DH);
		STAGE_ROWS(b, dout, i0, to, H * DH, h * DH);
		uint query = min(i0 + QUERY, to - 1) - s0;
		STAGE_C(query);
		STAGE_SYNC();
		EACH_STEP(i, to - i0) {
			float p[ROWS][STEP], ds[ROWS][STEP];
			UPTO(r, ROWS) UPTO(b, STEP) p[r][b] = ds[r][b] = 0;
			EACH(t) UPTO(b, STEP) {
				vec4 q = A(i + b, t), g = B(i + b, t);
				UPTO(r, ROWS) {
					p[r][b] += dot(k[r][t], q);
					ds[r][b] += dot(v[r][t], g);
				}
			}
			UPTO(b, STEP) {
				vec2 c = C(i + b); // lse, D
				uint n = i0 + i + b;
				UPTO(r, ROWS) {
					p[r][b] = n >= row[r] && n < to ? exp2(min(p[r][b] - c.x * LOG2E, 0)) : 0; // 0 at most but for rounding
					ds[r][b] = p[r][b] * (ds[r][b] - c.y) * SCALE;
				}
			}
			EACH(t) UPTO(b, STEP) {
				vec4 q = A(i + b, t), g = B(i + b, t);
				UPTO(r, ROWS) {
					dv[r][t] += p[r][b] * g;
					dk[r][t] += ds[r][b] * q;
				}
			}
		}
	}
	UPTO(r, ROWS) if (own[r] && row[r] < s1) {
		uint n = row[r] - m0;
		EACH(t) {
			STORE(dqkv, n * W + keys, t, dk[r][t]);
			STORE(dqkv, n * W + values, t, dv[r][t]);
		}
	}
}
