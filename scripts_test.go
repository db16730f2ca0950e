package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python runs a program that has scripts/bench-peers as the module b.
func python(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	head := "import importlib.machinery, importlib.util, sys\nsys.dont_write_bytecode = True\n" +
		"l = importlib.machinery.SourceFileLoader('b', 'scripts/bench-peers')\nb = importlib.util.module_from_spec(importlib.util.spec_from_loader('b', l))\nl.exec_module(b)\n"
	out, err := exec.Command(path, "-c", head+program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestBackendOpsAreRead reads what llama.cpp's test-backend-ops prints, of two versions, colours included.
func TestBackendOpsAreRead(t *testing.T) {
	got := python(t, `
for r in b.parse_backend_ops("""
  MUL_MAT(type_a=f32,type_b=f32,m=4096,n=512,k=14336,bs=[1,1],nr=[1,1],per=[0,1,2,3],k_v=0,o=1,src_overlap=0,m_v=0,pad=0): not supported
  MUL_MAT(type_a=f16,type_b=f32,m=4096,n=512,k=14336,bs=[1,1],nr=[1,1],per=[0,1,2,3],k_v=0,o=1,src_overlap=0,m_v=0,pad=0):                 2 runs - 71137774.00 us/run -  60.13 GFLOP/run - \x1b[1;34m845.25 MFLOPS\x1b[0m
  MUL_MAT(type_a=f32,type_b=f32,m=4096,n=1,k=14336,bs=[1,1],nr=[1,1],per=[0,1,2,3]):                    2556 runs -   492.03 us/run - 117.44 MFLOP/run - 238.69 GFLOPS
  MUL_MAT(type_a=f32,type_b=f32,m=4096,n=512,k=14336,bs=[1,1],nr=[1,1]):                    34 runs -  30066.50 us/run -  60.13 GFLOP/run -   2.00 TFLOPS
"""): print(r["op"], r["dtype"], r["dims"], round(r["ms"], 2), round(r["gflops"], 2))
`)
	want := `matmul NT f16 {'m': 4096, 'n': 512, 'k': 14336} 71137.77 0.85
matmul NT f32 {'m': 4096, 'n': 512, 'k': 14336} 30.07 1999.88
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestPeersTakeTurns makes the table of two rounds of a fast minute and a slow one: the rates differ by two, the ratio does not.
func TestPeersTakeTurns(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Page\n\n<!-- bench D -->\nold\n<!-- end -->\n\nafter\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	got := python(t, `
r = b.Results()
for i, speed in enumerate((1, 2)):
    row = lambda ms, op: {"suite": "matmul", "op": op, "dims": {"m": 512}, "dtype": "f32", "ms": ms / speed, "gflops": 100 * speed / ms}
    r.add("saltern", i, [row(4, "matmul NN"), row(4, "matmul NN, plain tile")])
    r.add("peer", i, [row(1, "matmul NN")])
    r.add("saltern", i, [{**row(8, "step"), "suite": "train", "dims": {"parameters": 7}}])
text = b.table(r, ["peer"]) + "\n" + b.peak_shares(r)
print(text)
b.put(`+"'"+page+"'"+`, "D", text)
b.put(`+"'"+page+"'"+`, "E", "new")
`)
	for _, want := range []string{
		"| matmul NN | m=512 | f32 | GFLOP/s | 37.5 (25 to 50) | 150 (100 to 200), x0.25 (0.25 to 0.25) |",
		"- saltern, f32: a step of 7 parameters runs at 50% of its own best matrix product",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line\n%s\nin\n%s", want, got)
		}
	}
	if strings.Contains(got, "plain tile") {
		t.Error("a row that no peer has is in the table")
	}
	text, err := os.ReadFile(page)
	if err != nil || strings.Contains(string(text), "old") || !strings.HasPrefix(string(text), "# Page\n\n<!-- bench D -->\n| operation") ||
		!strings.Contains(string(text), "<!-- end -->\n\nafter\n") || !strings.HasSuffix(string(text), "<!-- bench E -->\nnew\n<!-- end -->\n") {
		t.Errorf("the page is\n%s\n(%v)", text, err)
	}
}

// TestAbsentPeersAreNamed asks for a Python that is not there.
func TestAbsentPeersAreNamed(t *testing.T) {
	got := python(t, `
b.PYTHON = "/no/such/python"
absent = []
print(b.find("torch on cpu", b.Python("torch", "cpu", "f32", 5).name, absent), absent)
`)
	if !strings.HasPrefix(got, "None [\"torch on cpu: ") {
		t.Errorf("got %s", got)
	}
}
