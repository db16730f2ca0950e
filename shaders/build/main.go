// Command build compiles the shaders of the folder above to SPIR-V and writes spv/MANIFEST. Run it by `make shaders`.
// It needs glslc and spirv-val (Debian: glslc spirv-tools), and for the variants that need newer ones scripts/fleet.sh.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"saltern/shaders"
)

func main() {
	dir := "shaders"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "shaders:", err)
		os.Exit(1)
	}
}

func build(dir string) error {
	variants, err := shaders.Variants(os.DirFS(dir))
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "spv")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var manifest strings.Builder
	keep := map[string]bool{"MANIFEST": true}
	for _, v := range variants {
		code, compiler, err := compile(dir, v, filepath.Join(out, v.Name+".spv"))
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		manifest.WriteString(v.Line(compiler, code) + "\n")
		keep[v.Name+".spv"] = true
	}
	if err := os.WriteFile(filepath.Join(out, "MANIFEST"), []byte(manifest.String()), 0o644); err != nil {
		return err
	}
	files, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !keep[f.Name()] {
			if err := os.Remove(filepath.Join(out, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile makes one module and names the compiler.
func compile(dir string, v shaders.Variant, target string) (code []byte, compiler string, err error) {
	const noOptimizer = "-O0" // it has broken cooperative matrices before; the drivers optimize them anyway
	tool, optimize := exec.Command, "-O"
	if v.Newer {
		optimize = noOptimizer
		tool = func(name string, args ...string) *exec.Cmd {
			return exec.Command("scripts/fleet.sh", append([]string{name}, args...)...)
		}
	}
	version, err := tool("glslc", "--version").Output()
	if err != nil {
		return nil, "", fmt.Errorf("glslc does not run (%w); install it (Debian: apt-get install glslc spirv-tools; for this variant: scripts/fleet.sh up)", err)
	}
	first, _, _ := bytes.Cut(version, []byte("\n"))
	defines := slices.DeleteFunc(slices.Clone(v.Defines), func(d string) bool { return d == bfloat16 })
	args := append([]string{"--target-env=" + v.Target, optimize, "-I", dir, "-o", target}, defines...)
	if msg, err := tool("glslc", append(args, filepath.Join(dir, v.Source))...).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("glslc: %s", msg)
	}
	if msg, err := tool("spirv-val", "--target-env", v.Target, target).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("spirv-val: %s", msg)
	}
	if code, err = os.ReadFile(target); err != nil {
		return nil, "", err
	}
	if len(defines) < len(v.Defines) { // after the validator, which does not know the type yet
		code = toBFloat16(code)
		err = os.WriteFile(target, code, 0o644)
	}
	return code, string(first), err
}
