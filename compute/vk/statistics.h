// VK_KHR_pipeline_executable_properties: what a driver says of the machine code it made.
#ifndef SALTERN_STATISTICS_H
#define SALTERN_STATISTICS_H
#include <stdint.h>

typedef struct {
	char name[256], description[256];
	int32_t format; // VkPipelineExecutableStatisticFormatKHR
	union { uint32_t b32; int64_t i64; uint64_t u64; double f64; } value;
} saltern_statistic;

void *saltern_statistics_features(void *next); // freed by the caller with free
// Writes up to cap statistics of the pipeline's first executable and returns how many it has, or a negative VkResult.
int32_t saltern_statistics(void *instance, void *device, void *pipeline, saltern_statistic *out, uint32_t cap, uint32_t *subgroup);
#endif
