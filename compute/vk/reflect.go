package vk

import (
	"encoding/binary"
	"fmt"
)

// BindingKind is how a shader reads a binding.
type BindingKind int

// The kinds of binding that Saltern's shaders use.
const (
	Storage BindingKind = iota // buffer block, read and written
	Texels                     // samplerBuffer of rgba32f, read only
	Image                      // imageBuffer of rgba32f
)

// Interface is what a SPIR-V compute module says of itself.
type Interface struct {
	Bindings []BindingKind // of set 0, by binding number
	Push     int           // bytes of push constants
}

// SPIR-V opcodes, decorations and storage classes used below; numbers as in the SPIR-V specification.
const (
	opTypeInt, opTypeFloat, opTypeVector, opTypeArray, opTypeStruct, opTypePointer = 21, 22, 23, 28, 30, 32
	opTypeImage, opTypeSampledImage, opConstant, opVariable                        = 25, 27, 43, 59
	opDecorate, opMemberDecorate                                                   = 71, 72
	decorationBinding, decorationOffset                                            = 33, 35
	classUniformConstant, classUniform, classPushConstant, classStorageBuffer      = 0, 2, 9, 12
)

// Reflect reads the bindings and the push constant size from a module, so that no table repeats them.
func Reflect(code []byte) (Interface, error) {
	m := newReflection()
	if err := instructions(code, m.instruction); err != nil {
		return Interface{}, err
	}
	out := Interface{Push: m.push}
	for b := 0; ; b++ {
		k, ok := m.kinds()[b]
		if !ok {
			break
		}
		out.Bindings = append(out.Bindings, k)
	}
	if len(out.Bindings) != len(m.kinds()) {
		return Interface{}, fmt.Errorf("binding numbers have gaps")
	}
	return out, nil
}

// instructions hands on each instruction of a module: opcode and operands.
func instructions(code []byte, receive func(op uint32, operands []uint32)) error {
	if len(code) < 20 || len(code)%4 != 0 || binary.LittleEndian.Uint32(code) != 0x07230203 {
		return fmt.Errorf("not a SPIR-V module")
	}
	words := make([]uint32, len(code)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(code[4*i:])
	}
	for i := 5; i < len(words); {
		n, op := int(words[i]>>16), words[i]&0xffff
		if n == 0 || i+n > len(words) {
			return fmt.Errorf("truncated SPIR-V module")
		}
		receive(op, words[i+1:i+n])
		i += n
	}
	return nil
}

func newReflection() reflection {
	return reflection{size: map[uint32]int{}, constant: map[uint32]int{}, pointee: map[uint32]uint32{}, binding: map[uint32]int{}, members: map[uint32][]uint32{}, offset: map[[2]uint32]int{}, image: map[uint32]bool{}}
}

type reflection struct {
	size     map[uint32]int // bytes of a type
	constant map[uint32]int
	pointee  map[uint32]uint32
	binding  map[uint32]int
	members  map[uint32][]uint32
	offset   map[[2]uint32]int
	image    map[uint32]bool // whether a type is an image used without a sampler
	vars     []variable
	push     int
}

type variable struct{ typ, id, class uint32 }

func (m *reflection) instruction(op uint32, w []uint32) {
	switch op {
	case opDecorate:
		if w[1] == decorationBinding {
			m.binding[w[0]] = int(w[2])
		}
	case opMemberDecorate:
		if w[2] == decorationOffset {
			m.offset[[2]uint32{w[0], w[1]}] = int(w[3])
		}
	case opTypeInt, opTypeFloat:
		m.size[w[0]] = int(w[1]) / 8
	case opTypeVector:
		m.size[w[0]] = m.size[w[1]] * int(w[2])
	case opConstant:
		m.constant[w[1]] = int(w[2])
	case opTypeArray:
		m.size[w[0]] = m.size[w[1]] * m.constant[w[2]]
	case opTypeStruct:
		for i, t := range w[1:] {
			m.size[w[0]] = max(m.size[w[0]], m.offset[[2]uint32{w[0], uint32(i)}]+m.size[t])
		}
	case opTypeImage:
		m.image[w[0]] = w[6] == 2
	case opTypePointer:
		m.pointee[w[0]] = w[2]
	case opVariable:
		m.vars = append(m.vars, variable{w[0], w[1], w[2]})
		if w[2] == classPushConstant {
			m.push = m.size[m.pointee[w[0]]]
		}
	}
}

// kinds maps each binding number to its kind.
func (m *reflection) kinds() map[int]BindingKind {
	k := map[int]BindingKind{}
	for _, v := range m.vars {
		b, ok := m.binding[v.id]
		switch {
		case !ok:
		case v.class == classUniformConstant && m.image[m.pointee[v.typ]]:
			k[b] = Image
		case v.class == classUniformConstant:
			k[b] = Texels
		case v.class == classStorageBuffer || v.class == classUniform:
			k[b] = Storage
		}
	}
	return k
}
