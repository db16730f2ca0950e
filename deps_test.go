package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers says who may import whom: a folder may import those to the left of it, and those to the left of these. Folders
// inside a folder share its place unless they have a rule of their own.
const layers = `
docs < jobs            # the binary shows its own reference pages; they import nothing
shaders < compute      # SPIR-V is data: it is embedded and listed, and knows of nothing
compute/ref, compute/vk < compute # the reference shares nothing with the fast path; Vulkan's own terms stay in vk
compute < model        # kernels know nothing of networks
model < distill        # a teacher adds to a model's training; the model knows nothing of teachers
slurm < jobs           # the queue's side: names, scripts and the environment of a task, nothing of models
cluster < slurm, jobs  # ranks meet and send bytes; what they compute is nothing to the network, and the network nothing to models
cluster/wire < cluster/collective, cluster # how numbers are written; it knows no ranks
cluster/memconn < cluster # a connection through memory; it knows nothing of ranks and servers
cluster/link < cluster # servers hold as much as its windows let be under way
cluster/link, cluster/collective < jobs # neither knows models; sums know nothing of what carries them, nor that of what it carries
distill < jobs         # jobs compose; the method knows nothing of job files and command lines
jobs < main            # main hands over the command line, nothing more
`

// TestImportsPointDownwards checks every import of the project's own packages against layers.
func TestImportsPointDownwards(t *testing.T) {
	below, err := parseLayers(layers)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for file, syntax := range sources(t) {
		from := place(filepath.Dir(file), below)
		if from == "" {
			t.Errorf("%s: its folder has no rule; add one to layers in deps_test.go, with the reason", file)
			continue
		}
		seen[from] = true
		for _, spec := range syntax.Imports {
			dir, own := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), "saltern/")
			if !own || strings.HasSuffix(file, "_test.go") { // tests may reach for what they like
				continue
			}
			if to := place(dir, below); to != from && !below[from][to] {
				t.Errorf("%s imports saltern/%s, but %s may only import %v; the rules and their reasons are in deps_test.go",
					file, dir, from, slices.Sorted(maps.Keys(below[from])))
			}
		}
	}
	for name := range below {
		if !seen[name] {
			t.Errorf("layers in deps_test.go names %s, which is gone", name)
		}
	}
}

// TestLayersAreRead shows that a rule broken on purpose is seen.
func TestLayersAreRead(t *testing.T) {
	below, err := parseLayers("a < b, c # why\nc < d # why\na/x < a # why")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from, to string
		may      bool
	}{
		{"b", "a", true}, {"d", "a", true}, {"d", "a/x", true}, {"a", "b", false}, {"b", "c", false}, {"a/x", "a", false},
	} {
		if below[test.from][test.to] != test.may {
			t.Errorf("%s may import %s: %v, want %v", test.from, test.to, !test.may, test.may)
		}
	}
	if got := place("a/x/y", below); got != "a/x" {
		t.Errorf("a/x/y has the place of %q, want a/x", got)
	}
	for _, wrong := range []string{"a < b", "a b # why", "a < b # why\nb < a # why"} {
		if _, err := parseLayers(wrong); err == nil {
			t.Errorf("%q was taken for rules", wrong)
		}
	}
}

// parseLayers reads "x < y, z # reason" lines into the set of all that each folder may import, near and far.
func parseLayers(text string) (map[string]map[string]bool, error) {
	below := map[string]map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		rule, reason, _ := strings.Cut(lines.Text(), "#")
		low, high, ok := strings.Cut(rule, "<")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf(`%q is not "x < y # reason"`, lines.Text())
		}
		for h := range strings.SplitSeq(high, ",") {
			for l := range strings.SplitSeq(low, ",") {
				l, h := strings.TrimSpace(l), strings.TrimSpace(h)
				for _, name := range []string{l, h} {
					if below[name] == nil {
						below[name] = map[string]bool{}
					}
				}
				below[h][l] = true
			}
		}
	}
	for range below { // as many rounds as there are folders reach the farthest
		for _, near := range below {
			for name := range maps.Clone(near) {
				maps.Copy(near, below[name])
			}
		}
	}
	for name, near := range below {
		if near[name] {
			return nil, fmt.Errorf("the rules for %s go round in a circle", name)
		}
	}
	return below, nil
}

// place is the folder whose rule holds for dir: itself or the nearest around it. The root is "main".
func place(dir string, below map[string]map[string]bool) string {
	if dir == "." {
		return "main"
	}
	for ; dir != "."; dir = filepath.ToSlash(filepath.Dir(dir)) {
		if below[dir] != nil {
			return dir
		}
	}
	return ""
}

// TestOnlyMainExits wants the process to end in a command's main.go alone, so that all else can clean up and be tested.
func TestOnlyMainExits(t *testing.T) {
	for file, syntax := range sources(t) {
		if syntax.Name.Name == "main" && filepath.Base(file) == "main.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := call.X.(*ast.Ident)
			if ok && (pkg.Name == "os" && call.Sel.Name == "Exit" || pkg.Name == "log" && strings.HasPrefix(call.Sel.Name, "Fatal")) {
				t.Errorf("%s calls %s.%s; return an error, which package jobs maps to an exit code", file, pkg.Name, call.Sel.Name)
			}
			return true
		})
	}
}

// sources parses every Go file of the project, by path from the root.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		files[filepath.ToSlash(path)] = syntax
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
