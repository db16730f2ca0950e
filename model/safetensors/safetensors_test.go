package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func values(v ...float32) func() ([]float32, error) {
	return func() ([]float32, error) { return v, nil }
}

func mustWrite(t *testing.T, tensors []Tensor, meta map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func raw(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// The layout spelled out by hand: what another implementation must find.
func TestWriteGolden(t *testing.T) {
	got := mustWrite(t, []Tensor{
		{"b", []int{2}, values(1, -2)},
		{"a<", nil, values(0.5)},
	}, nil)
	header := `{"__metadata__":{"format":"pt"},"a<":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` +
		`"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := raw(header, []byte{0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0})
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWriteIsCanonical(t *testing.T) {
	a := Tensor{"a", []int{1}, values(1)}
	b := Tensor{"b", []int{0, 3}, values()}
	meta := map[string]string{"x": "1", "y": "2", "z": "3"}
	if !bytes.Equal(mustWrite(t, []Tensor{a, b}, meta), mustWrite(t, []Tensor{b, a}, meta)) {
		t.Error("the order of the argument shows in the file")
	}
}

func TestRoundTrip(t *testing.T) {
	big := make([]float32, chunk/4*2+7) // three chunks, the last one short
	for i := range big {
		big[i] = float32(i) * 0.25
	}
	odd := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	data := mustWrite(t, []Tensor{
		{"big", []int{len(big)}, values(big...)},
		{"empty", []int{4, 0}, values()},
		{"odd", []int{2, 2}, values(odd...)},
		{"Ω \"quoted\"\n", nil, values(7)},
	}, map[string]string{"step": "12"})
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Metadata(); !reflect.DeepEqual(got, map[string]string{"format": "pt", "step": "12"}) {
		t.Errorf("metadata %v", got)
	}
	buf := make([]float32, 3)
	for _, c := range []struct {
		name  string
		shape []int
		want  []float32
	}{
		{"big", []int{len(big)}, big},
		{"empty", []int{4, 0}, nil},
		{"odd", []int{2, 2}, odd},
		{"Ω \"quoted\"\n", []int{}, []float32{7}},
	} {
		info, ok := f.Lookup(c.name)
		if !ok || !slices.Equal(info.Shape, c.shape) {
			t.Errorf("%q: shape %v, %v", c.name, info.Shape, ok)
		}
		if buf, err = f.Float32(c.name, buf); err != nil {
			t.Fatal(err)
		}
		same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
		if !slices.EqualFunc(buf, c.want, same) {
			t.Errorf("%q: other values came back", c.name)
		}
	}
	if b, err := f.Raw("odd"); err != nil || len(b) != 16 {
		t.Errorf("Raw: %d bytes, %v", len(b), err)
	}
	if _, err := f.Float32("absent", nil); err == nil {
		t.Error("an absent tensor was read")
	}
}

func TestWriteProblems(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		why     string
		tensors []Tensor
		want    string
	}{
		{"two with one name", []Tensor{{"a", nil, values(1)}, {"a", nil, values(1)}}, "taken"},
		{"the reserved name", []Tensor{{"__metadata__", nil, values(1)}}, "taken"},
		{"not UTF-8", []Tensor{{"\xff", nil, values(1)}}, "UTF-8"},
		{"negative dimension", []Tensor{{"a", []int{-1}, values()}}, "no file can hold"},
		{"overflow", []Tensor{{"a", []int{1 << 40, 1 << 40}, values()}}, "no file can hold"},
		{"sum overflows", []Tensor{{"a", []int{1 << 60}, values()}, {"b", []int{1 << 60}, values()}}, "no file can hold"},
		{"too few values", []Tensor{{"a", []int{2}, values(1)}}, "bug:"},
		{"the source fails", []Tensor{{"a", nil, func() ([]float32, error) { return nil, boom }}}, "boom"},
	} {
		err := Write(io.Discard, c.tensors, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", c.why, err, c.want)
		}
	}
}

func TestHeaderProblems(t *testing.T) {
	four := make([]byte, 4)
	for _, c := range []struct {
		why  string
		file []byte
		want string
	}{
		{"empty file", nil, "fewer than"},
		{"header longer than the file", raw("{}", nil)[:9], "claims"},
		{"header length with the top bit set", []byte{2, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'}, "claims"},
		{"not an object", raw(`[]`, nil), "not a JSON object"},
		{"cut", raw(`{"a":`, nil), "tensor \"a\""},
		{"cut after a value", raw(`{"__metadata__":{}`, nil), "ends early"},
		{"something behind", raw(`{}{}`, nil), "follows"},
		{"metadata not strings", raw(`{"__metadata__":{"a":1}}`, nil), "map of strings"},
		{"twice", raw(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, four), "twice"},
		{"no shape", raw(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, four), "lacks"},
		{"null shape", raw(`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, four), "lacks"},
		{"one offset", raw(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0]}}`, four), "lacks"},
		{"unknown type", raw(`{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}`, four), "F31"},
		{"negative dimensions whose product fits", raw(`{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, four), "dimension"},
		{"fraction", raw(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, four), "tensor \"a\""},
		{"product overflows to 0", raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, nil), "no file"},
		{"the same, behind a 0", raw(`{"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}`, nil), "no file"},
		{"beyond the end", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, four), "of 4"},
		{"backwards", raw(`{"a":{"dtype":"F32","shape":[],"data_offsets":[4,0]}}`, four), "[4, 0)"},
		{"size is not the shape's", raw(`{"a":{"dtype":"F16","shape":[],"data_offsets":[0,4]}}`, four), "needs 2"},
		{"overlap", raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, four), "overlap"},
		{"hole", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, four), "before tensor"},
		{"hole at the end", raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, four), "after the last"},
	} {
		_, err := NewFile(bytes.NewReader(c.file), int64(len(c.file)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want ErrFormat that says %q", c.why, err, c.want)
		}
	}
}

// Foreign files: 16-bit types, odd order in the header, types that we only pass through.
func TestForeignTypes(t *testing.T) {
	header := `{"i":{"dtype":"I64","shape":[1],"data_offsets":[10,18]},"u":{"dtype":"U8","shape":[2],"data_offsets":[8,10]},` +
		`"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}   `
	data := []byte{0x00, 0x3c, 0x01, 0x80, 0xc0, 0x3f, 0x80, 0xff, 200, 1, 1, 0, 0, 0, 0, 0, 0, 0}
	f, err := NewFile(bytes.NewReader(raw(header, data)), int64(8+len(header)+len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		"h": {1, -1.0 / (1 << 24)},
		"b": {1.5, float32(math.Inf(-1))},
		"u": {200, 1},
	} {
		if got, err := f.Float32(name, nil); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if _, err := f.Float32("i", nil); err == nil {
		t.Error("an int64 became a float32")
	}
	if got, err := f.Raw("i"); err != nil || !bytes.Equal(got, data[10:]) {
		t.Errorf("Raw: %v, %v", got, err)
	}
	var names string
	for _, info := range f.Tensors() {
		names += info.Name
	}
	if names != "hbui" {
		t.Errorf("order %q, want that of the data", names)
	}
}

// All 65536 patterns against the definition (-1)^s * 2^(e-15) * (1 + f/1024).
func TestFloat16(t *testing.T) {
	for h := range 1 << 16 {
		e, f := h>>10&31, float64(h&1023)
		var want float64
		switch {
		case e == 0:
			want = math.Ldexp(f, -24)
		case e < 31:
			want = math.Ldexp(1+f/1024, e-15)
		case f == 0:
			want = math.Inf(1)
		default:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = math.Copysign(want, -1)
		}
		var v [1]float32
		decode(v[:], []byte{byte(h), byte(h >> 8)}, F16)
		got := float64(v[0])
		if math.IsNaN(want) != math.IsNaN(got) || !math.IsNaN(want) && (got != want || math.Signbit(got) != math.Signbit(want)) {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
	}
}

// FuzzHeader: whatever the header says, no panic, and what is accepted can be read whole and lies inside the file.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}  `), uint8(4))
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`), uint8(0))
	f.Add([]byte(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`), uint8(2))
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), uint8(0))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, header []byte, dataSize uint8) {
		b := raw(string(header), make([]byte, dataSize))
		file, err := NewFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v does not wrap ErrFormat", err)
			}
			return
		}
		total := 0
		for _, info := range file.Tensors() {
			r, err := file.Raw(info.Name)
			if err != nil || len(r) != info.Len()*info.DType.Size() {
				t.Errorf("%+v: %d bytes, %v", info, len(r), err)
			}
			total += len(r)
		}
		if total != int(dataSize) {
			t.Errorf("tensors take %d bytes of %d", total, dataSize)
		}
	})
}
