package compute

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTableIsComplete walks the table and the folders: an operation has all its parts, and a shader belongs to one.
func TestTableIsComplete(t *testing.T) {
	names := map[string]bool{}
	for _, op := range Table {
		lacks := func(what string, lack bool) {
			if lack {
				t.Errorf("operation %s lacks %s", op.Name, what)
			}
		}
		lacks("a name of its own", op.Name == "" || names[op.Name])
		names[op.Name] = true
		lacks("Doc", op.Doc == "")
		lacks("Shapes", op.Shapes == nil)
		lacks("Ref", op.Ref == nil)
		lacks("Cost", op.Cost == nil)
		lacks("Tol", op.Tol <= 0)
		lacks("cases", len(op.Cases) == 0 && op.Random == nil)
		lacks("either Grad or NoGrad", (op.Grad == nil) == (op.NoGrad == ""))
		lacks("a kernel", len(op.Kernels) == 0)
		if n := len(op.Kernels); n > 0 {
			// Attention's last kernel leaves large heads on a CPU to the one before, since compiling it there takes minutes.
			lacks("a last kernel that runs everywhere (Fits is nil)", op.Kernels[n-1].Fits != nil && !strings.HasPrefix(op.Name, "attention"))
		}
		for _, c := range op.Cases {
			lacks("a reason for a case", c.Why == "")
		}
		stem := op.Name
		if _, err := os.Stat(filepath.Join("ref", stem+".go")); err != nil {
			stem, _, _ = strings.Cut(stem, "_grad")
			stem = strings.TrimSuffix(stem, "_dot")
			if _, err := os.Stat(filepath.Join("ref", stem+".go")); err != nil {
				t.Errorf("operation %s lacks compute/ref/%s.go", op.Name, op.Name)
			}
		}
	}
	sources, err := filepath.Glob("../shaders/*.comp")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no shaders: %v", err)
	}
	for _, s := range sources {
		stem := strings.TrimSuffix(filepath.Base(s), ".comp")
		owned := false
		for name := range names {
			owned = owned || stem == name || strings.HasPrefix(stem, name+"_")
		}
		if !owned {
			t.Errorf("%s belongs to no operation in table.go", s)
		}
	}
}
