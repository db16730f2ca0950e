package compute

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// TestDamage: a device that is damaged for an operation fails the reference in each kernel that adds, and in no other operation; and it is right again
// when it is healed. Each of the operations that cannot be damaged is one that adds nothing.
func TestDamage(t *testing.T) {
	d := openTest(t)
	var spared []string
	for _, op := range Table {
		if err := d.Damage(op.Name); err != nil {
			spared = append(spared, op.Name)
			continue
		}
		wrong, kernels := map[string]bool{}, map[string]bool{}
		for _, c := range d.Checks(op, 0) {
			if kernels[c.Kernel.Name] = true; !wrong[c.Kernel.Name] {
				wrong[c.Kernel.Name] = c.Run(d) != nil
			}
		}
		for name := range kernels {
			if !wrong[name] {
				t.Errorf("%s/%s is right on a device that is damaged for it", op.Name, name)
			}
		}
	}
	t.Log(spared)
	if want := []string{"cast", "embed"}; !slices.Equal(spared, want) {
		t.Errorf("%v cannot be damaged, want %v", spared, want)
	}
}

// TestDamageOfLoadedPrograms damages a device in the middle: a program that is loaded computes wrongly from then on, whole and in segments, its kernel is named,
// nothing is kept of that, and healed the program has its bits again.
func TestDamageOfLoadedPrograms(t *testing.T) {
	d := openTest(t)
	tuner, err := NewTuner(d, "")
	must(t, err)
	d.Choose = tuner.Choose
	x, y := NewTensor(State, "x", F32, 2, 3), NewTensor(State, "y", F32, 2, 3)
	r := NewRecorder()
	r.Accumulate(y, r.Add(x, x))
	p, err := r.Finish()
	must(t, err)
	exes, err := d.Load(p)
	must(t, err)
	defer exes[0].Close()
	run := exes[0].(*DeviceRun)
	profile, err := run.Profile()
	must(t, err)
	defer profile.Close()
	whole := func() error { return run.Run() }
	segments := func() error { return run.RunSegments(func(int) error { return nil }) }
	want := []float32{2, 4, 6, 8, 10, 12}
	for i, step := range []struct {
		damage string
		run    func() error
		right  bool
	}{{"", whole, true}, {"add", whole, false}, {"add", segments, false}, {"add", profile.Run, false}, {"matmul", whole, true}, {"", profile.Run, true}, {"add", segments, false}, {"", segments, true}} {
		must(t, d.Damage(step.damage))
		must(t, d.Write(x, []float32{1, 2, 3, 4, 5, 6}))
		must(t, d.Write(y, make([]float32, 6)))
		must(t, step.run())
		got := make([]float32, 6)
		must(t, d.Read(y, got))
		if slices.Equal(got, want) != step.right {
			t.Errorf("run %d, damaged for %q: %v", i, step.damage, got)
		}
		wrong, err := tuner.Recheck(context.Background(), p)
		if err != nil || strings.HasPrefix(wrong, "add/") == step.right {
			t.Errorf("run %d, damaged for %q: %q is wrong, %v", i, step.damage, wrong, err)
		}
	}
	if times, err := profile.Times(); d.Info().Timestamps && (err != nil || len(times) != len(p.Nodes)) {
		t.Errorf("%v of a profile that was recorded anew, %v", times, err)
	}
	for op, want := range map[string]string{"ad": `there is no operation "ad"`, "embed": "no kernel of embed that fits "} {
		if err := d.Damage(op); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestDamagedKnowledgeIsNotKept: what a damaged device shows of kernels is not in the cache that other processes read.
func TestDamagedKnowledgeIsNotKept(t *testing.T) {
	d, file := openTest(t), t.TempDir()+"/tune.json"
	tune := func() (warned int) {
		tuner, err := NewTuner(d, file)
		must(t, err)
		tuner.Warn = func(string) { warned++ }
		r := NewRecorder()
		x := NewTensor(State, "x", F32, 2, 3)
		r.Add(x, x)
		p, err := r.Finish()
		must(t, err)
		if err := tuner.Tune(context.Background(), p); (err != nil) != (d.damaged != "") {
			t.Error(err)
		}
		return warned
	}
	must(t, d.Damage("add"))
	if tune() == 0 {
		t.Error("nothing is wrong with a damaged device")
	}
	must(t, d.Damage(""))
	if n := tune(); n != 0 {
		t.Errorf("%d kernels are wrong on a device that was healed", n)
	}
}
