#version 460
#extension GL_GOOGLE_include_directive : require
// B laid out anew for a matrix product: panels of T columns, one after the other, each [K,T]. A tile of the product then reads
// one run of memory, whichever way B is stored and however its rows fall into a cache's sets.
// 0 b [K,N] f32, or [N,K] if TRANS_B, rows a multiple of 4 elements long   1 p [ceil(N/T),K,T] f32
// An invocation copies 16 k of 4 columns: a cache line of each, where B is transposed. Columns beyond N repeat the last ones.
// Dispatch ceil(K / 16), ceil(N / (4 workgroup)); T = 4 workgroup columns or a multiple of it.
//! variant texel: -DTEXEL
//! variant vec4: -DVEC4
#include "index.glsl"
layout(constant_id = 1) const uint TRANS_B = 0;
#ifdef TEXEL
#include "texels.glsl"
TEXELS(0, b);
layout(binding = 1) buffer P { u64vec2 p[]; };
#define AT(i) imageLoad(b, int(i))
#define PUT(i, v) p[i] = words64(v)
#else
layout(binding = 0) readonly buffer B { vec4 b[]; };
layout(binding = 1) buffer P { vec4 p[]; };
#define AT(i) b[i]
#define PUT(i, v) p[i] = v
#endif
layout(push_constant) uniform Push {
	uint K, N, T;
	uint ldb, cb; // elements per stored row of B; at which it starts
};

void main() {
	uint n = (gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationID.x) * 4, k0 = gl_WorkGroupID.x * 16;
	uint to = (n / T * K * T + n % T) / 4;
	n = min(n, N - 4);
	for (uint k = k0; k < min(k0 + 16, K); k += 4) {
		vec4 v[4];
		for (uint j = 0; j < 4; j++)
			v[j] = TRANS_B == 1 ? AT(((n + j) * ldb + cb + k) / 4) : AT((min(k + j, K - 1) * ldb + cb + n) / 4);
		for (uint j = 0; j < 4; j++)
			if (k + j < K) PUT(to + (k + j) * T / 4, TRANS_B == 1 ? vec4(v[0][j], v[1][j], v[2][j], v[3][j]) : v[j]);
	}
}
