package metrics

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// EventsName is the name, within a run's folder, of the file that TensorBoard reads: the records of metrics.jsonl, each value a scalar.
// It wants "tfevents" in it.
const EventsName = "events.out.tfevents.saltern"

// events writes the file of TensorBoard: TensorFlow's record framing around Event messages (tensorflow/core/util/event.proto). It holds what
// metrics.jsonl holds and is written anew from that whenever a run goes on, so that it too is the file of a run that never stopped.
type events struct {
	f *os.File
}

// openEvents begins the file with the records that there are, of which the last was measured at end.
func openEvents(dir string, records []Record, end time.Time) (*events, error) {
	f, err := os.Create(filepath.Join(dir, EventsName))
	if err != nil {
		return nil, err
	}
	e := &events{f}
	text := appendFrame(nil, appendEvent(nil, end, Record{}, "brain.Event:2"))
	last := 0.0
	if n := len(records); n > 0 {
		last = records[n-1].Values[Seconds]
	}
	for _, r := range records { // the time between two starts of the run is left out, as it is in Seconds
		at := end
		if s := r.Values[Seconds]; !math.IsNaN(s) {
			at = end.Add(-time.Duration((last - s) * float64(time.Second)))
		}
		text = appendFrame(text, appendEvent(nil, at, r, ""))
	}
	if _, err := f.Write(text); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return e, nil
}

func (e *events) write(r Record) error {
	_, err := e.f.Write(appendFrame(nil, appendEvent(nil, time.Now(), r, "")))
	return err
}

func (e *events) close() error { return e.f.Close() }

// The fields of the messages Event, Summary and Summary.Value.
const (
	eventWallTime, eventStep, eventFileVersion, eventSummary = 1, 2, 3, 5

	summaryValue         = 1
	valueTag, valueFloat = 1, 2
)

// appendEvent appends an Event with a summary of the record's values, or with a file's version.
func appendEvent(b []byte, at time.Time, r Record, version string) []byte {
	b = protowire.AppendTag(b, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixNano())/1e9))
	if version != "" {
		b = protowire.AppendTag(b, eventFileVersion, protowire.BytesType)
		return protowire.AppendString(b, version)
	}
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(r.Step))
	tags := make([]string, 0, len(r.Values))
	for tag := range r.Values {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	var summary []byte
	for _, tag := range tags {
		summary = appendValue(summary, tag, r.Values[tag])
	}
	summary = appendValue(summary, "tokens", float64(r.Tokens))
	b = protowire.AppendTag(b, eventSummary, protowire.BytesType)
	return protowire.AppendBytes(b, summary)
}

func appendValue(summary []byte, tag string, value float64) []byte {
	v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
	v = protowire.AppendString(v, tag)
	v = protowire.AppendTag(v, valueFloat, protowire.Fixed32Type)
	v = protowire.AppendFixed32(v, math.Float32bits(float32(value)))
	summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
	return protowire.AppendBytes(summary, v)
}

// appendFrame appends a record of TensorFlow's files: its length, a checksum of that, the record, its checksum.
func appendFrame(b, record []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(record)))
	b = append(b, length...)
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(length))
	b = append(b, record...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(record))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, turned and moved, as checksums of data with checksums in it are troublesome.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
