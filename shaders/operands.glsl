// The operands of a matrix product, read singly: A(i), B(i). HALVES: of 16-bit floats.
#ifdef HALVES
#define HALF_ID 4
#include "half.glsl"
layout(binding = 0) readonly buffer DataA { uint a[]; };
layout(binding = 1) readonly buffer DataB { uint b[]; };
#define A(i) widen_at(a[(i) / 2], (i))
#define B(i) widen_at(b[(i) / 2], (i))
#else
layout(binding = 0) readonly buffer DataA { float a[]; };
layout(binding = 1) readonly buffer DataB { float b[]; };
#define A(i) a[i]
#define B(i) b[i]
#endif
