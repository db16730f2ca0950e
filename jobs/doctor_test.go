package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/compute/ref"
)

// TestDoctorNamesWrongKernels gives doctor an operation whose kernels disagree with its reference, and so proves that it
// can fail: by its exit code, by the variant's name, and by that name alone.
func TestDoctorNamesWrongKernels(t *testing.T) {
	wrong := *compute.Find("add")
	wrong.Ref = func(in, out []ref.Tensor, _ any) {
		for i := range out[0].Data {
			out[0].Data[i] = in[0].Data[i] - in[1].Data[i]
		}
	}
	ops := []*compute.Op{compute.Find("swiglu"), &wrong}
	run := func(d diagnosis) (string, error) {
		var out strings.Builder
		err := d.run(context.Background(), IO{Out: &out, Err: os.Stderr, Env: os.LookupEnv}, ops)
		return out.String(), err
	}
	const name = "add/plain/[77][77]/seed=0"
	text, err := run(diagnosis{random: 2})
	if failed := strings.Count(text, "again: saltern doctor --check 'add/"); KindOf(err) != Failed || failed < 3 || !strings.HasPrefix(err.Error(), fmt.Sprintf("%d of ", failed)) {
		t.Errorf("the error is %v, of the kind %v", err, KindOf(err))
	}
	for _, want := range []string{"again: saltern doctor --check '" + name + "'\n", "the reference says", "the sum overwrites its first operand"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "--check 'swiglu") {
		t.Errorf("it blames an innocent operation:\n%s", text)
	}
	text, err = run(diagnosis{check: name, json: true})
	var rows []map[string]any
	if KindOf(err) != Failed || json.Unmarshal([]byte(text), &rows) != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if last := rows[len(rows)-1]; last["kind"] != "check" || last["name"] != name || last["result"] != "failed" {
		t.Errorf("the last row is %v", last)
	}
	wrong.Ref = compute.Find("add").Ref
	if text, err = run(diagnosis{check: name}); err != nil {
		t.Errorf("with its true reference: %v\n%s", err, text)
	}
}

// TestSymptomsHaveReasons wants each symptom after those that it depends on, and able to say what to do.
func TestSymptomsHaveReasons(t *testing.T) {
	var seen []string
	for _, s := range symptoms() {
		if s.code == "" || s.title == "" || s.remedy == "" || s.examine == nil || slices.Contains(seen, s.code) {
			t.Errorf("%q (%q) is incomplete or there twice", s.code, s.title)
		}
		for _, code := range s.dependsOn {
			if !slices.Contains(seen, code) {
				t.Errorf("%s depends on %q, which is not before it", s.code, code)
			}
		}
		seen = append(seen, s.code)
	}
}
