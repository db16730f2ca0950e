#version 460
#extension GL_GOOGLE_include_directive : require
// Softmax, cross entropy and distillation of a row of logits, and the gradient at the logits, which may overwrite them:
//   p = softmax(z), dz = scale * (p - [(1-w) e_y + w q])                              SALT, arXiv 2410.18779; w = 0: p - e_y
// q is, by TEACHER: 1 softmax(zt / T); 2 the row's soft labels, which sum to 1, and 0 elsewhere; 3 the same, but what they
// lack of 1, their ghost's mass, lies on all other ids as p does there: the gradient of a cross entropy in which these are
// one id, the ghost (arXiv 2503.16870). TEACHER = 0: none, w counts for nothing.
// 0 z [N,V] f32   1 labels [N] u32, >= V: masked   2 params [4] f32: scale, w, 1/T   3 zt [N,V] f32   4 stats [N,8] f32
// 5 dz [N,V] f32, may be z; untouched unless GRADIENT   6 ids [N,K] u32, ascending, then 0xffffffff   7 their q [N,K] f32
// 8 teacher [N,2] f32: -log q(y), entropy of q, as the teacher had them. What TEACHER does not need may be any tensor.
// 9 policy [16] f32, ascending edges e_0..e_7, then r_0..r_7   10 witness [N,4] f32: |p|^2, p.q, |q|^2, g. Both with WITNESS alone:
// g = #{i < 7: entropy of q >= e_i} is the token's bucket, and w r_g takes the place of w: by what the teacher knows, never by y.
// stats: 0 -log p(y)   1 CE(q,p), with a ghost that of the ids and the ghost   2 -log q(y)   3 entropy of q
//        4 argmax p = y, lowest index first   5 p(S) - 1{y in S}   6 p(S) - q(S), S = {v: p(v) > q(v)}   7 1
// Without a teacher 1, 2, 3, 5 and 6 are 0; with soft labels 5 and 6 are, as S is not known; masked rows are 0.
// All in f32, the maximum subtracted first, in a fixed order: same bits on the same device. NaN in a row, NaN in that row.
// With w = 0 the same bits whatever TEACHER is, but for a ghost's, whose softmax sums in another order; and q = p with w = 1
// gives exact zeros: hence the branch on w, and `precise`.
// One workgroup per row. Dispatch N over x and y. Each element is read, once the sums are known, and written by one invocation only,
// so that overwriting needs no barrier but those of the sums. An invocation makes 2 V / (WIDE * workgroup) + 2 K iterations: a CPU
// device allows 16k. Elements are taken WIDE at a time: V % WIDE == 0; where a store costs more than what it stores (runs.glsl)
// and V is even enough, twice as many.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 5
#define RUN_IS_PAIRED
#include "runs.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
layout(constant_id = 2) const uint TEACHER = 0;
const uint LOGITS = 1, SPARSE = 2, GHOST = 3;
layout(constant_id = 3) const uint GRADIENT = 0;
layout(constant_id = 4) const uint WITNESS = 0;
layout(push_constant) uniform P { uint N, V, K; };
INPUT(0, z);
layout(binding = 1) readonly buffer L { uint labels[]; };
layout(binding = 2) readonly buffer H { float params[]; };
layout(binding = 4) writeonly buffer S { vec4 stats[]; };
INPUT(3, zt);
OUTPUT_RUNS(5, dz);
WORDS(6, ids);
WORDS(7, soft); // the bits of floats
layout(binding = 8) readonly buffer T { vec2 teacher[]; };
layout(binding = 9) readonly buffer Q { float policy[]; };
layout(binding = 10) writeonly buffer W { vec4 witness[]; };

// A walk along the row's soft labels in step with its elements: label k is the next, of that id.
struct Walk { uint k, id; };

Walk walk_at(uint row, uint k) { return Walk(k, k < K ? WORD(ids, row * K + k) : 0xffffffff); }

// q of the elements WIDE * i on, RUN * WIDE of them, and which of them are kept. All labels before element WIDE * end are passed: it is
// where the invocations' next round begins, so that they walk alike.
void walk_to(inout Walk w, uint row, uint i, uint end, out REAL q[RUN], out MASK kept[RUN]) {
	EACH(j) {
		q[j] = REAL(0);
		kept[j] = above(REAL(0), REAL(0));
	}
	while (w.id / WIDE < end) {
		REAL label = REAL(uintBitsToFloat(WORD(soft, row * K + w.k)));
		EACH(j) {
			MASK here = same(REAL(WIDE * (i + j)) + OFFSETS, REAL(w.id));
			q[j] = mix(q[j], label, here);
			kept[j] = either(kept[j], here);
		}
		w = walk_at(row, w.k + 1);
	}
}

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint n = V / WIDE, begin = row * n;
	uint label = labels[row];
	if (label >= V) {
		if (GRADIENT == 1) for (uint i = t; i < n; i += lanes) PUT(dz, begin + i, REAL(0));
		if (t < 2) stats[2 * row + t] = vec4(0);
		if (WITNESS == 1 && t == 0) witness[row] = vec4(0);
		return;
	}
	float scale = params[0], w = params[1], sharpness = params[2];

	// With a ghost b is the softmax of the kept ids and a that of the others, whose mass 1 - p(kept) would round away.
	Softmax a = Softmax(LOWEST, 0), b = a;
	float missing = 0, spread = 0, rest = 1, surprise = 0;
	if (TEACHER == GHOST) {
		Walk at = walk_at(row, 0);
		REAL mass = REAL(0);
		for (uint i = RUN * t; i < n; i += RUN * lanes) {
			REAL q[RUN];
			MASK kept[RUN];
			uint k = at.k;
			walk_to(at, row, i, i - RUN * t + RUN * lanes, q, kept);
			EACH(j) {
				REAL x = AT(z, begin + i + j);
				mass += q[j];
				see(a, mix(x, REAL(LOWEST), kept[j]));
				if (at.k > k) see(b, mix(REAL(LOWEST), x, kept[j]));
			}
		}
		a = whole(a);
		b = whole(b);
		float m = max(a.m, b.m), others = a.s * exp(a.m - m);
		a = Softmax(m, others + b.s * exp(b.m - m));
		rest = max(others / a.s, 1e-30);
		missing = max(1 - group_sum(total(mass)), 0);
		spread = missing / rest;
	} else {
		for (uint i = t; i < n; i += lanes) {
			see(a, AT(z, begin + i));
			if (TEACHER == LOGITS) see(b, surprise, AT(zt, begin + i) * sharpness);
		}
		a = whole(a);
		if (TEACHER == LOGITS) b = whole(b, surprise);
	}
	precise float ra = 1 / a.s, rb = 1 / b.s;
	float la = log(a.s), lb = log(b.s), entropy = 0;
	if (TEACHER == LOGITS) entropy = lb - surprise * rb;
	else if (TEACHER != 0) entropy = teacher[row].y;
	uint bucket = 0;
	if (WITNESS == 1) {
		for (uint i = 0; i < 7; i++) bucket += uint(entropy >= policy[i]);
		w *= policy[8 + bucket];
	}

	// zy, uy: the label's logits, in the one invocation that reads them. best: the lowest index of the maximum.
	REAL zy = REAL(0), uy = REAL(0), ce = REAL(0), ps = REAL(0), tv = REAL(0);
	REAL pp = REAL(0), pq = REAL(0), qq = REAL(0), best = REAL(V);
	Walk at = walk_at(row, 0);
	for (uint i = RUN * t; i < n; i += RUN * lanes) {
		REAL gradient[RUN], soft_q[RUN];
		MASK kept[RUN];
		if (TEACHER == SPARSE || TEACHER == GHOST) walk_to(at, row, i, i - RUN * t + RUN * lanes, soft_q, kept);
		EACH(j) {
			REAL index = REAL(WIDE * (i + j)) + OFFSETS;
			MASK hot = same(index, REAL(label));
			REAL x = AT(z, begin + i + j);
			precise REAL p = exp(x - a.m) * ra;
			zy = mix(zy, x, hot);
			best = min(best, mix(REAL(V), index, same(x, REAL(a.m))));
			precise REAL target = mix(REAL(0), REAL(1), hot);
			if (TEACHER == LOGITS) {
				precise REAL u = AT(zt, begin + i + j) * sharpness;
				precise REAL q = exp(u - b.m) * rb;
				uy = mix(uy, u, hot);
				ce += q * (a.m - x);
				ps += mix(REAL(0), p, above(p, q));
				tv += max(p - q, REAL(0));
				if (WITNESS == 1) pq += p * q, qq += q * q;
				if (w != 0) target = (1 - w) * target + w * q;
			} else if (TEACHER != 0) {
				precise REAL q = soft_q[j];
				ce += q * (a.m - x);
				if (TEACHER == GHOST) q = mix(p * spread, q, kept[j]);
				if (WITNESS == 1) pq += p * q, qq += q * q;
				if (w != 0) target = (1 - w) * target + w * q;
			}
			if (WITNESS == 1) pp += p * p;
			precise REAL g = scale * (p - target);
			gradient[j] = g;
		}
		if (GRADIENT == 1) PUT_RUN(dz, begin + i, gradient, n - i);
	}

	float first = -group_max(-lowest(best));
	float cross = 0, mass = 0, variation = 0; // CE, p(S), p(S) - q(S)
	if (TEACHER == LOGITS) {
		cross = la + group_sum(total(ce));
		mass = group_sum(total(ps));
		variation = group_sum(total(tv));
	} else if (TEACHER != 0) {
		cross = (1 - missing) * la + group_sum(total(ce)) - missing * log(rest);
	}
	vec4 products = vec4(0);
	if (WITNESS == 1) products = group_sum(vec4(total(pp), total(pq), total(qq), 0));
	if (t != (label / WIDE / RUN) % lanes) return;
	float x = total(zy), u = total(uy);
	vec4 one = vec4(a.m - x + la, 0, 0, 0), two = vec4(first == float(label), 0, 0, 1);
	if (TEACHER == LOGITS) {
		precise float p = exp(x - a.m) * ra, q = exp(u - b.m) * rb;
		one.yzw = vec3(cross, b.m - u + lb, entropy);
		two.yz = vec2(mass - float(p > q), variation);
	} else if (TEACHER != 0) {
		one.yzw = vec3(cross, teacher[row]);
	}
	stats[2 * row] = one;
	stats[2 * row + 1] = two;
	if (WITNESS == 1) witness[row] = vec4(products.xyz, float(bucket));
}
