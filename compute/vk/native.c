#define _GNU_SOURCE
#include "native.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*any_fn)(void);
typedef any_fn (*get_proc)(void *, const char *);
static get_proc gipa;

void *saltern_open_loader(const char *name, char *err, size_t errLen) {
	void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		snprintf(err, errLen, "%s", dlerror());
		return NULL;
	}
	gipa = (get_proc)dlsym(lib, "vkGetInstanceProcAddr");
	if (!gipa) snprintf(err, errLen, "%s has no vkGetInstanceProcAddr", name);
	return (void *)gipa;
}

void *saltern_device_proc(void *instance, void *device, const char *name) {
	get_proc gdpa = (get_proc)gipa(instance, "vkGetDeviceProcAddr");
	return gdpa ? (void *)gdpa(device, name) : NULL;
}

// Structures of Vulkan 1.1 to 1.3, laid out as the specification says.
typedef struct { int32_t sType; void *pNext; } chain;
typedef struct {
	int32_t sType; void *pNext;
	uint32_t api, driverVersion, vendor, device, type;
	char name[256];
	uint8_t pipelineCacheUUID[16];
	uint64_t rest[128]; // limits and sparse properties, read through the binding
} props2;
typedef struct { int32_t sType; void *pNext; uint8_t deviceUUID[16], driverUUID[16], luid[8]; uint32_t nodeMask, luidValid; } id_props;
typedef struct { int32_t sType; void *pNext; uint32_t size, stages, ops, quad; } subgroup_props;
typedef struct { int32_t sType; void *pNext; uint32_t driverID; char name[256], info[256]; uint8_t conformance[4]; } driver_props;
typedef struct { int32_t sType; void *pNext; uint32_t maxDescriptors; uint64_t maxAllocation; } maintenance3_props;
typedef struct { int32_t sType; void *pNext; uint32_t min, max, maxSubgroups, requiredStages; } size_props;
typedef struct { int32_t sType; void *pNext; uint32_t domain, bus, device, function; } pci_props;

enum {
	T_PROPS2 = 1000059001, T_ID = 1000071004, T_SUBGROUP = 1000094000, T_MAINTENANCE3 = 1000168000, T_DRIVER = 1000196000,
	T_PCI = 1000212000, T_SIZE_PROPS = 1000225000, T_REQUIRED_SIZE = 1000225001, T_SIZE_FEATURES = 1000225002, T_MESSENGER = 1000128004,
};

int32_t saltern_device_props(void *instance, void *physical, int32_t pciExt, saltern_props *out) {
	void (*get)(void *, props2 *) = (void (*)(void *, props2 *))gipa(instance, "vkGetPhysicalDeviceProperties2");
	if (!get) return -1;
	props2 p = {T_PROPS2};
	id_props id = {T_ID};
	subgroup_props sg = {T_SUBGROUP};
	driver_props dr = {T_DRIVER};
	maintenance3_props m3 = {T_MAINTENANCE3};
	size_props sz = {T_SIZE_PROPS};
	pci_props pci = {T_PCI};
	get(physical, &p); // the version decides what may be chained
	if (p.api < ((1u << 22) | (2u << 12))) {
		memcpy(out->name, p.name, sizeof p.name);
		out->api = p.api; out->type = p.type;
		return 0;
	}
	p.pNext = &id; id.pNext = &sg; sg.pNext = &dr; dr.pNext = &m3;
	void **tail = &m3.pNext;
	// From 1.3 on the feature is mandatory; before it is an extension whose features are optional, and goes unused.
	if (p.api >= ((1u << 22) | (3u << 12))) { *tail = &sz; tail = &sz.pNext; out->hasSizeControl = 1; }
	if (pciExt) { *tail = &pci; tail = &pci.pNext; out->hasPCI = 1; }
	get(physical, &p);
	out->api = p.api; out->driverVersion = p.driverVersion; out->vendor = p.vendor; out->device = p.device; out->type = p.type;
	memcpy(out->name, p.name, sizeof p.name);
	memcpy(out->driver, dr.name, sizeof dr.name);
	memcpy(out->driverInfo, dr.info, sizeof dr.info);
	memcpy(out->uuid, id.deviceUUID, 16);
	out->subgroup = sg.size; out->subgroupStages = sg.stages; out->subgroupOps = sg.ops;
	out->subgroupMin = sz.min; out->subgroupMax = sz.max; out->subgroupRequired = sz.requiredStages;
	out->maxAllocation = m3.maxAllocation;
	out->pci[0] = pci.domain; out->pci[1] = pci.bus; out->pci[2] = pci.device; out->pci[3] = pci.function;
	return 0;
}

// Feature structures: a header and so many flags.
typedef struct { int32_t sType; void *pNext; uint32_t flag[8]; } features;
typedef struct { int32_t sType; void *pNext; uint32_t group, dimension, shared; } matrix2_props;
typedef struct { int32_t sType; void *pNext; uint32_t m, n, k, a, b, c, result, saturating, scope; } khr_matrix;
typedef struct { int32_t sType; void *pNext; uint32_t m, n, k, a, b, c, result, saturating, scope, group; } nv_matrix;
enum {
	T_FEATURES2 = 1000059000, T_16BIT_STORAGE = 1000083000, T_MAINTENANCE4 = 1000413000, T_FLOAT16 = 1000082000, T_MEMORY_MODEL = 1000211000, T_BFLOAT16 = 1000141000, T_MATRIX = 1000506000,
	T_MATRIX_PROPS = 1000506001, T_MATRIX2 = 1000593000, T_MATRIX2_SIZES = 1000593001, T_MATRIX2_PROPS = 1000593002,
};

void saltern_device_features(void *instance, void *physical, saltern_extensions has, saltern_features *out) {
	void (*get)(void *, void *) = (void (*)(void *, void *))gipa(instance, "vkGetPhysicalDeviceFeatures2");
	memset(out, 0, sizeof *out);
	if (!get) return;
	features half = {T_FLOAT16}, model = {T_MEMORY_MODEL}, bf16 = {T_BFLOAT16}, matrix = {T_MATRIX}, matrix2 = {T_MATRIX2};
	features small = {T_16BIT_STORAGE}, four = {T_MAINTENANCE4};
	struct { int32_t sType; void *pNext; uint32_t rest[64]; } all = {T_FEATURES2, &half};
	half.pNext = &model;
	model.pNext = &small;
	void **tail = &small.pNext;
	if (has.khr) { *tail = &four; tail = &four.pNext; } // such a device has Vulkan 1.3
	if (has.bf16) { *tail = &bf16; tail = &bf16.pNext; }
	if (has.khr) { *tail = &matrix; tail = &matrix.pNext; }
	if (has.nv2) { *tail = &matrix2; tail = &matrix2.pNext; }
	get(physical, &all);
	out->float16 = half.flag[0];
	out->matrix = matrix.flag[0] && model.flag[0] && half.flag[0];
	out->bfloat16 = out->matrix && bf16.flag[0] && bf16.flag[2]; // the type, and matrices of it
	// The shaders that use it are SPIR-V 1.6, whose workgroup sizes need maintenance4 to be specialized.
	out->flexible = out->matrix && four.flag[0] && matrix2.flag[1] && matrix2.flag[4];
	out->workgroup = out->flexible && small.flag[0] && matrix2.flag[0] && matrix2.flag[5];
	if (!out->flexible) return;
	void (*props)(void *, props2 *) = (void (*)(void *, props2 *))gipa(instance, "vkGetPhysicalDeviceProperties2");
	matrix2_props m2 = {T_MATRIX2_PROPS};
	props2 p = {T_PROPS2, &m2};
	props(physical, &p);
	out->maxGroup2 = m2.group; out->maxDimension2 = m2.dimension; out->sharedTaken2 = m2.shared;
}

uint32_t saltern_matrices(void *instance, void *physical, int32_t nv2, saltern_matrix *out, uint32_t cap) {
	const char *name = nv2 ? "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV" : "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR";
	int32_t (*get)(void *, uint32_t *, void *) = (int32_t (*)(void *, uint32_t *, void *))gipa(instance, name);
	uint32_t n = 0;
	if (!get || get(physical, &n, NULL) < 0 || n == 0) return 0;
	size_t size = nv2 ? sizeof(nv_matrix) : sizeof(khr_matrix);
	char *list = calloc(n, size);
	for (uint32_t i = 0; i < n; i++) *(int32_t *)(list + i * size) = nv2 ? T_MATRIX2_SIZES : T_MATRIX_PROPS;
	if (get(physical, &n, list) < 0) n = 0;
	if (n > cap) n = cap;
	for (uint32_t i = 0; i < n; i++) {
		nv_matrix *e = (nv_matrix *)(list + i * size); // begins like the other
		out[i] = (saltern_matrix){e->m, e->n, e->k, e->a, e->b, e->c, e->result, e->scope, nv2 ? e->group : 0};
	}
	free(list);
	return n;
}

static void *link_features(void *next, int32_t type, uint32_t flags) {
	features *f = calloc(1, sizeof *f);
	f->sType = type; f->pNext = next;
	for (int i = 0; i < 8; i++) f->flag[i] = flags >> i & 1;
	return f;
}

void *saltern_feature_chain(saltern_features f, int32_t sizeControl) {
	void *c = NULL;
	if (sizeControl) c = link_features(c, T_SIZE_FEATURES, 3);
	if (f.float16) c = link_features(c, T_FLOAT16, 1);
	if (f.matrix) c = link_features(link_features(c, T_MEMORY_MODEL, 1), T_MATRIX, 1);
	if (f.bfloat16) c = link_features(c, T_BFLOAT16, 5);
	if (f.flexible) c = link_features(link_features(c, T_MAINTENANCE4, 1), T_MATRIX2, 1 << 1 | 1 << 4 | (f.workgroup ? 1 << 0 | 1 << 5 : 0));
	if (f.workgroup) c = link_features(c, T_16BIT_STORAGE, 1);
	return c;
}

void saltern_free_chain(void *chain) {
	while (chain) {
		features *f = chain;
		chain = f->pNext;
		free(f);
	}
}

void *saltern_required_subgroup_size(uint32_t size) {
	struct { int32_t sType; void *pNext; uint32_t size; } *r = calloc(1, sizeof *r);
	r->sType = T_REQUIRED_SIZE; r->size = size;
	return r;
}

// What the validation layers say is kept until it is taken; the callback may run on any thread.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *said;
static size_t saidLen;

typedef struct { int32_t sType; const void *pNext; uint32_t flags; const char *idName; int32_t id; const char *message; } callback_data;

static uint32_t heard(uint32_t severity, uint32_t types, const callback_data *d, void *user) {
	(void)severity; (void)types; (void)user;
	pthread_mutex_lock(&lock);
	size_t n = strlen(d->message);
	char *more = saidLen < (1u << 20) ? realloc(said, saidLen + n + 1) : NULL;
	if (more) {
		said = more;
		memcpy(said + saidLen, d->message, n);
		said[saidLen + n] = '\n';
		saidLen += n + 1;
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

int32_t saltern_messenger(void *instance, void **messenger) {
	struct { int32_t sType; const void *pNext; uint32_t flags, severity, types; void *callback, *user; } info = {
		T_MESSENGER, NULL, 0, 0x1100 /* warnings, errors */, 0x7, (void *)heard, NULL};
	int32_t (*create)(void *, const void *, const void *, void **) =
		(int32_t (*)(void *, const void *, const void *, void **))gipa(instance, "vkCreateDebugUtilsMessengerEXT");
	return create ? create(instance, &info, NULL, messenger) : -7;
}

void saltern_messenger_destroy(void *instance, void *messenger) {
	void (*destroy)(void *, void *, const void *) =
		(void (*)(void *, void *, const void *))gipa(instance, "vkDestroyDebugUtilsMessengerEXT");
	if (destroy && messenger) destroy(instance, messenger, NULL);
}

size_t saltern_messages(char *out, size_t cap) {
	pthread_mutex_lock(&lock);
	size_t n = saidLen < cap ? saidLen : cap;
	if (n) memcpy(out, said, n);
	free(said);
	said = NULL; saidLen = 0;
	pthread_mutex_unlock(&lock);
	return n;
}

int32_t saltern_queue_init(saltern_queue *q, void *instance, void *device, void *queue, void *fence) {
	q->device = device; q->queue = queue; q->fence = fence;
	q->submit = (int32_t (*)(void *, uint32_t, const void *, void *))saltern_device_proc(instance, device, "vkQueueSubmit");
	q->wait = (int32_t (*)(void *, uint32_t, void *const *, uint32_t, uint64_t))saltern_device_proc(instance, device, "vkWaitForFences");
	q->reset = (int32_t (*)(void *, uint32_t, void *const *))saltern_device_proc(instance, device, "vkResetFences");
	return q->submit && q->wait && q->reset ? 0 : -1;
}

int32_t saltern_run(saltern_queue *q, void *const *commands, uint32_t n) {
	struct { int32_t sType; const void *pNext; uint32_t waits; const void *waitSem, *waitStages; uint32_t n; void *const *commands; uint32_t signals; const void *signalSem; }
		info = {4 /* VK_STRUCTURE_TYPE_SUBMIT_INFO */, NULL, 0, NULL, NULL, n, commands, 0, NULL};
	int32_t r = q->submit(q->queue, 1, &info, q->fence);
	if (r) return r;
	do r = q->wait(q->device, 1, &q->fence, 1, 1000000000ull); while (r == 2 /* VK_TIMEOUT */);
	if (r) return r;
	return q->reset(q->device, 1, &q->fence);
}
