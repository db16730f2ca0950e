// Package computetest opens what tests of other packages run programs on: the device, watched by the validation layer,
// and the float64 reference.
//
// The checks of single kernels are in package compute itself.
package computetest

import (
	"os"
	"testing"

	"saltern/compute"
)

// Device opens the machine's most capable device. The test fails if the validation layer (on when SALTERN_VALIDATION is
// set) says anything, or if device memory leaks.
func Device(t testing.TB) *compute.Device {
	t.Helper()
	d, err := compute.Open("", os.Getenv("SALTERN_VALIDATION") != "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.CloseChecked(); err != nil {
			t.Error(err)
		}
		if n := d.Allocated(); n != 0 {
			t.Errorf("%d bytes of device memory leaked", n)
		}
	})
	return d
}
