package gguf

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// TestWrite compares with bytes put together by hand from the format's description.
func TestWrite(t *testing.T) {
	var out bytes.Buffer
	err := Write(&out, []Value{{"a", "bc"}, {"n", uint32(7)}, {"x", float32(1)}, {"y", true}, {"l", []string{"d"}}, {"i", []int32{-1}}, {"f", []float32{}}}, []Tensor{
		{"t", []int{1, 2}, false, func() ([]float32, error) { return []float32{1, -2}, nil }},
		{"h", []int{3}, true, func() ([]float32, error) { return []float32{1, 0.5, 70000}, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "47475546 03000000 0200000000000000 0700000000000000" +
		"0100000000000000 61 08000000 0200000000000000 6263" +
		"0100000000000000 6e 04000000 07000000" +
		"0100000000000000 78 06000000 0000803f" +
		"0100000000000000 79 07000000 01" +
		"0100000000000000 6c 09000000 08000000 0100000000000000 0100000000000000 64" +
		"0100000000000000 69 09000000 05000000 0100000000000000 ffffffff" +
		"0100000000000000 66 09000000 06000000 0000000000000000" +
		"0100000000000000 74 02000000 0200000000000000 0100000000000000 00000000 0000000000000000" +
		"0100000000000000 68 01000000 0300000000000000 01000000 2000000000000000"
	data, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, make([]byte, padded(len(data))-len(data))...)
	first, _ := hex.DecodeString("0000803f000000c0")
	second, _ := hex.DecodeString("003c0038007c")
	data = append(append(data, first...), make([]byte, 32-len(first))...)
	data = append(append(data, second...), make([]byte, 32-len(second))...)
	if !bytes.Equal(out.Bytes(), data) {
		t.Errorf("\n got %x\nwant %x", out.Bytes(), data)
	}
	if out.Len()%alignment != 0 {
		t.Errorf("%d bytes", out.Len())
	}
	if err := Write(&out, []Value{{"z", 1}}, nil); err == nil {
		t.Error("a value of no type was written")
	}
	if err := Write(&out, nil, []Tensor{{"t", []int{2}, false, func() ([]float32, error) { return []float32{1}, nil }}}); err == nil {
		t.Error("a tensor that lacks a value was written")
	}
}
