// 16-bit floats as 32-bit words that hold two, the first in the lower half: no device needs 16-bit storage for that.
// HALF: 1 for IEEE 754 binary16, 2 for bfloat16; a specialization constant whose number the includer defines.
layout(constant_id = HALF_ID) const uint HALF = 1;

// The two numbers of a word.
vec2 widen(uint w) { return HALF == 1 ? unpackHalf2x16(w) : uintBitsToFloat(uvec2(w << 16, w & 0xffff0000u)); }

// One of them, of the word that holds element i.
float widen_at(uint w, uint i) { vec2 v = widen(w); return i % 2 == 0 ? v.x : v.y; }

// The upper half of a float, to the nearest and ties to even; NaN stays NaN.
uvec2 upper(vec2 v) {
	uvec2 b = floatBitsToUint(v);
	return mix((b + 0x7fffu + (b >> 16 & 1u)) >> 16, b >> 16 | 0x40u, isnan(v));
}

// The word of two numbers. What is too large for a binary16 becomes infinite whichever way the device rounds: whoever looks
// for an overflow must find it.
uint narrow(vec2 v) {
	if (HALF == 1) return packHalf2x16(mix(v, sign(v) * uintBitsToFloat(0x7f800000u), greaterThanEqual(abs(v), vec2(65520))));
	uvec2 u = upper(v);
	return u.x | u.y << 16;
}
