package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// ErrFormat is wrapped by every error about a file that is not valid safetensors.
var ErrFormat = errors.New("not a valid safetensors file")

// maxHeader bounds the header's length as the format's own reader does; a larger number is a broken file.
const maxHeader = 100 << 20

const metadataKey = "__metadata__"

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType DType
	Shape []int // no dimension: a scalar

	begin, end int64 // within the data that follows the header
}

// Len returns the number of elements.
func (t Info) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// entry is an Info as the header spells it. Pointers tell a missing field from an empty one.
type entry struct {
	DType   DType    `json:"dtype"`
	Shape   *[]int64 `json:"shape"`
	Offsets *[]int64 `json:"data_offsets"`
}

// parseHeader reads a header for a file with dataSize bytes after it. The tensors come in the order of their data.
func parseHeader(header []byte, dataSize int64) (tensors []Info, metadata map[string]string, err error) {
	// Tokens rather than a map: a map would silently keep the last of two tensors with one name.
	dec := json.NewDecoder(bytes.NewReader(header))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, nil, fmt.Errorf("%w: its header is not a JSON object", ErrFormat)
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: its header is not JSON: %v", ErrFormat, err)
		}
		name := tok.(string) // inside an object the decoder allows only strings here
		if seen[name] {
			return nil, nil, fmt.Errorf("%w: tensor %q is described twice", ErrFormat, name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := dec.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("%w: %s is not a map of strings: %v", ErrFormat, metadataKey, err)
			}
			continue
		}
		var e entry
		if err := dec.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("%w: the description of tensor %q: %v", ErrFormat, name, err)
		}
		t, err := e.info(name, dataSize)
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, t)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("%w: its header ends early: %v", ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("%w: something follows the JSON object in its header", ErrFormat)
	}
	return tensors, metadata, checkLayout(tensors, dataSize)
}

// info checks one entry by itself: known type, sane shape, offsets inside the file and as far apart as the shape says.
func (e entry) info(name string, dataSize int64) (Info, error) {
	bad := func(format string, a ...any) (Info, error) {
		return Info{}, fmt.Errorf("%w: tensor %q %s", ErrFormat, name, fmt.Sprintf(format, a...))
	}
	if e.Shape == nil || e.Offsets == nil || len(*e.Offsets) != 2 {
		return bad("lacks its shape or its two data_offsets")
	}
	if e.DType.Size() == 0 {
		return bad("has the type %q, which this version does not know", e.DType)
	}
	shape := make([]int, len(*e.Shape))
	for i, d := range *e.Shape {
		if d < 0 || d > math.MaxInt {
			return bad("has a dimension of %d", d)
		}
		shape[i] = int(d)
	}
	want, ok := byteSize(shape, e.DType)
	if !ok {
		return bad("has the shape %v, which no file can hold", shape)
	}
	begin, end := (*e.Offsets)[0], (*e.Offsets)[1]
	if begin < 0 || end < begin || end > dataSize {
		return bad("lies at bytes [%d, %d) of %d", begin, end, dataSize)
	}
	if end-begin != want {
		return bad("takes %d bytes, but %s %v needs %d", end-begin, e.DType, shape, want)
	}
	return Info{Name: name, DType: e.DType, Shape: shape, begin: begin, end: end}, nil
}

// byteSize is the product of shape and the element size; ok is false if it is negative or overflows. Dimensions of 0 do
// not excuse the others: 0 x 2^62 x 2^62 is refused, so that no order of multiplication can ever overflow later.
func byteSize(shape []int, d DType) (size int64, ok bool) {
	size, empty := int64(d.Size()), false
	for _, n := range shape {
		if n == 0 {
			empty = true
			continue
		}
		if n < 0 || int64(n) > math.MaxInt64/size {
			return 0, false
		}
		size *= int64(n)
	}
	if empty {
		size = 0
	}
	return size, true
}

// checkLayout sorts by position and requires that the tensors cover the data exactly.
func checkLayout(tensors []Info, dataSize int64) error {
	slices.SortFunc(tensors, func(a, b Info) int {
		if a.begin != b.begin {
			return int(max(-1, min(1, a.begin-b.begin)))
		}
		if a.end != b.end { // an empty tensor lies before the one that begins at the same byte
			return int(max(-1, min(1, a.end-b.end)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	var at int64
	for i, t := range tensors {
		if t.begin < at {
			return fmt.Errorf("%w: tensors %q and %q overlap", ErrFormat, tensors[i-1].Name, t.Name)
		}
		if t.begin > at {
			return fmt.Errorf("%w: %d bytes before tensor %q belong to none", ErrFormat, t.begin-at, t.Name)
		}
		at = t.end
	}
	if at != dataSize {
		return fmt.Errorf("%w: %d bytes after the last tensor belong to none", ErrFormat, dataSize-at)
	}
	return nil
}
