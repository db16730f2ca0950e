// Package gguf writes files in GGUF, version 3, the format that llama.cpp reads: named values, then tensors.
//
// It knows the format alone. Which values and tensors a model has is said in package model, by the names that llama.cpp gives them.
// Reading is left to others; the tests read what they need, and "make interop" reads files with llama.cpp itself.
//
// Tensors are read one at a time, when their turn comes, so that a file may be larger than memory.
//
// Source: the format's description, docs/gguf.md of the ggml repository.
package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/x448/float16"
)

// Value is a named value: a string, a bool, a uint32, a float32, or a list of strings, int32s or float32s.
type Value struct {
	Name  string
	Value any
}

// Tensor is a matrix or a vector, whose values are read when they are written.
type Tensor struct {
	Name  string
	Shape []int // rows, columns; or elements
	Half  bool  // written as float16, else as float32
	Read  func() ([]float32, error)
}

// The numbers by which the format names types of values.
const (
	typeUint32 = 4 + iota
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
)

// alignment is where each tensor's data begins, in bytes.
const alignment = 32

// Write writes a file.
func Write(w io.Writer, values []Value, tensors []Tensor) error {
	h, err := header(values, tensors)
	if err == nil {
		_, err = w.Write(h)
	}
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// header is all that is before the tensors' data.
func header(values []Value, tensors []Tensor) ([]byte, error) {
	out := append([]byte("GGUF"), 3, 0, 0, 0)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(tensors)))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(values)))
	for _, v := range values {
		number, data, err := encode(v.Value)
		if err != nil {
			return nil, fmt.Errorf("bug: %s: %w", v.Name, err)
		}
		out = append(binary.LittleEndian.AppendUint32(text(out, v.Name), number), data...)
	}
	at := uint64(0)
	for _, t := range tensors {
		out = binary.LittleEndian.AppendUint32(text(out, t.Name), uint32(len(t.Shape)))
		for i := range t.Shape { // the innermost first
			out = binary.LittleEndian.AppendUint64(out, uint64(t.Shape[len(t.Shape)-1-i]))
		}
		kind := uint32(0)
		if t.Half {
			kind = 1
		}
		out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(out, kind), at)
		at += uint64(padded(t.size()))
	}
	return append(out, make([]byte, padded(len(out))-len(out))...), nil
}

// encode is the number of a value's type, and the value.
func encode(value any) (number uint32, data []byte, err error) {
	le := binary.LittleEndian
	switch v := value.(type) {
	case string:
		return typeString, text(nil, v), nil
	case bool:
		if v {
			return typeBool, []byte{1}, nil
		}
		return typeBool, []byte{0}, nil
	case uint32:
		return typeUint32, le.AppendUint32(nil, v), nil
	case int32:
		return typeInt32, le.AppendUint32(nil, uint32(v)), nil
	case float32:
		return typeFloat32, le.AppendUint32(nil, math.Float32bits(v)), nil
	case []string:
		return list(v)
	case []int32:
		return list(v)
	case []float32:
		return list(v)
	}
	return 0, nil, fmt.Errorf("a value of type %T has no place in the format", value)
}

// list is a value that is a list.
func list[T any](values []T) (uint32, []byte, error) {
	var zero T
	number, _, err := encode(zero)
	out := binary.LittleEndian.AppendUint32(nil, number)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(values)))
	for _, v := range values {
		_, data, _ := encode(v)
		out = append(out, data...)
	}
	return typeArray, out, err
}

func text(out []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(s))), s...)
}

func padded(n int) int { return (n + alignment - 1) / alignment * alignment }

// size is what the tensor's data takes, in bytes.
func (t Tensor) size() int {
	n := 4
	if t.Half {
		n = 2
	}
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

func (t Tensor) write(w io.Writer) error {
	values, err := t.Read()
	if err != nil {
		return fmt.Errorf("reading tensor %s: %w", t.Name, err)
	}
	out := make([]byte, 0, padded(t.size()))
	for _, v := range values {
		if t.Half {
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(v).Bits())
		} else {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	if len(out) != t.size() {
		return fmt.Errorf("bug: tensor %s has the shape %v, and %d values were read", t.Name, t.Shape, len(values))
	}
	_, err = w.Write(out[:cap(out)])
	return err
}
