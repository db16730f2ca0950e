package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tensor is a float32 tensor to be written.
type Tensor struct {
	Name  string
	Shape []int

	// Read returns the product of Shape values, row-major. It is called once, when the tensor's turn comes, and the
	// slice is used only until the next tensor's Read: a reader of device memory can use one staging buffer for all.
	Read func() ([]float32, error)
}

// Write writes the tensors as one file to w, in the order of their names, whatever their order in the argument. The
// metadata gets "format": "pt" if it does not have it; other readers expect it.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.SortedStableFunc(slices.Values(tensors), func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	header, err := makeHeader(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	buf := make([]byte, chunk)
	for _, t := range tensors {
		if err := writeTensor(w, t, buf); err != nil {
			return err
		}
	}
	return nil
}

// makeHeader returns the length and the padded JSON. The object is put together by hand because its keys have an order.
func makeHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	meta := map[string]string{"format": "pt"}
	maps.Copy(meta, metadata)
	out := bytes.NewBuffer(make([]byte, 8)) // room for the length
	out.WriteString(`{"` + metadataKey + `":`)
	if err := encode(out, meta); err != nil {
		return nil, err
	}
	var at int64
	for i, t := range tensors {
		if t.Name == metadataKey || i > 0 && t.Name == tensors[i-1].Name {
			return nil, fmt.Errorf("tensor name %q is taken; names must differ", t.Name)
		}
		if !utf8.ValidString(t.Name) { // JSON would replace the bad bytes, and two names could become one
			return nil, fmt.Errorf("tensor name %q is not UTF-8", t.Name)
		}
		size, ok := byteSize(t.Shape, F32)
		if !ok || size > math.MaxInt64-at {
			return nil, fmt.Errorf("tensor %q has the shape %v, which no file can hold", t.Name, t.Shape)
		}
		out.WriteByte(',')
		if err := encode(out, t.Name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		shape := make([]int64, len(t.Shape)) // [] rather than null for a scalar
		for i, d := range t.Shape {
			shape[i] = int64(d)
		}
		if err := encode(out, entry{F32, &shape, &[]int64{at, at + size}}); err != nil {
			return nil, err
		}
		at += size
	}
	out.WriteByte('}')
	for out.Len()%8 != 0 {
		out.WriteByte(' ')
	}
	if out.Len()-8 > maxHeader {
		return nil, fmt.Errorf("the header takes %d bytes, more than the %d that readers accept", out.Len()-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(out.Bytes(), uint64(out.Len()-8))
	return out.Bytes(), nil
}

// encode appends v as JSON without the escaping that only web pages need.
func encode(out *bytes.Buffer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder's newline
	return nil
}

func writeTensor(w io.Writer, t Tensor, buf []byte) error {
	values, err := t.Read()
	if err != nil {
		return fmt.Errorf("reading tensor %q: %w", t.Name, err)
	}
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	if len(values) != n {
		return fmt.Errorf("bug: tensor %q has the shape %v, that is %d values, but %d were read", t.Name, t.Shape, n, len(values))
	}
	for len(values) > 0 {
		k := min(len(values), len(buf)/4)
		for i, v := range values[:k] {
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
		}
		if _, err := w.Write(buf[:4*k]); err != nil {
			return err
		}
		values = values[k:]
	}
	return nil
}
