#version 460
#extension GL_GOOGLE_include_directive : require
// Sum: y[i] = a[i] + b[i]
// 0 a [n] f32   1 b [n] f32   2 y [n] f32, may be a
// One invocation per element. Dispatch ceil(n / workgroup) over x and y. n need divide nothing.
#include "index.glsl"
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) readonly buffer B { float b[]; };
layout(binding = 2) buffer Y { float y[]; };
layout(push_constant) uniform P { uint n; };

void main() {
	uint i = thread_index();
	if (i < n) y[i] = a[i] + b[i];
}
