package vk

import (
	"math"
	"runtime/debug"
	"sync"
)

// hold is the process's garbage collector, held while at least one call is under way.
var hold struct {
	sync.Mutex
	depth, percent int
	limit          int64
}

// holdGC keeps the garbage collector from starting until the returned function is called. The binding frees the C copies
// of slice arguments in finalizers, which a collection can run before the driver has read them, or while it does: pipelines
// crashed in about one process of thirty. Whatever hands such arguments to the binding runs under this.
func holdGC() (release func()) {
	hold.Lock()
	defer hold.Unlock()
	if hold.depth == 0 {
		hold.percent, hold.limit = debug.SetGCPercent(-1), debug.SetMemoryLimit(math.MaxInt64)
	}
	hold.depth++
	return func() {
		hold.Lock()
		defer hold.Unlock()
		if hold.depth--; hold.depth == 0 {
			debug.SetMemoryLimit(hold.limit)
			debug.SetGCPercent(hold.percent)
		}
	}
}
