package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryPackageIsDescribed wants one package comment per package, in one file, and no package whose name says nothing.
func TestEveryPackageIsDescribed(t *testing.T) {
	comments := map[string][]string{} // by folder, the files with a package comment
	for file, syntax := range sources(t) {
		dir := filepath.Dir(file)
		if _, known := comments[dir]; !known {
			comments[dir] = nil
		}
		if strings.HasSuffix(file, "_test.go") || syntax.Doc == nil {
			continue
		}
		comments[dir] = append(comments[dir], file)
		begin := "Package " + syntax.Name.Name + " "
		if syntax.Name.Name == "main" {
			begin = "Command "
		}
		if !strings.HasPrefix(syntax.Doc.Text(), begin) {
			t.Errorf("%s: its package comment must begin with %q", file, begin)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "misc"}, syntax.Name.Name) {
			t.Errorf("%s: a package named %s says nothing of what it holds", file, syntax.Name.Name)
		}
	}
	for dir, files := range comments {
		slices.Sort(files)
		switch len(files) {
		case 0:
			t.Errorf("%s has no package comment; say what lives there, what does not and where it is instead", dir)
		case 1:
		default:
			t.Errorf("%s has %d package comments, in %s; keep one", dir, len(files), strings.Join(files, ", "))
		}
	}
}

// TestEveryExportIsDescribed wants a comment on each exported function, method, type, constant and variable; one on a
// group is enough for the group. It also wants no init function: what works before main can be neither seen nor ordered.
func TestEveryExportIsDescribed(t *testing.T) {
	for file, syntax := range sources(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, d := range syntax.Decls {
			for _, name := range undescribed(d) {
				t.Errorf("%s: %s has no comment", file, name)
			}
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function; do its work where it is asked for", file)
			}
		}
	}
}

// plain are methods whose meaning is their interface's.
var plain = []string{"Error", "Unwrap", "String", "Len", "Less", "Swap"}

func undescribed(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d) && !slices.Contains(plain, d.Name.Name)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if d.Doc == nil && spec.Doc == nil && spec.Name.IsExported() {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && n.IsExported() {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(f *ast.FuncDecl) bool {
	exported := false
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

// TestModuleStandsAlone wants no replace directive: with one, "go install" of the module would build something else.
func TestModuleStandsAlone(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod: %q; require a version instead", strings.TrimSpace(line))
		}
	}
}
