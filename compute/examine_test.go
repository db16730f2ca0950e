package compute

import (
	"errors"
	"os"
	"strings"
	"testing"

	"saltern/compute/vk"
)

// TestExamineMakesEveryPipeline examines all operations here: nothing may run and no memory be taken, every kernel that
// fits a case or a usual shape must be made, and none ask for more workgroup memory than there is.
func TestExamineMakesEveryPipeline(t *testing.T) {
	d, err := OpenToExamine("", os.Getenv("SALTERN_VALIDATION") != "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.CloseChecked(); err != nil {
			t.Error(err)
		}
	}()
	p, err := Typical()
	if err != nil {
		t.Fatal(err)
	}
	met, typical := map[string]bool{}, map[string]bool{}
	err = d.Examine(Table, p.Nodes, func(c Compiled) error {
		met[c.Name()] = true
		typical[c.Op.Name] = typical[c.Op.Name] || c.Typical
		if c.Shared > d.limits.Shared {
			t.Errorf("%s declares %d bytes of workgroup memory; the device has %d", c.Name(), c.Shared, d.limits.Shared)
		}
		return c.Err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Allocated() != 0 {
		t.Errorf("%d bytes of device memory are taken", d.Allocated())
	}
	for _, op := range Table {
		if !typical[op.Name] {
			t.Errorf("no usual shape is recorded of %s; add it to Typical", op.Name)
		}
		for _, c := range op.Cases {
			for _, v := range d.variants(op, c, 0) {
				if !met[op.Name+"/"+v.Kernel.Name] {
					t.Errorf("%s/%s was not examined", op.Name, v.Kernel.Name)
				}
			}
		}
	}
	stop := errors.New("enough")
	if err := d.Examine(Table, nil, func(Compiled) error { return stop }); err != stop {
		t.Errorf("the receiver's error became %v", err)
	}
}

// TestExamineNamesWhatFails has a kernel whose shader does not exist.
func TestExamineNamesWhatFails(t *testing.T) {
	d := openTest(t)
	op := with(opAdd, Kernel{Name: "missing", Launch: func(*Node, *Limits) []Launch { return []Launch{{Shader: "no such"}} }})
	var first Compiled
	stop := errors.New("enough")
	if err := d.Examine([]*Op{op}, nil, func(c Compiled) error { first = c; return stop }); err != stop {
		t.Fatal(err)
	}
	if first.Err == nil || !strings.HasPrefix(first.Err.Error(), "add/missing ") {
		t.Errorf("a kernel without a shader: %v", first.Err)
	}
}

func TestMeasures(t *testing.T) {
	c := Compiled{Statistics: []vk.Statistic{
		{Name: "Spilled VGPRs", Value: 3}, {Name: "Spilled SGPRs", Value: 4}, {Name: "Registers used", Value: 12}, {Name: "Hash", Value: 77},
	}}
	for m, want := range map[Measure]float64{Spills: 7, Registers: 48} {
		if v, ok := c.Get(m); !ok || v != want {
			t.Errorf("measure %d is %g, %v, want %g", m, v, ok, want)
		}
	}
	if _, ok := c.Get(Cycles); ok || !c.Spilled() {
		t.Error("cycles were not told, spills were")
	}
	if (Compiled{Statistics: []vk.Statistic{{Name: "Scratch", Value: 0}, {Name: "Spills", Value: 0}}}).Spilled() {
		t.Error("no spills are taken for some")
	}
}

// TestSharedMemory compares with what attention's variant asks for: two stages of 24 rows of 16 vec4, and a place where four
// invocations of a row add up two products with 4 rows.
func TestSharedMemory(t *testing.T) {
	for _, test := range []struct {
		shader string
		spec   []uint32
		want   int
	}{
		{"attention.float", []uint32{64, 64, 24, 4, 4}, 2*24*16*16 + 2*4*64*4},
		{"attention_texel", []uint32{8, 64, 16}, 0},
	} {
		got, err := sharedMemory(Launch{Shader: test.shader, Spec: test.spec})
		if err != nil || got != test.want {
			t.Errorf("%s %v: %d bytes (%v), want %d", test.shader, test.spec, got, err, test.want)
		}
	}
}
