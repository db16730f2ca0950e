// The part of Vulkan that is newer than the binding's headers, and the per-step submission.
#ifndef SALTERN_NATIVE_H
#define SALTERN_NATIVE_H
#include <stdint.h>
#include <stddef.h>

// What one physical device reports beyond VkPhysicalDeviceProperties.
typedef struct {
	uint32_t api, driverVersion, vendor, device, type;
	char name[256], driver[256], driverInfo[256];
	uint8_t uuid[16];
	uint32_t subgroup, subgroupStages, subgroupOps, subgroupMin, subgroupMax, subgroupRequired;
	uint64_t maxAllocation;
	uint32_t pci[4]; // domain, bus, device, function
	int32_t hasPCI, hasSizeControl;
} saltern_props;

void *saltern_device_proc(void *instance, void *device, const char *name);
void *saltern_open_loader(const char *name, char *err, size_t errLen);
int32_t saltern_device_props(void *instance, void *physical, int32_t pciExt, saltern_props *out);

// What a device can do beyond Vulkan 1.2 that Saltern makes use of where it is there.
typedef struct { int32_t khr, nv2, bf16; } saltern_extensions; // cooperative matrix, cooperative matrix 2, bfloat16: listed
typedef struct {
	int32_t float16, bfloat16, matrix; // may be enabled
	int32_t flexible, workgroup;       // of matrix2: any size, element by element; of a workgroup, and tensors
	uint32_t maxGroup2, maxDimension2, sharedTaken2; // limits of matrix2
} saltern_features;
// One combination of matrix types and sizes; of matrix2 the sizes are granularities, and group is the workgroup's size.
typedef struct { uint32_t m, n, k, a, b, c, result, scope, group; } saltern_matrix;
void saltern_device_features(void *instance, void *physical, saltern_extensions has, saltern_features *out);
uint32_t saltern_matrices(void *instance, void *physical, int32_t nv2, saltern_matrix *out, uint32_t cap);
// The chain that enables them in vkCreateDevice, its first next; freed by saltern_free_chain.
void *saltern_feature_chain(saltern_features f, int32_t sizeControl);
void saltern_free_chain(void *chain);

// Chains that outlive the call that uses them; freed by the caller with free.
void *saltern_required_subgroup_size(uint32_t size);

int32_t saltern_messenger(void *instance, void **messenger);
void saltern_messenger_destroy(void *instance, void *messenger);
size_t saltern_messages(char *out, size_t cap); // takes and clears what the layers said

typedef struct {
	void *device, *queue, *fence;
	int32_t (*submit)(void *, uint32_t, const void *, void *);
	int32_t (*wait)(void *, uint32_t, void *const *, uint32_t, uint64_t);
	int32_t (*reset)(void *, uint32_t, void *const *);
} saltern_queue;
int32_t saltern_queue_init(saltern_queue *q, void *instance, void *device, void *queue, void *fence);
int32_t saltern_run(saltern_queue *q, void *const *commands, uint32_t n);
#endif
