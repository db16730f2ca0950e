// Sums and maxima over a workgroup, in a fixed order: same bits on the same device. Include after index.glsl.
// ONE_SUBGROUP (constant 1): the workgroup is exactly one subgroup, pinned, and no barrier is needed; a barrier is dear on
// a device that is a CPU. Otherwise a tree in workgroup memory; the workgroup size must then be a power of two, 1024 at most.
#extension GL_KHR_shader_subgroup_arithmetic : require
#ifdef TEXEL
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
layout(constant_id = 1) const uint ONE_SUBGROUP = 0;
shared float reduce_tree[ONE_SUBGROUP == 1 ? 1 : 1024];

float group_sum(float v) {
	if (ONE_SUBGROUP == 1) return subgroupAdd(v);
	uint t = gl_LocalInvocationID.x;
	barrier(); // the last reduction's result may still be read
	reduce_tree[t] = v;
	barrier();
	for (uint s = gl_WorkGroupSize.x / 2; s > 0; s /= 2) {
		if (t < s) reduce_tree[t] += reduce_tree[t + s];
		barrier();
	}
	return reduce_tree[0];
}

// group_sum of four numbers at once, for a workgroup of at most 256.
shared vec4 reduce_tree4[ONE_SUBGROUP == 1 ? 1 : 256];

vec4 group_sum(vec4 v) {
#ifdef TEXEL // always one subgroup, on a CPU, where a reduction is a loop over the lanes: by exchange, 7 at most
	for (uint k = 0; k < 7; k++) if (1 << k < gl_WorkGroupSize.x) v += subgroupShuffle(v, gl_SubgroupInvocationID ^ 1 << k);
	return v;
#endif
	if (ONE_SUBGROUP == 1) return subgroupAdd(v);
	uint t = gl_LocalInvocationID.x;
	barrier();
	reduce_tree4[t] = v;
	barrier();
	for (uint s = gl_WorkGroupSize.x / 2; s > 0; s /= 2) {
		if (t < s) reduce_tree4[t] += reduce_tree4[t + s];
		barrier();
	}
	return reduce_tree4[0];
}

float group_max(float v) {
	if (ONE_SUBGROUP == 1) return subgroupMax(v);
	uint t = gl_LocalInvocationID.x;
	barrier();
	reduce_tree[t] = v;
	barrier();
	for (uint s = gl_WorkGroupSize.x / 2; s > 0; s /= 2) {
		if (t < s) reduce_tree[t] = max(reduce_tree[t], reduce_tree[t + s]);
		barrier();
	}
	return reduce_tree[0];
}
