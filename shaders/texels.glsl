// Memory as devices that are a CPU move it best: read as texels, written in words of 64 bits. There a load from a storage buffer
// may be a loop over the lanes, and a store, which costs as much for 64 bits as for 32, often is, with work of its own for every
// trip: so the more words at once the better. (imageLoad, since texelFetch may be a function call, with every register spilled.)
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define TEXELS(b, name) layout(binding = b, rgba32f) readonly uniform imageBuffer name

// A store that misses the cache holds up all behind it, where loads wait side by side. So what is to be written is loaded
// beforehand, and what was loaded counts as nothing, in a way that no compiler sees: there are fewer than 2^31 workgroups.
float nothing_of(float x) { return uintBitsToFloat(floatBitsToUint(x) & gl_NumWorkGroups.x >> 31); }

u64vec2 words64(vec4 v) { return u64vec2(packUint2x32(floatBitsToUint(v.xy)), packUint2x32(floatBitsToUint(v.zw))); }
