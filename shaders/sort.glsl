// What a workgroup does together with the numbers it keeps in shared memory: prefix sums and a sort. Include after reduce.glsl.
// A workgroup has 256 lanes at most.
#extension GL_KHR_shader_subgroup_basic : require
shared uint prefix_tree[ONE_SUBGROUP == 1 ? 1 : 256];
shared uint sort_keys[1024], sort_ids[1024];

// Makes what the workgroup wrote to shared memory visible to all of it.
void sync() {
	if (ONE_SUBGROUP == 1) {
		subgroupMemoryBarrierShared();
		subgroupBarrier();
	} else {
		barrier();
	}
}

// The sum of v over the lanes before this one, and over all of them.
uint group_prefix(uint v, out uint all) {
	if (ONE_SUBGROUP == 1) {
		all = subgroupAdd(v);
		return subgroupExclusiveAdd(v);
	}
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	barrier(); // the last sums may still be read
	prefix_tree[t] = v;
	barrier();
	for (uint s = 1; s < lanes; s *= 2) {
		uint before = t >= s ? prefix_tree[t - s] : 0;
		barrier();
		prefix_tree[t] += before;
		barrier();
	}
	all = prefix_tree[lanes - 1];
	return prefix_tree[t] - v;
}

// Sorts the first n pairs by key, the largest first, equal keys by id, the lowest first: a bitonic sort; n is a power of two,
// 1024 at most. Every lane may read them afterwards.
void group_sort(uint n) {
	uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
	sync();
	for (uint size = 2; size <= n; size *= 2) {
		for (uint gap = size / 2; gap > 0; gap /= 2) {
			for (uint p = t; p < n / 2; p += lanes) {
				uint i = 2 * p - (p & (gap - 1)), j = i + gap; // i has a 0 where gap has its 1
				uint a = sort_keys[i], b = sort_keys[j], c = sort_ids[i], d = sort_ids[j];
				bool first = a > b || a == b && c < d, down = (i & size) == 0;
				if (first != down) {
					sort_keys[i] = b;
					sort_keys[j] = a;
					sort_ids[i] = d;
					sort_ids[j] = c;
				}
			}
			sync();
		}
	}
}

// The least power of two that is n or more; n > 0.
uint power_of_two(uint n) { return n == 1 ? 1 : 2 << findMSB(n - 1); }
