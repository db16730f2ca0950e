package compute

import (
	"testing"
	"time"
)

func TestWithoutWaiting(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		why                      string
		took, used, waited, want time.Duration
	}{
		{"undisturbed, both processors busy", 10 * ms, 20 * ms, 0, 10 * ms},
		{"undisturbed, one idle half of the time", 10 * ms, 15 * ms, 0, 10 * ms},
		{"one thread waited for its processor", 19 * ms, 20 * ms, 9 * ms, 10 * ms},
		{"both waited at the same time", 20 * ms, 20 * ms, 20 * ms, 10 * ms},
		{"the system does not say", 10 * ms, 0, 0, 10 * ms},
		{"its clocks are coarser than the run", 1 * ms, 8 * ms, 0, 1 * ms},
	} {
		if got := withoutWaiting(c.took, c.used, c.waited, 2); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}
