package main

import (
	"go/ast"
	"os"
	"regexp"
	"testing"
)

// TestNumericsNamesTests: every test that docs/NUMERICS.md says shows something exists.
func TestNumericsNamesTests(t *testing.T) {
	text, err := os.ReadFile("docs/NUMERICS.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, syntax := range sources(t) {
		for _, d := range syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				there[f.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text), -1)
	for _, name := range named {
		if !there[name] {
			t.Errorf("docs/NUMERICS.md names %s, which is no test", name)
		}
	}
	if len(named) < 20 {
		t.Errorf("docs/NUMERICS.md names %d tests", len(named))
	}
}
