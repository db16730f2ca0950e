package vk

import "fmt"

// What only the size of workgroup memory needs; numbers as in the SPIR-V specification.
const (
	opTypeBool, opConstantTrue, opConstantFalse                                               = 20, 41, 42
	opSpecConstantTrue, opSpecConstantFalse, opSpecConstant, opSpecConstantOp                 = 48, 49, 50, 52
	decorationSpecID, classWorkgroup                                                          = 1, 4
	opConstantComposite, opSpecConstantComposite, opCompositeExtract                          = 44, 51, 81
	opIAdd, opISub, opIMul, opUDiv, opUMod, opShiftRightLogical, opShiftLeftLogical           = 128, 130, 132, 134, 137, 194, 196
	opLogicalOr, opLogicalAnd, opLogicalNot, opSelect                                         = 166, 167, 168, 169
	opIEqual, opINotEqual, opUGreaterThan, opUGreaterThanEqual, opULessThan, opULessThanEqual = 170, 171, 172, 174, 176, 178
)

// SharedMemory is how many bytes of workgroup memory a module declares under specialization constants 0, 1, 2, ...
func SharedMemory(code []byte, spec []uint32) (int, error) {
	m := shared{reflection: newReflection(), spec: spec, id: map[uint32]uint32{}, parts: map[uint32][]uint32{}}
	if err := instructions(code, m.instruction); err != nil {
		return 0, err
	}
	return m.total, m.err
}

// shared adds up workgroup variables: a reflection that knows the values of specialization constants.
type shared struct {
	reflection
	spec  []uint32
	id    map[uint32]uint32   // SpecId of a constant
	parts map[uint32][]uint32 // of a composite constant, as gl_WorkGroupSize
	total int
	err   error
}

func (m *shared) instruction(op uint32, w []uint32) {
	switch op {
	case opDecorate:
		if w[1] == decorationSpecID {
			m.id[w[0]] = w[2]
		}
	case opTypeBool:
		m.size[w[0]] = 4
	case opConstantTrue, opConstantFalse:
		m.constant[w[1]] = flag(op == opConstantTrue)
	case opSpecConstantTrue, opSpecConstantFalse:
		m.constant[w[1]] = int(m.specialized(w[1], uint32(flag(op == opSpecConstantTrue))))
	case opSpecConstant:
		m.constant[w[1]] = int(m.specialized(w[1], w[2]))
	case opConstantComposite, opSpecConstantComposite:
		m.parts[w[1]] = w[2:]
	case opSpecConstantOp:
		m.operation(w[1], w[2], w[3:])
	case opTypeArray:
		if _, known := m.constant[w[2]]; !known {
			m.err = fmt.Errorf("bug: the length of a SPIR-V array is not computed by any of the operations in compute/vk/shared.go")
		}
		m.reflection.instruction(op, w)
	case opVariable:
		if w[2] == classWorkgroup {
			m.total += m.size[m.pointee[w[0]]]
		}
	default:
		m.reflection.instruction(op, w)
	}
}

// specialized is the value that the pipeline gives a constant, or its own.
func (m *shared) specialized(constant, own uint32) uint32 {
	if i, ok := m.id[constant]; ok && int(i) < len(m.spec) {
		return m.spec[i]
	}
	return own
}

// operation computes an OpSpecConstantOp on 32-bit unsigned integers. A result that depends on something else stays unknown.
func (m *shared) operation(result, op uint32, args []uint32) {
	if op == opCompositeExtract && len(args) == 2 && int(args[1]) < len(m.parts[args[0]]) {
		if c, known := m.constant[m.parts[args[0]][args[1]]]; known {
			m.constant[result] = c
		}
		return
	}
	f, ok := operations[op]
	v := make([]uint32, 3)
	for i, a := range args[:min(len(args), len(v))] {
		c, known := m.constant[a]
		v[i], ok = uint32(c), ok && known
	}
	if ok {
		m.constant[result] = int(f(v[0], v[1], v[2]))
	}
}

var operations = map[uint32]func(a, b, c uint32) uint32{
	opIAdd:              func(a, b, _ uint32) uint32 { return a + b },
	opISub:              func(a, b, _ uint32) uint32 { return a - b },
	opIMul:              func(a, b, _ uint32) uint32 { return a * b },
	opUDiv:              func(a, b, _ uint32) uint32 { return a / max(b, 1) },
	opUMod:              func(a, b, _ uint32) uint32 { return a % max(b, 1) },
	opShiftRightLogical: func(a, b, _ uint32) uint32 { return a >> b },
	opShiftLeftLogical:  func(a, b, _ uint32) uint32 { return a << b },
	opLogicalOr:         func(a, b, _ uint32) uint32 { return a | b },
	opLogicalAnd:        func(a, b, _ uint32) uint32 { return a & b },
	opLogicalNot:        func(a, _, _ uint32) uint32 { return 1 - a },
	opIEqual:            func(a, b, _ uint32) uint32 { return uint32(flag(a == b)) },
	opINotEqual:         func(a, b, _ uint32) uint32 { return uint32(flag(a != b)) },
	opUGreaterThan:      func(a, b, _ uint32) uint32 { return uint32(flag(a > b)) },
	opUGreaterThanEqual: func(a, b, _ uint32) uint32 { return uint32(flag(a >= b)) },
	opULessThan:         func(a, b, _ uint32) uint32 { return uint32(flag(a < b)) },
	opULessThanEqual:    func(a, b, _ uint32) uint32 { return uint32(flag(a <= b)) },
	opSelect: func(a, b, c uint32) uint32 {
		if a != 0 {
			return b
		}
		return c
	},
}
