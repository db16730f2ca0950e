package jobs

import (
	"strings"
	"testing"

	"saltern/compute"
	"saltern/compute/vk"
)

// TestDeviceThatLacks: a device that is there and cannot be used has a code of its own, whether it was named or is the only one,
// and the sentence names what it lacks. No machine at hand has one, so the list is made up.
func TestDeviceThatLacks(t *testing.T) {
	list := []vk.Info{{Index: 0, Name: "GeForce GTX 280", Type: vk.Discrete, Lacks: "Vulkan 1.2"}}
	for _, selector := range []string{"", "0", "geforce"} {
		_, err := compute.PickDevice(list, selector)
		if err = withHints(err); KindOf(err) != LacksFeature || !strings.Contains(err.Error(), "GTX 280") || !strings.Contains(err.Error(), "lacks Vulkan 1.2") {
			t.Errorf("--device %q: kind %v, %v", selector, KindOf(err), err)
		}
	}
}
