#version 460
#extension GL_GOOGLE_include_directive : require
// Sum: y[i] = a[i] + b[i]
// 0 a [n] f32   1 b [n] f32   2 y [n] f32, may be a
// A workgroup takes a stretch of chunk elements. Dispatch ceil(n / chunk) over x and y.
// An invocation reads its elements before it writes them and no other's, so that in place is safe.
#include "index.glsl"
#include "wide.glsl"
#define PAIRED_ID 2
#include "runs.glsl"
INPUT(0, a);
INPUT(1, b);
OUTPUT_RUNS(2, y);
layout(push_constant) uniform P { uint n, chunk; };

void main() {
	uint from = group_index() * chunk, end = min(from + chunk, n) / WIDE;
	if (from >= n) return;
	for (uint i = from / WIDE + RUN * gl_LocalInvocationID.x; i < end; i += RUN * gl_WorkGroupSize.x) {
		REAL v[RUN];
		EACH(k) v[k] = AT(a, i + k) + AT(b, i + k);
		PUT_RUN(y, i, v, end - i);
	}
}
