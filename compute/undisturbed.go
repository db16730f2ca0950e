package compute

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// stopwatch measures a run, and on a device that is a CPU what it would have taken had no other process been at work: kernels
// are threads there, and what these wait for a processor says nothing about the kernel. On a machine whose other half is
// busy no run may be undisturbed, however often it is repeated.
type stopwatch struct {
	cpu          bool
	start        time.Time
	used, waited time.Duration // by the threads of this process
}

func startWatch(cpu bool) stopwatch {
	s := stopwatch{cpu: cpu}
	if cpu {
		s.used, s.waited = processorTime()
	}
	s.start = time.Now()
	return s
}

// stop gives how long it has been, and how long it would have been undisturbed.
func (s stopwatch) stop() (took, undisturbed time.Duration) {
	took = time.Since(s.start)
	if !s.cpu {
		return took, took
	}
	used, waited := processorTime()
	return took, withoutWaiting(took, used-s.used, waited-s.waited, runtime.NumCPU())
}

// withoutWaiting takes off what the threads waited for a processor. Two that waited at the same time held up the run but once,
// hence it took at least what they used, spread over all processors.
func withoutWaiting(took, used, waited time.Duration, processors int) time.Duration {
	return min(took, max(took-waited, used/time.Duration(processors)))
}

// processorTime is how long the threads of this process have run, and how long they were ready to run and did not. Zero where the
// system does not say.
func processorTime() (used, waited time.Duration) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		used = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil { // it has ended
			continue
		}
		var ran, ready time.Duration
		if _, err := fmt.Sscan(string(text), &ran, &ready); err == nil {
			waited += ready
		}
	}
	return used, waited
}
