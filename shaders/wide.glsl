// Elements one at a time or four at a time, through storage buffers or texels: one source, three modules. Whoever includes
// this reads inputs with AT, writes outputs with PUT, and counts in units of WIDE elements.
//! variant plain:
//! variant vec4: -DVEC4
//! variant texel: -DTEXEL
// plain: any row length. vec4, texel: rows a multiple of 4 elements long; texel is for devices that are a CPU.
#if defined(TEXEL) || defined(VEC4)
#define REAL vec4
const uint WIDE = 4;
float total(vec4 v) { return (v.x + v.y) + (v.z + v.w); }
#else
#define REAL float
const uint WIDE = 1;
float total(float v) { return v; }
#endif

// QUADS is an input that is read four elements at a time in every variant: short vectors of numbers. WORDS is one of uint that
// is read singly; as texels their bits pass through floats untouched, which TestKernels would notice if a CPU did otherwise.
#ifdef TEXEL
#include "texels.glsl"
#define INPUT(b, name) TEXELS(b, name)
#define QUADS(b, name) INPUT(b, name)
#define WORDS(b, name) INPUT(b, name)
#define OUTPUT(b, name) layout(binding = b) writeonly buffer Out##b { u64vec2 name[]; }
#define AT(name, i) imageLoad(name, int(i))
#define WORD(name, i) floatBitsToUint(imageLoad(name, int((i) / 4))[(i) % 4])
#define PUT(name, i, v) name[i] = words64(v)
#else
#define INPUT(b, name) layout(binding = b) readonly buffer In##b { REAL name[]; }
#define QUADS(b, name) layout(binding = b) readonly buffer In##b { vec4 name[]; }
#define WORDS(b, name) layout(binding = b) readonly buffer In##b { uint name[]; }
#define OUTPUT(b, name) layout(binding = b) writeonly buffer Out##b { REAL name[]; }
#define AT(name, i) name[i]
#define WORD(name, i) name[i]
#define PUT(name, i, v) name[i] = v
#endif
