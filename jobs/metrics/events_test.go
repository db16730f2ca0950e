package metrics

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// scalars reads the file back: the values of each step.
func scalars(t *testing.T, dir string) (version string, steps []int, values []map[string]float32) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, EventsName))
	if err != nil {
		t.Fatal(err)
	}
	last := 0.0
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		record := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[8:]) != maskedCRC(data[:8]) || binary.LittleEndian.Uint32(data[12+n:]) != maskedCRC(record) {
			t.Fatal("a checksum is wrong")
		}
		data = data[16+n:]
		step, of := 0, map[string]float32{}
		fields(t, record, func(number protowire.Number, x []byte, v uint64) {
			switch number {
			case eventWallTime:
				if at := math.Float64frombits(v); at < last {
					t.Errorf("time goes back from %f to %f", last, at)
				} else if version != "" {
					last = at
				}
			case eventStep:
				step = int(v)
			case eventFileVersion:
				version = string(x)
			case eventSummary:
				fields(t, x, func(_ protowire.Number, x []byte, _ uint64) {
					tag := ""
					fields(t, x, func(number protowire.Number, x []byte, v uint64) {
						if number == valueTag {
							tag = string(x)
						} else {
							of[tag] = math.Float32frombits(uint32(v))
						}
					})
				})
			}
		})
		if len(of) > 0 {
			steps, values = append(steps, step), append(values, of)
		}
	}
	return version, steps, values
}

// fields calls each with every field of a message: its bytes or its number.
func fields(t *testing.T, message []byte, each func(number protowire.Number, x []byte, v uint64)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		var x []byte
		var v uint64
		switch kind {
		case protowire.BytesType:
			x, n = protowire.ConsumeBytes(message)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var f uint32
			f, n = protowire.ConsumeFixed32(message)
			v = uint64(f)
		default:
			v, n = protowire.ConsumeVarint(message)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		each(number, x, v)
		message = message[n:]
	}
}

// TestEvents: TensorBoard's file holds what metrics.jsonl holds, also of a run that went on from an earlier step.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	record := func(step int) Record {
		return Record{step, int64(10 * step), map[string]float64{TrainLoss: 5 - float64(step)/8, Seconds: float64(step) / 4}}
	}
	write := func(from int, steps ...int) {
		t.Helper()
		w, err := Open(dir, from)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := w.Write(record(s)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 1, 2, 3, 4)
	write(2, 3, 5)
	version, steps, values := scalars(t, dir)
	if want := []int{1, 2, 3, 5}; version != "brain.Event:2" || !reflect.DeepEqual(steps, want) {
		t.Errorf("version %q, steps %v", version, steps)
	}
	for i, s := range steps {
		if want := map[string]float32{TrainLoss: 5 - float32(s)/8, Seconds: float32(s) / 4, "tokens": float32(10 * s)}; !reflect.DeepEqual(values[i], want) {
			t.Errorf("step %d: %v", s, values[i])
		}
	}
}

// CRC-32C's check value, of "123456789", is 0xe3069283.
func TestMaskedCRC(t *testing.T) {
	crc := uint32(0xe3069283)
	if c := maskedCRC([]byte("123456789")); c != (crc>>15|crc<<17)+0xa282ead8 {
		t.Errorf("%#x", c)
	}
}
