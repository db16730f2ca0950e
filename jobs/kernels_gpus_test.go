package jobs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKernelsCompileForGPUs compiles every kernel variant for AMD GPUs that are not here, by the null device of Mesa's RADV:
// none may be impossible to make, none of a hot operation may spill, and the validation layer may have nothing to say. The
// fleet (make test-fleet) does it for many more. RADV_FORCE_FAMILY must be set before the driver is loaded, so each runs
// "saltern kernels" in a process of its own.
func TestKernelsCompileForGPUs(t *testing.T) {
	manifests, err := filepath.Glob("/usr/share/vulkan/icd.d/radeon_icd*.json")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifest of Mesa's driver for AMD GPUs in /usr/share/vulkan/icd.d (%v); install it, the GPU need not be there (Debian: apt-get install mesa-vulkan-drivers)", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"VEGA20", "NAVI10", "NAVI21", "GFX1100"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			c := exec.Command(self)
			c.Args = []string{"saltern", "kernels", "--strict", "--device", family} // TestMain goes by the name
			c.Env = append(os.Environ(), "RADV_FORCE_FAMILY="+family, "VK_DRIVER_FILES="+manifests[0], "VK_ICD_FILENAMES="+manifests[0])
			out, err := c.CombinedOutput()
			if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.ExitCode() == int(NoDevice) {
				t.Fatalf("Mesa's RADV has no null device here, which it had up to version 25.0; run make test-fleet for this, and go test -skip TestKernelsCompileForGPUs for the rest\n%s", out)
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "\nsoftmax_loss ") || !strings.Contains(string(out), " 64 ") {
				t.Errorf("the table shows no loss, or no subgroups of 64:\n%s", out)
			}
		})
	}
}
