package compute

import "testing"

// TestCheckNamed finds every check again by its name.
func TestCheckNamed(t *testing.T) {
	d := openTest(t)
	for _, op := range Table {
		for _, c := range d.Checks(op, 3) {
			got, err := d.CheckNamed(Table, c.Name())
			if err != nil || got.Op != c.Op || got.Kernel != c.Kernel || got.Seed != c.Seed {
				t.Errorf("%s is found as %v/%s (%v)", c.Name(), got.Op, got.Kernel.Name, err)
			}
		}
	}
	for _, name := range []string{"", "add", "add/plain/[77][77]/seed=1", "add/other/[77][77]/seed=0", "add/plain/[77][77]/seed=x"} {
		if c, err := d.CheckNamed(Table, name); err == nil {
			t.Errorf("%q names %s", name, c.Name())
		}
	}
}
