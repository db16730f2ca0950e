package shaders

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestShadersAreFresh(t *testing.T) {
	text, err := os.ReadFile("spv/MANIFEST")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for s := bufio.NewScanner(strings.NewReader(string(text))); s.Scan(); {
		f := strings.Fields(s.Text())
		lines[f[0]] = f
	}
	variants, err := Variants(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		f, ok := lines[v.Name]
		if !ok {
			t.Errorf("%s has no SPIR-V; run: make shaders", v.Name)
			continue
		}
		delete(lines, v.Name)
		if f[2] != v.Sum {
			t.Errorf("%s changed after %s.spv was made; run: make shaders", v.Source, v.Name)
		}
		code, err := Module(v.Name)
		if err != nil {
			t.Error(err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(code)); got != f[3] {
			t.Errorf("%s.spv is not what MANIFEST lists; run: make shaders", v.Name)
		}
	}
	for name := range lines {
		t.Errorf("MANIFEST lists %s, which no source asks for; run: make shaders", name)
	}
}
