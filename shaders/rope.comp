#version 460
#extension GL_GOOGLE_include_directive : require
// Rotary position embedding: (x[i], x[i+dh/2]) turned by position * theta^(-2i/dh), in place, in the first heads of each row;
// position = start + row % T. Pairs are a head's halves, as in Hugging Face's Llama, not neighbours.   arXiv 2104.09864
// 0 x [N, row] f32 as texels if TEXEL (its own groups of four only, so never one that another invocation has written)
// 1 x again, read and written
// Angles are whole numbers, in units of 2^-64 of a turn: frequency times position wraps as angles do, so that position 32,768
// is as exact as position 1 (about 1e-7 in the result), and no driver's sin, cos, pow or exp2 matters.
// An invocation turns the pairs i (TEXEL: four of them) of all heads of one row. Dispatch ceil(N dh/2 / workgroup).
//! variant texel: -DTEXEL
//! variant plain:
#include "index.glsl"
layout(push_constant) uniform P {
	uint n, row, heads, DH; // rows, elements of each, heads to turn, head size
	uint T, start, inverse; // rows of a sequence, position of its first row, 1: turn backwards
	uint first;             // row % T of the first row of this window
	uvec2 power[7];         // theta^(-2 2^b / dh) in units of 2^-64, low word first
};
#ifdef TEXEL
layout(binding = 0) uniform samplerBuffer x;
layout(binding = 1) buffer Y { vec4 y[]; };
#define V vec4
const uint WIDE = 4;
#else
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) buffer Y { float y[]; };
#define V float
const uint WIDE = 1;
#endif

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

// cos and sin of the angle of pair i at a position: nearest quarter turn by integers, the rest by Taylor series.
vec2 turn(uint i, uint position) {
	uvec2 f = uvec2(0x9391054a, 0x28be60db); // 1 / 2 pi
	for (uint b = 0; b < 7; b++) if ((i >> b & 1) == 1) f = product(f, power[b]);
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
	uint half_ = DH / 2, per = half_ / WIDE, g = thread_index();
	if (g >= n * per) return;
	uint i = g % per * WIDE, m = g / per;
	uint position = start + (first + m) % T;
	V c, s;
#ifdef TEXEL
	for (uint k = 0; k < 4; k++) {
		vec2 t = turn(i + k, position);
		c[k] = t.x;
		s[k] = t.y;
	}
#else
	vec2 t = turn(i, position);
	c = t.x;
	s = t.y;
#endif
	if (inverse == 1) s = -s;
	for (uint h = 0; h < heads; h++) {
		uint lo = (m * row + h * DH + i) / WIDE, hi = lo + half_ / WIDE;
#ifdef TEXEL
		V a = texelFetch(x, int(lo)), b = texelFetch(x, int(hi));
#else
		V a = x[lo], b = x[hi];
#endif
		y[lo] = a * c - b * s;
		y[hi] = b * c + a * s;
	}
}
