#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
// The K largest of each row, the largest first, equal ones by the lower index, and the sum of the others:
//   ids[n,j], values[n,j] = x[n, ids[n,j]]; rest[n] = sum of x[n,v] over the v that are not among ids[n]
// 0 x [N,V] f32   1 ids [N,K] u32   2 values [N,K] f32   3 rest [N] f32: the tail's mass where x is a distribution
// K <= V, K <= 256. NaN counts as larger than any number, -0 as 0. COLUMNS: a power of two, 4 K to 1024.
// Exact, with two reads of a row as a rule: (1) the largest of each of COLUMNS columns, the v that are equal modulo COLUMNS; the
// K-th largest of these is a bound that K elements reach, and hardly more do; (2) those are collected and sorted. Where the
// largest crowd in few columns, three reads at most raise the bound by histograms, and (2) is done again. Where too many equal the
// bound, one more read takes the lowest of them: rows of zeros, as a sharp distribution has, end it early.
// Ids are collected in no fixed order, then sorted: same bits on every device, but for rest, whose sum has a fixed order on each.
// One workgroup per row. Dispatch N over x and y. An invocation makes at most 7 V / (WIDE * workgroup) iterations, and those
// of the sorts.
#include "index.glsl"
#include "wide.glsl"
#include "reduce.glsl"
#include "sort.glsl"
INPUT(0, x);
layout(binding = 1) writeonly buffer I { uint ids[]; };
layout(binding = 2) writeonly buffer W { float values[]; };
layout(binding = 3) writeonly buffer R { float rests[]; };
layout(push_constant) uniform P { uint N, V, K, COLUMNS; };

// Counters are the workgroup's: the device's scope, which is implied, is a feature that not every device with Vulkan's memory model has on.
#define HERE gl_ScopeWorkgroup, gl_StorageSemanticsNone, gl_SemanticsRelaxed

#if defined(TEXEL) || defined(VEC4)
#define KEYS uvec4
#define SIGNED ivec4
uint largest(KEYS v) { return max(max(v.x, v.y), max(v.z, v.w)); }
KEYS is(KEYS a, uint b) { return KEYS(equal(a, KEYS(b))); }
REAL below(REAL v, KEYS k, uint bound) { return mix(v, REAL(0), greaterThanEqual(k, KEYS(bound))); }
uint count(KEYS v) { return v.x + v.y + v.z + v.w; }
#define PART(v, e) v[e]
#else
#define KEYS uint
#define SIGNED int
uint largest(KEYS v) { return v; }
KEYS is(KEYS a, uint b) { return uint(a == b); }
REAL below(REAL v, KEYS k, uint bound) { return k >= bound ? 0 : v; }
uint count(KEYS v) { return v; }
#define PART(v, e) v
#endif

// Keys order as the numbers do: all bits of a negative one are flipped, the sign of any other. None is 0.
KEYS key(REAL v) {
	KEYS u = floatBitsToUint(v), size = u & 0x7fffffff;
	u &= ~KEYS(SIGNED(size - 1) >> 31);                  // -0 is 0
	KEYS nan = KEYS(SIGNED(0x7f800000 - size) >> 31);
	return u ^ (KEYS(SIGNED(u) >> 31) | 0x80000000) | nan;
}

float number(uint key) { return uintBitsToFloat((key & 0x80000000) != 0 ? key ^ 0x80000000 : ~key); }

// Room for those above the bound, and behind it for those equal to it.
const uint FRONT = 512, BACK = 256, BINS = 2048;
shared uint above, level;  // how many there are
shared uint found_bin, found_above;

uint t = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
uint n = V / WIDE, begin = group_index() * n;

// A bound that K elements reach, from the columns, and the largest key.
uint column_bound(out uint top) {
	for (uint c = t; c < COLUMNS; c += lanes) {
		sort_keys[c] = 0;
		sort_ids[c] = c;
	}
	sync();
	uint walkers = max(COLUMNS / WIDE, lanes);
	for (uint g = t; g < walkers; g += lanes) {
		KEYS m = KEYS(0);
		for (uint i = g; i < n; i += walkers) m = max(m, key(AT(x, begin + i)));
		for (uint e = 0; e < WIDE; e++) atomicMax(sort_keys[(g * WIDE + e) % COLUMNS], PART(m, e), HERE);
	}
	group_sort(COLUMNS);
	top = sort_keys[0];
	return sort_keys[K - 1];
}

// Collects those above the bound in front and those equal to it behind, counts both, and gives this lane's sum of the others.
float collect(uint bound) {
	sync(); // the lists may still be read
	if (t == 0) above = level = 0;
	sync();
	REAL rest = REAL(0);
	for (uint i = t; i < n; i += lanes) {
		REAL v = AT(x, begin + i);
		KEYS k = key(v);
		rest += below(v, k, bound);
		if (largest(k) < bound) continue;
		for (uint e = 0; e < WIDE; e++) {
			uint one = PART(k, e), at = FRONT + BACK;
			if (one > bound) {
				at = atomicAdd(above, 1, HERE);
				if (at >= FRONT) at = FRONT + BACK;
			} else if (one == bound) {
				at = FRONT + atomicAdd(level, 1, HERE);
			}
			if (at >= FRONT + BACK) continue;
			sort_keys[at] = one;
			sort_ids[at] = WIDE * i + e;
		}
	}
	sync();
	return total(rest);
}

uint bin_count(uint b) { return b < 1024 ? sort_keys[b] : sort_ids[b - 1024]; }

// Raises the bound so far that those above it fit in front, or to the key of the K-th largest. top is the largest key.
uint raise(uint bound, uint top) {
	uint low = bound, high = top, over = 0; // over: how many are above high
	for (;;) {
		int wide = findMSB(high - low) - 10; // bits beyond those that number a bin; low and high may be equal
		uint shift = high == low || wide < 0 ? 0 : wide, share = BINS / lanes;
		sync();
		for (uint b = t; b < 1024; b += lanes) sort_keys[b] = sort_ids[b] = 0;
		sync();
		for (uint i = t; i < n; i += lanes) {
			KEYS k = key(AT(x, begin + i));
			if (largest(k) < low) continue;
			for (uint e = 0; e < WIDE; e++) {
				if (PART(k, e) < low || PART(k, e) > high) continue;
				uint b = (PART(k, e) - low) >> shift;
				if (b < 1024) atomicAdd(sort_keys[b], 1, HERE); else atomicAdd(sort_ids[b - 1024], 1, HERE);
			}
		}
		sync();
		// From the top bin down: the one with the K-th largest in it.
		uint first = BINS - t * share, mine = 0, all;
		for (uint j = 1; j <= share; j++) mine += bin_count(first - j);
		uint before = over + group_prefix(mine, all);
		if (before < K && before + mine >= K) {
			for (uint j = 1; j <= share; j++) {
				uint c = bin_count(first - j);
				if (before + c >= K) {
					found_bin = first - j;
					found_above = before;
					break;
				}
				before += c;
			}
		}
		sync();
		uint inside = bin_count(found_bin);
		over = found_above;
		low += found_bin << shift;
		high = min(high, low + (1u << shift) - 1);
		if (shift == 0) return low;
		if (over + inside <= FRONT) return low - 1;
	}
}

// Puts the first of those equal to the bound, by index, behind those above it, K together.
void take_level(uint bound) {
	uint have = above;
	for (uint first = 0; have < K && first < n; first += lanes) {
		uint i = first + t, all;
		KEYS hit = i < n ? is(key(AT(x, begin + i)), bound) : KEYS(0);
		uint at = have + group_prefix(count(hit), all);
		for (uint e = 0; e < WIDE; e++) {
			if (PART(hit, e) == 0) continue;
			if (at < K) {
				sort_keys[at] = bound;
				sort_ids[at] = WIDE * i + e;
			}
			at++;
		}
		have += all;
	}
}

void main() {
	uint row = group_index();
	if (row >= N) return;
	uint top, bound = column_bound(top);
	float others = collect(bound);
	if (above > FRONT) {
		bound = raise(bound, top);
		others = collect(bound);
	}
	uint size = above, spare = level; // in the list; and those equal to the bound that are not
	if (above < K) {
		if (level <= BACK) {
			for (uint j = t; j < level; j += lanes) {
				sort_keys[above + j] = bound;
				sort_ids[above + j] = sort_ids[FRONT + j];
			}
			size = above + level;
		} else {
			take_level(bound);
			size = K;
		}
		spare -= size - above;
	}
	uint padded = power_of_two(size);
	for (uint j = size + t; j < padded; j += lanes) {
		sort_keys[j] = 0;
		sort_ids[j] = 0xffffffff;
	}
	group_sort(padded);
	for (uint j = t; j < size; j += lanes) {
		float v = number(sort_keys[j]);
		if (j < K) {
			ids[row * K + j] = sort_ids[j];
			values[row * K + j] = v;
		} else {
			others += v;
		}
	}
	others = group_sum(others);
	if (t == 0) rests[row] = spare > 0 ? others + float(spare) * number(bound) : others;
}
