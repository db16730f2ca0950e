package vk

/*
#include "native.h"
#include "statistics.h"
*/
import "C"

import (
	"encoding/binary"
	"math"
	"unsafe"

	vulkan "github.com/vulkan-go/vulkan"
)

const (
	statisticsExt     = "VK_KHR_pipeline_executable_properties"
	captureStatistics = 0x40 // VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR
)

// Statistic is one thing that a driver tells of a pipeline's machine code; name and meaning are its own.
type Statistic struct {
	Name, Description string
	Value             float64 // 0 or 1 where it is a yes or no
}

// Statistics is what the driver tells of the pipeline, in its order, and how many lanes its subgroups have, 0 where it does
// not say. There are none unless the device was opened by OpenToExamine and has Info.Statistics.
func (p *Pipeline) Statistics() (list []Statistic, subgroup int, err error) {
	d := p.dev
	if !d.statistics {
		return nil, 0, nil
	}
	const most = 64 // drivers give 5 to 30
	raw := make([]C.saltern_statistic, most)
	var lanes C.uint32_t
	n := C.saltern_statistics(unsafe.Pointer(d.instance.handle), unsafe.Pointer(d.handle), unsafe.Pointer(p.handle), &raw[0], most, &lanes)
	if n < 0 {
		return nil, 0, d.failed("vkGetPipelineExecutableStatisticsKHR "+p.module.name, vulkan.Result(n))
	}
	for i := range raw[:min(int(n), most)] {
		r := &raw[i]
		list = append(list, Statistic{C.GoString(&r.name[0]), C.GoString(&r.description[0]), number(int(r.format), r.value)})
	}
	return list, int(lanes), nil
}

// number reads the union of a statistic's value by its VkPipelineExecutableStatisticFormatKHR.
func number(format int, union [8]byte) float64 {
	bits := binary.NativeEndian.Uint64(union[:])
	switch format {
	case 0: // VkBool32
		return float64(binary.NativeEndian.Uint32(union[:]))
	case 1:
		return float64(int64(bits))
	case 3:
		return math.Float64frombits(bits)
	}
	return float64(bits)
}
