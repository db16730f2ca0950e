#version 460
#extension GL_GOOGLE_include_directive : require
// The end of a matrix product whose K was split: y[m,n] = act(sum_z parts[z,m,n] + bias[n]) + addend[m,n], z ascending
// 0 parts [K,M,N] f32   1 addend, 2 y, 3 bias, 4 pre: as in matmul.comp, which names them 2 to 5
// One invocation per result. Dispatch ceil(M N / workgroup) over x and y.
#include "index.glsl"
#define RESULTS 1
#include "matmul.glsl"
layout(binding = 0) readonly buffer Parts { float parts[]; };

void main() {
	uint i = thread_index();
	if (i >= M * N) return;
	float s = 0;
	for (uint z = 0; z < K; z++) s += parts[z * M * N + i];
	finish(i / N, i % N, s);
}
