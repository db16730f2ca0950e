package vk

/*
#include "native.h"
*/
import "C"

import (
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

// Component is the element type of a cooperative matrix, as VkComponentTypeKHR.
type Component uint32

// The components that Saltern multiplies.
const (
	Float16  Component = 0
	Float32  Component = 1
	BFloat16 Component = 1000141000
)

// Scope is who owns a cooperative matrix, as VkScopeKHR.
type Scope uint32

// The scopes of use here.
const (
	WorkgroupScope Scope = 2
	SubgroupScope  Scope = 3
)

// Matrix is a combination that the device multiplies: [M,K] of A times [K,N] of B, added to [M,N] of C. Where Group is not 0
// (VK_NV_cooperative_matrix2) the sizes are granularities, and the workgroup has Group invocations.
type Matrix struct {
	M      int       `json:"m"`
	N      int       `json:"n"`
	K      int       `json:"k"`
	A      Component `json:"a"`
	B      Component `json:"b"`
	C      Component `json:"c"`
	Result Component `json:"result"`
	Scope  Scope     `json:"scope"`
	Group  int       `json:"group,omitempty"`
}

// Matrix2Limits bounds cooperative matrices of a workgroup.
type Matrix2Limits struct {
	MaxGroup     int `json:"max_group"`
	MaxDimension int `json:"max_dimension"`
	SharedTaken  int `json:"shared_taken"` // bytes of workgroup memory that the driver keeps for itself
}

// The extensions behind these features; their tokens are absent from the binding's headers.
const (
	extMatrix   = "VK_KHR_cooperative_matrix"
	extMatrix2  = "VK_NV_cooperative_matrix2"
	extBFloat16 = "VK_KHR_shader_bfloat16"
)

// describeMatrices fills in what the device says of 16-bit floats and cooperative matrices.
func (info *Info) describeMatrices(instance vulkan.Instance, p vulkan.PhysicalDevice) {
	flag := func(ext string) C.int32_t {
		if hasExtension(p, ext) {
			return 1
		}
		return 0
	}
	if info.api < api13 {
		return
	}
	has := C.saltern_extensions{khr: flag(extMatrix), nv2: flag(extMatrix2), bf16: flag(extBFloat16)}
	C.saltern_device_features(unsafe.Pointer(instance), unsafe.Pointer(p), has, &info.features)
	info.Float16, info.BFloat16 = info.features.float16 != 0, info.features.bfloat16 != 0
	if info.features.matrix != 0 {
		info.Matrices = matrices(instance, p, 0)
	}
	if info.features.flexible != 0 {
		info.Matrices2 = matrices(instance, p, 1)
		info.Matrix2Limits = &Matrix2Limits{int(info.features.maxGroup2), int(info.features.maxDimension2), int(info.features.sharedTaken2)}
	}
}

func matrices(instance vulkan.Instance, p vulkan.PhysicalDevice, nv2 C.int32_t) []Matrix {
	var found [128]C.saltern_matrix
	n := C.saltern_matrices(unsafe.Pointer(instance), unsafe.Pointer(p), nv2, &found[0], C.uint32_t(len(found)))
	list := make([]Matrix, n)
	for i, f := range found[:n] {
		list[i] = Matrix{
			M: int(f.m), N: int(f.n), K: int(f.k), A: Component(f.a), B: Component(f.b), C: Component(f.c), Result: Component(f.result),
			Scope: Scope(f.scope), Group: int(f.group),
		}
	}
	return list
}

// matrixExtensions are the device extensions to enable for what describeMatrices found.
func (info *Info) matrixExtensions() []string {
	var list []string
	add := func(on C.int32_t, name string) {
		if on != 0 {
			list = append(list, name+"\x00")
		}
	}
	add(info.features.matrix, extMatrix)
	add(info.features.flexible, extMatrix2)
	add(info.features.bfloat16, extBFloat16)
	return list
}
