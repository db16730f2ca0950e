// Command build compiles the shaders of the folder above to SPIR-V and writes spv/MANIFEST. Run it by `make shaders`.
// It needs glslc and spirv-val (Debian: glslc spirv-tools).
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	version, err := exec.Command("glslc", "--version").Output()
	if err != nil {
		return fmt.Errorf("glslc does not run (%w); install it (Debian: apt-get install glslc spirv-tools)", err)
	}
	compiler, _, _ := bytes.Cut(version, []byte("\n"))
	out := filepath.Join(dir, "spv")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var manifest strings.Builder
	keep := map[string]bool{"MANIFEST": true}
	for _, v := range variants {
		target := filepath.Join(out, v.Name+".spv")
		args := append([]string{"--target-env=vulkan1.2", "-O", "-I", dir, "-o", target}, v.Defines...)
		if msg, err := exec.Command("glslc", append(args, filepath.Join(dir, v.Source))...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s\n%s", v.Source, msg)
		}
		if msg, err := exec.Command("spirv-val", "--target-env", "vulkan1.2", target).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: spirv-val: %s", v.Name, msg)
		}
		code, err := os.ReadFile(target)
		if err != nil {
			return err
		}
		manifest.WriteString(v.Line(string(compiler), code) + "\n")
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
