// Texel buffers are read without a sampler: of a buffer, SPIR-V 1.6 forbids the type of an image with its sampler, which
// glslang makes of samplerBuffer, and newer drivers warn.
#extension GL_EXT_samplerless_texture_functions : require
#define samplerBuffer textureBuffer

// The workgroup size, specialization constant 0 in every shader, and flat indices in a grid spread over x and y.
layout(local_size_x_id = 0) in;

// The index of this workgroup in a grid that may be spread over x and y.
uint group_index() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }

// The index of this invocation likewise.
uint thread_index() { return group_index() * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }
