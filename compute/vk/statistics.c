#include "native.h"
#include "statistics.h"
#include <stdlib.h>
#include <string.h>

// Structures laid out as the specification says.
typedef struct { int32_t sType; const void *pNext; void *pipeline; } pipeline_info;
typedef struct { int32_t sType; void *pNext; uint32_t stages; char name[256], description[256]; uint32_t subgroup; } executable;
typedef struct { int32_t sType; const void *pNext; void *pipeline; uint32_t index; } executable_info;
typedef struct { int32_t sType; void *pNext; char name[256], description[256]; int32_t format; uint64_t value; } statistic;

enum { T_FEATURES = 1000269000, T_PIPELINE = 1000269001, T_EXECUTABLE = 1000269002, T_EXECUTABLE_INFO = 1000269003, T_STATISTIC = 1000269004 };

void *saltern_statistics_features(void *next) {
	struct { int32_t sType; void *pNext; uint32_t info; } *f = calloc(1, sizeof *f);
	f->sType = T_FEATURES; f->pNext = next; f->info = 1;
	return f;
}

int32_t saltern_statistics(void *instance, void *device, void *pipeline, saltern_statistic *out, uint32_t cap, uint32_t *subgroup) {
	int32_t (*executables)(void *, const void *, uint32_t *, void *) =
		(int32_t (*)(void *, const void *, uint32_t *, void *))saltern_device_proc(instance, device, "vkGetPipelineExecutablePropertiesKHR");
	int32_t (*statistics)(void *, const void *, uint32_t *, void *) =
		(int32_t (*)(void *, const void *, uint32_t *, void *))saltern_device_proc(instance, device, "vkGetPipelineExecutableStatisticsKHR");
	if (!executables || !statistics) return -7;
	pipeline_info p = {T_PIPELINE, NULL, pipeline};
	executable e = {T_EXECUTABLE};
	uint32_t n = 1;
	int32_t r = executables(device, &p, &n, &e);
	if (r < 0) return r;
	*subgroup = e.subgroup;
	if (n == 0) return 0;
	executable_info first = {T_EXECUTABLE_INFO, NULL, pipeline, 0};
	r = statistics(device, &first, &n, NULL);
	if (r < 0 || n == 0) return r;
	statistic *list = calloc(n, sizeof *list);
	if (!list) return -1;
	for (uint32_t i = 0; i < n; i++) list[i].sType = T_STATISTIC;
	r = statistics(device, &first, &n, list);
	for (uint32_t i = 0; r >= 0 && i < n && i < cap; i++) {
		memcpy(out[i].name, list[i].name, sizeof list[i].name);
		memcpy(out[i].description, list[i].description, sizeof list[i].description);
		out[i].format = list[i].format;
		memcpy(&out[i].value, &list[i].value, sizeof list[i].value);
	}
	free(list);
	return r < 0 ? r : (int32_t)n;
}
