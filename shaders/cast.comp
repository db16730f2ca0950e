#version 460
#extension GL_GOOGLE_include_directive : require
// Conversion: y[i] = x[i], to the nearest value of y's type
// 0 x [n] f32, or f16 or bf16 if WIDEN   1 y [n] f16 or bf16, or f32 if WIDEN, in words of half.glsl
// An invocation converts two elements, or four if WIDE. Dispatch ceil(n / 2 or 4 / workgroup) over x and y. n need divide
// nothing: with an odd one the half beyond it stays as it is.
//! variant plain:
//! variant vec4: -DVEC4
//! variant texel: -DTEXEL
#include "index.glsl"
#define HALF_ID 2
#include "half.glsl"
layout(constant_id = 1) const uint WIDEN = 0;
layout(push_constant) uniform P { uint n; };
#if defined(VEC4) || defined(TEXEL)
#ifdef TEXEL
layout(binding = 0) uniform samplerBuffer x;
#define AT(i) texelFetch(x, int(i))
#else
layout(binding = 0) readonly buffer X { vec4 x[]; };
#define AT(i) x[i]
#endif
layout(binding = 1) writeonly buffer Y { uvec2 y[]; };

void main() {
	uint i = thread_index();
	if (i >= n / 4) return;
	vec4 v = AT(i);
	y[i] = uvec2(narrow(v.xy), narrow(v.zw));
}
#else
layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) buffer Y { uint y[]; };

void main() {
	uint i = thread_index();
	if (2 * i >= n) return;
	bool both = 2 * i + 1 < n;
	if (WIDEN == 1) {
		vec2 v = widen(x[i]);
		y[2 * i] = floatBitsToUint(v.x);
		if (both) y[2 * i + 1] = floatBitsToUint(v.y);
	} else {
		vec2 v = vec2(uintBitsToFloat(x[2 * i]), both ? uintBitsToFloat(x[2 * i + 1]) : 0);
		uint w = narrow(v);
		y[i] = both ? w : w & 0xffffu | y[i] & 0xffff0000u;
	}
}
#endif
