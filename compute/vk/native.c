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

void *saltern_size_control_features(void) {
	struct { int32_t sType; void *pNext; uint32_t sizeControl, fullSubgroups; } *f = calloc(1, sizeof *f);
	f->sType = T_SIZE_FEATURES; f->sizeControl = 1; f->fullSubgroups = 1;
	return f;
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
	get_proc gdpa = (get_proc)gipa(instance, "vkGetDeviceProcAddr");
	if (!gdpa) return -1;
	q->device = device; q->queue = queue; q->fence = fence;
	q->submit = (int32_t (*)(void *, uint32_t, const void *, void *))gdpa(device, "vkQueueSubmit");
	q->wait = (int32_t (*)(void *, uint32_t, void *const *, uint32_t, uint64_t))gdpa(device, "vkWaitForFences");
	q->reset = (int32_t (*)(void *, uint32_t, void *const *))gdpa(device, "vkResetFences");
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
