#version 460
#extension GL_GOOGLE_include_directive : require
// Rotary position embedding: (x[i], x[i+dh/2]) turned by position * theta^(-2i/dh), in place, in the first heads of each row;
// position = start + row % T. Pairs are a head's halves, as in Hugging Face's Llama, not neighbours.   arXiv 2104.09864
// 0 x [N, row] f32   1 x again, to be written: an invocation reads its elements before it writes them and no other's
// Angles are whole numbers, in units of 2^-64 of a turn: frequency times position wraps as angles do, so that position 32,768
// is as exact as position 1 (about 1e-7 in the result), and no driver's sin, cos, pow or exp2 matters.
// An invocation turns RUN * WIDE pairs, from i on, of all heads of some rows. Dispatch ceil(dh/2 / RUN / WIDE) ceil(N / rows) invocations.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
layout(push_constant) uniform P {
	uint n, row, heads, DH; // rows, elements of each, heads to turn, head size
	uint T, start, inverse; // rows of a sequence, position of its first row, 1: turn backwards
	uint first, rows;       // row % T of the first row of this window; rows of an invocation
	uvec2 power[7];         // theta^(-2 2^b / dh) in units of 2^-64, low word first
	uvec2 slow;             // 1 / factor of a longer context, likewise
	uvec2 steep, offset;    // of s = 2^bits (steep f - offset), how much of a frequency f stays, cut to [0, 1]; likewise
	uint bits;              // 0: all of it
};
INPUT(0, x);
OUTPUT_RUNS(1, y);

// The high 64 bits of a product, less at most 2 for carries left out.
uvec2 product(uvec2 a, uvec2 b) {
	uint lo, hi, m1, m2, unused, carry;
	umulExtended(a.y, b.y, hi, lo);
	umulExtended(a.x, b.y, m1, unused);
	umulExtended(a.y, b.x, m2, unused);
	lo = uaddCarry(lo, m1, carry);
	hi += carry;
	lo = uaddCarry(lo, m2, carry);
	return uvec2(lo, hi + carry);
}

uvec2 minus(uvec2 a, uvec2 b) {
	uint borrow, low = usubBorrow(a.x, b.x, borrow);
	return uvec2(low, a.y - b.y - borrow);
}

// The frequency of pair i: the turn per position, theta^(-2i/dh) / 2 pi; for a context that was made longer the slow ones divided by
// a factor, those in between in part, s of what they lose kept (Llama 3.1).
uvec2 frequency(uint i) {
	uvec2 f = uvec2(0x9391054a, 0x28be60db); // 1 / 2 pi
	for (uint b = 0; b < 7; b++) if ((i >> b & 1) == 1) f = product(f, power[b]);
	if (bits == 0) return f;
	uint carry;
	uvec2 low = product(f, slow), s = product(f, steep);
	if (s.y < offset.y || s.y == offset.y && s.x <= offset.x) return low;
	s = minus(s, offset);
	if (s.y >> 32 - bits > 0) return f;
	uvec2 rest = product(minus(f, low), uvec2(s.x << bits, s.y << bits | s.x >> 32 - bits));
	low.x = uaddCarry(low.x, rest.x, carry);
	low.y += rest.y + carry;
	return low;
}

// cos and sin of the angle at a position: nearest quarter turn by integers, the rest by Taylor series.
vec2 turn(uvec2 f, uint position) {
	uint high, low;
	umulExtended(f.x, position, high, low);
	uint angle = f.y * position + high;
	uint quarter = (angle + 0x20000000u) >> 30;
	float a = float(int(angle - (quarter << 30))) * 1.46291808e-9; // 2 pi / 2^32; within pi / 4
	float q = a * a;
	float s = a * (1 + q * (-1 / 6. + q * (1 / 120. + q * (-1 / 5040. + q / 362880.))));
	float c = 1 + q * (-1 / 2. + q * (1 / 24. + q * (-1 / 720. + q * (1 / 40320. - q / 3628800.))));
	vec2 r = (quarter & 1) == 1 ? vec2(-s, c) : vec2(c, s);
	return (quarter & 2) == 2 ? -r : r;
}

void main() {
	uint half_ = DH / 2 / WIDE, per = (half_ + RUN - 1) / RUN, g = thread_index();
	uint i = g % per * RUN, m = g / per * rows, end = min(m + rows, n);
	uvec2 f[RUN * WIDE];
	for (uint k = 0; k < RUN * WIDE; k++) f[k] = frequency(i * WIDE + k);
	uint t = (first + m) % T; // the row's place in its sequence
	for (; m < end; m++) {
		REAL c[RUN], s[RUN];
		EACH(j) {
#if defined(TEXEL) || defined(VEC4)
			for (uint k = 0; k < WIDE; k++) {
				vec2 one = turn(f[j * WIDE + k], start + t);
				c[j][k] = one.x;
				s[j][k] = one.y;
			}
#else
			vec2 one = turn(f[0], start + t);
			c[j] = one.x;
			s[j] = one.y;
#endif
			if (inverse == 1) s[j] = -s[j];
		}
		for (uint h = 0; h < heads; h++) {
			uint lo = (m * row + h * DH) / WIDE + i, hi = lo + half_;
			REAL a[RUN], b[RUN];
			EACH(j) {
				REAL before = AT(x, lo + j), after = AT(x, hi + j);
				a[j] = before * c[j] - after * s[j];
				b[j] = after * c[j] + before * s[j];
			}
			PUT_RUN(y, lo, a, half_ - i);
			PUT_RUN(y, hi, b, half_ - i);
		}
		t = t + 1 == T ? 0 : t + 1;
	}
}
