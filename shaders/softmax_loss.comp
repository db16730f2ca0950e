#version 460
#extension GL_GOOGLE_include_directive : require
// Softmax, cross entropy and distillation of a row of logits, and the gradient at the logits, which may overwrite them:
//   p = softmax(z), q = softmax(zt / T), dz = scale * (p - [(1-w) e_y + w q])         SALT, arXiv 2410.18779; w = 0: p - e_y
// 0 z [N,V] f32   1 labels [N] u32, >= V: masked   2 params [4] f32: scale, w, 1/T   3 zt [N,V] f32, z unless DISTILL
// 4 stats [N,8] f32   5 dz [N,V] f32, may be z; untouched unless GRADIENT
// stats: 0 -log p(y)   1 CE(q,p)   2 -log q(y)   3 entropy of q   4 argmax p = y, lowest index first
//        5 p(S) - 1{y in S}   6 p(S) - q(S), S = {v: p(v) > q(v)}   7 1. Without DISTILL 1, 2, 3, 5 and 6 are 0; masked rows are 0.
// All in f32, the maximum subtracted first, in a fixed order: same bits on the same device. NaN in a row, NaN in that row.
// With w = 0 the same bits with and without DISTILL, and q = p with w = 1 gives exact zeros: hence the branch on w, and
// `precise`.
// One workgroup per row. Dispatch N over x and y. Each element is read and written by one invocation only, so that
// overwriting needs no barrier. An invocation makes 2 V / (WIDE * workgroup) iterations: a CPU device allows 16k.
// Elements are taken WIDE at a time: V % WIDE == 0.
#include "index.glsl"
#include "wide.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
layout(constant_id = 2) const uint DISTILL = 0;
layout(constant_id = 3) const uint GRADIENT = 0;
layout(push_constant) uniform P { uint N, V; };
INPUT(0, z);
layout(binding = 1) readonly buffer L { uint labels[]; };
layout(binding = 2) readonly buffer H { float params[]; };
layout(binding = 4) writeonly buffer S { vec4 stats[]; };
INPUT(3, zt);
OUTPUT(5, dz);

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	uint n = V / WIDE, begin = row * n;
	uint label = labels[row];
	if (label >= V) {
		if (GRADIENT == 1) for (uint i = t; i < n; i += lanes) PUT(dz, begin + i, REAL(0));
		if (t < 2) stats[2 * row + t] = vec4(0);
		return;
	}
	float scale = params[0], w = params[1], sharpness = params[2];

	Softmax a = Softmax(LOWEST, 0), b = a;
	for (uint i = t; i < n; i += lanes) {
		see(a, AT(z, begin + i));
		if (DISTILL == 1) see(b, AT(zt, begin + i) * sharpness);
	}
	a = whole(a);
	if (DISTILL == 1) b = whole(b);
	precise float ra = 1 / a.s, rb = 1 / b.s;

	// zy, uy: the label's logits, in the one invocation that reads them. best: the lowest index of the maximum.
	REAL zy = REAL(0), uy = REAL(0), ce = REAL(0), entropy = REAL(0), ps = REAL(0), tv = REAL(0);
	REAL best = REAL(V);
	for (uint i = t; i < n; i += lanes) {
		REAL index = REAL(WIDE * i) + OFFSETS;
		MASK hot = same(index, REAL(label));
		REAL x = AT(z, begin + i);
		precise REAL p = exp(x - a.m) * ra;
		zy = mix(zy, x, hot);
		best = min(best, mix(REAL(V), index, same(x, REAL(a.m))));
		precise REAL target = mix(REAL(0), REAL(1), hot);
		if (DISTILL == 1) {
			precise REAL u = AT(zt, begin + i) * sharpness;
			precise REAL q = exp(u - b.m) * rb;
			uy = mix(uy, u, hot);
			ce += q * (a.m - x);
			entropy += q * (b.m - u);
			ps += mix(REAL(0), p, above(p, q));
			tv += max(p - q, REAL(0));
			if (w != 0) target = (1 - w) * target + w * q;
		}
		if (GRADIENT == 1) {
			precise REAL g = scale * (p - target);
			PUT(dz, begin + i, g);
		}
	}

	float first = -group_max(-lowest(best));
	float la = log(a.s), lb = log(b.s);
	vec4 teacher = vec4(0);
	if (DISTILL == 1)
		teacher = vec4(la + group_sum(total(ce)), lb + group_sum(total(entropy)), group_sum(total(ps)), group_sum(total(tv)));
	if (t != (label / WIDE) % lanes) return;
	float x = total(zy), u = total(uy);
	vec4 one = vec4(a.m - x + la, 0, 0, 0), two = vec4(first == float(label), 0, 0, 1);
	if (DISTILL == 1) {
		precise float p = exp(x - a.m) * ra, q = exp(u - b.m) * rb;
		one.yzw = vec3(teacher.x, b.m - u + lb, teacher.y);
		two.yz = vec2(teacher.z - float(p > q), teacher.w);
	}
	stats[2 * row] = one;
	stats[2 * row + 1] = two;
}
