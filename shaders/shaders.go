// Package shaders holds the GLSL compute shaders, the SPIR-V compiled from them, and the file system that embeds it.
//
// One kernel has one stem: NAME.comp (and NAME_grad.comp where its gradient is a kernel of its own). A shader opens with its
// contract: the equation, its buffers, what it needs, who dispatches it. What several shaders share is a .glsl file. A line
//
//	//! variant SUFFIX: -DNAME=VALUE ...
//
// in a .comp file asks for a second module NAME.SUFFIX with those defines; without such lines there is one, NAME. With
// --bfloat16 among them the module is compiled with float16_t, and that type then becomes bfloat16, which GLSL compilers
// learnt late. The SPIR-V in spv/ is derived: `make shaders` makes it, bit for bit, with Debian 12's glslc, or, where a line
//
//	//! newer            or            //! newer vulkan1.3
//
// asks for it, with that of Debian 13 (scripts/fleet.sh), for the Vulkan that it names. spv/MANIFEST lists it with the checksums that TestShadersAreFresh
// compares, so users need no shader compiler.
//
// Which kernel runs when, on which shapes, with which specialization constants, is said in package compute, not here.
package shaders

import (
	"crypto/sha256"
	"embed"
	"fmt"
)

//go:embed spv
var spv embed.FS

// Module is the SPIR-V of the named shader variant.
func Module(name string) ([]byte, error) {
	code, err := spv.ReadFile("spv/" + name + ".spv")
	if err != nil {
		return nil, fmt.Errorf("bug: there is no shader module %s; run: make shaders", name)
	}
	return code, nil
}

// Sum identifies the SPIR-V as a whole: the SHA-256 of its list, which holds a checksum of every module. What was learnt of
// kernels on a device holds for this sum alone.
func Sum() (string, error) {
	list, err := spv.ReadFile("spv/MANIFEST")
	if err != nil {
		return "", fmt.Errorf("bug: there is no list of the shader modules; run: make shaders")
	}
	return fmt.Sprintf("%x", sha256.Sum256(list)), nil
}
