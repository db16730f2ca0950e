#version 460
#extension GL_GOOGLE_include_directive : require
// Products of an output with its gradient: D[n,h] = sum_d do[n,h,d] o[n,h,d], first step of attention's gradient.
// 0 o [N, H dh] f32   1 do [N, H dh] f32   2 D [N,H] f32
// One invocation per result, d ascending: same bits on the same device. Dispatch ceil(N H / workgroup) over x and y.
// Variants: texel (dh % 4 = 0; vectorised where the device is a CPU), plain.
//! variant texel: -DTEXEL
//! variant plain:
#include "index.glsl"
#ifdef TEXEL
layout(binding = 0) uniform samplerBuffer o;
layout(binding = 1) uniform samplerBuffer dout;
#else
layout(binding = 0) readonly buffer O { float o[]; };
layout(binding = 1) readonly buffer G { float dout[]; };
#endif
layout(binding = 2) buffer D { float dots[]; };
layout(push_constant) uniform P { uint n, DH; }; // results, head size

void main() {
	uint i = thread_index();
	if (i >= n) return;
	float s = 0;
#ifdef TEXEL
	for (uint t = i * DH / 4; t < (i + 1) * DH / 4; t++) s += dot(texelFetch(o, int(t)), texelFetch(dout, int(t)));
#else
	for (uint e = i * DH; e < (i + 1) * DH; e++) s += o[e] * dout[e];
#endif
	dots[i] = s;
}
