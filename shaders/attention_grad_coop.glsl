// What the two passes of attention's gradient by cooperative matrices share. Include after attention_coop.glsl.
#define HALF_ID 6
#include "half.glsl"
layout(binding = 0) readonly buffer Mine { uvec4 mine[]; };
layout(binding = 1) readonly buffer Theirs { uvec4 theirs[]; };
layout(binding = 2) readonly buffer G { uvec4 dout[]; };
layout(binding = 3) readonly buffer L { float lse[]; };
layout(binding = 4) readonly buffer D { float dots[]; };
layout(binding = 5) buffer Y { float dqkv[]; };
shared float scores[ROWS * SCORES], products[ROWS * SCORES];
#define SPARE SCORES
#define spare scores
