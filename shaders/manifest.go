package shaders

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Variant is one SPIR-V module to be made from one source.
type Variant struct {
	Name, Source string
	Defines      []string
	Newer        bool   // Debian 12's compiler does not know what it uses
	Target       string // the oldest Vulkan that runs it
	Sum          string // SHA-256 of the defines and of the source with everything it includes
}

// Line is the variant's line in the manifest: name, source, compiler, sums of source and output, defines.
func (v Variant) Line(compiler string, code []byte) string {
	return strings.Join(append([]string{v.Name, v.Source, v.Sum, fmt.Sprintf("%x", sha256.Sum256(code)), strings.ReplaceAll(compiler, " ", "_")}, v.Defines...), " ")
}

var (
	variantLine = regexp.MustCompile(`(?m)^//! variant ([a-z0-9_]+): *(.*)$`)
	newerLine   = regexp.MustCompile(`(?m)^//! newer( vulkan1\.[3-9])?$`)
	includeLine = regexp.MustCompile(`(?m)^#include "([^"]+)"`)
)

// Variants reads which modules the .comp files of a folder ask for.
func Variants(dir fs.FS) ([]Variant, error) {
	sources, err := fs.Glob(dir, "*.comp")
	if err != nil {
		return nil, err
	}
	var list []Variant
	for _, source := range sources {
		text, err := expand(dir, source, 0)
		if err != nil {
			return nil, err
		}
		stem := strings.TrimSuffix(source, ".comp")
		asked := variantLine.FindAllStringSubmatch(text, -1)
		if len(asked) == 0 {
			asked = [][]string{{"", "", ""}}
		}
		for _, a := range asked {
			v := Variant{Name: stem, Source: source, Defines: strings.Fields(a[2]), Target: "vulkan1.2"}
			if newer := newerLine.FindStringSubmatch(text); newer != nil {
				v.Newer = true
				v.Target = cmp.Or(strings.TrimSpace(newer[1]), v.Target)
			}
			if a[1] != "" {
				v.Name += "." + a[1]
			}
			v.Sum = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(v.Defines, " ")+"\n"+text)))
			list = append(list, v)
		}
	}
	return list, nil
}

// expand is the source with its includes in place, as far as a checksum needs.
func expand(dir fs.FS, name string, depth int) (string, error) {
	if depth > 8 {
		return "", fmt.Errorf("%s: includes are nested too deeply", name)
	}
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return "", err
	}
	out := string(text)
	for _, inc := range includeLine.FindAllStringSubmatch(out, -1) {
		body, err := expand(dir, inc[1], depth+1)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		out += "\n" + body
	}
	return out, nil
}
