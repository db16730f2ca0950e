package main

import "encoding/binary"

// bfloat16 in a variant's defines asks for toBFloat16.
const bfloat16 = "--bfloat16"

// SPIR-V numbers, from the specification and from SPV_KHR_bfloat16.
const (
	opExtension, opCapability, opTypeFloat           = 10, 17, 22
	capabilityFloat16                                = 9
	capabilityBFloat16Type, capabilityBFloat16Matrix = 5116, 5118
	encodingBFloat16, headerWords, extensionName     = 0, 5, "SPV_KHR_bfloat16"
)

// toBFloat16 turns the 16-bit float type of a module into bfloat16. The module may only declare matrices of it, multiply
// them and convert them: on bfloat16 there is no other arithmetic.
func toBFloat16(code []byte) []byte {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(code[4*i:]) }
	var out []uint32
	for i := range headerWords {
		out = append(out, word(i))
	}
	extended := false
	for i := headerWords; i < len(code)/4; {
		n, op := int(word(i)>>16), word(i)&0xffff
		if op != opCapability && !extended { // extensions follow the capabilities
			out, extended = append(out, extension(extensionName)...), true
		}
		switch {
		case op == opCapability && word(i+1) == capabilityFloat16:
			out = append(out, 2<<16|opCapability, capabilityBFloat16Type, 2<<16|opCapability, capabilityBFloat16Matrix)
		case op == opTypeFloat && word(i+2) == 16:
			out = append(out, 4<<16|opTypeFloat, word(i+1), 16, encodingBFloat16)
		default:
			for j := range n {
				out = append(out, word(i+j))
			}
		}
		i += n
	}
	b := make([]byte, 4*len(out))
	for i, w := range out {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
	return b
}

// extension is the instruction that declares one: the name, ended by a zero, in whole words.
func extension(name string) []uint32 {
	b := append([]byte(name), make([]byte, 4-len(name)%4)...)
	out := []uint32{uint32(1+len(b)/4)<<16 | opExtension}
	for i := 0; i < len(b); i += 4 {
		out = append(out, binary.LittleEndian.Uint32(b[i:]))
	}
	return out
}
