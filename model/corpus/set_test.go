package corpus

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// handmade writes a prepared folder with the given ids for training in shards of limit, without a tokenizer, and opens it.
func handmade(t *testing.T, width int, limit int64, vocab int, ids []uint32) (*Set, string) {
	t.Helper()
	dir := t.TempDir()
	w := shardWriter{dir: dir, name: "train", width: width, limit: limit}
	for _, part := range [][]uint32{ids[:len(ids)/3], nil, ids[len(ids)/3:]} { // where one write ends has no meaning
		if err := w.write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	m := Manifest{Format: format, VocabSize: vocab, TokenBytes: width, Train: Part{Tokens: int64(len(ids)), Shards: w.shards}}
	if err := m.write(dir); err != nil {
		t.Fatal(err)
	}
	return open(t, dir), dir
}

func count(n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
	}
	return ids
}

// TestShardFormat spells out one shard of each width, byte by byte.
func TestShardFormat(t *testing.T) {
	for _, c := range []struct {
		width          int
		magic, version uint32
		ids            []byte
	}{
		{2, 20240520, 1, []byte{1, 0, 0xFF, 1, 2, 0}},
		{4, 20240801, 7, []byte{1, 0, 0, 0, 0xFF, 1, 0, 0, 2, 0, 0, 0}},
	} {
		_, dir := handmade(t, c.width, 100, 1000, []uint32{1, 0x1FF, 2})
		got, err := os.ReadFile(filepath.Join(dir, "train-00000.bin"))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 1024)
		binary.LittleEndian.PutUint32(want, c.magic)
		binary.LittleEndian.PutUint32(want[4:], c.version)
		want[8] = 3
		if want = append(want, c.ids...); !bytes.Equal(got, want) {
			t.Errorf("width %d: %v, want %v", c.width, got, want)
		}
	}
}

func TestStream(t *testing.T) {
	ids := count(1000)
	for _, width := range []int{2, 4} {
		for _, limit := range []int64{11, 100, 999, 1000, 5000} {
			set, _ := handmade(t, width, limit, 1000, ids)
			s := set.Train
			if s.Len() != 1000 || s.Sequences(10) != 99 || s.Sequences(999) != 1 || s.Sequences(1000) != 0 || s.Sequences(0) != 0 {
				t.Fatalf("limit %d: %d tokens; %d, %d, %d sequences", limit, s.Len(), s.Sequences(10), s.Sequences(999), s.Sequences(1000))
			}
			dst := make([]uint32, 11)
			for i := range s.Sequences(10) {
				if err := s.Sequence(i, dst); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(dst, ids[10*i:10*i+11]) {
					t.Fatalf("width %d limit %d: sequence %d is %v", width, limit, i, dst)
				}
			}
			for _, bad := range []int64{-1, 99} {
				if err := s.Sequence(bad, dst); err == nil {
					t.Errorf("there is a sequence %d of 99", bad)
				}
			}
			all := make([]uint32, 1000)
			if err := s.Tokens(0, all); err != nil || !slices.Equal(all, ids) {
				t.Errorf("all tokens: %v, %v", all, err)
			}
			if s.Tokens(1, all) == nil || s.Tokens(-1, all[:1]) == nil {
				t.Error("there are tokens outside the stream")
			}
			if set.HeldOut.Len() != 0 || set.HeldOut.Sequences(10) != 0 {
				t.Error("an empty part has tokens")
			}
		}
	}
}

// TestBatch: labels are the next ids, and how samples are dealt out over batches does not change them.
func TestBatch(t *testing.T) {
	set, _ := handmade(t, 2, 300, 1000, count(1000))
	const T = 8
	order := Order{Seed: 9, Sequences: set.Train.Sequences(T)}
	batch := func(first int64, B int) []uint32 {
		ids, labels := make([]uint32, B*T), make([]uint32, B*T)
		if err := set.Train.Batch(order, first, B, T, ids, labels); err != nil {
			t.Fatal(err)
		}
		for b := range B {
			start := uint32(order.At(first+int64(b)) * T)
			for i := range T {
				if ids[b*T+i] != start+uint32(i) || labels[b*T+i] != start+uint32(i)+1 {
					t.Fatalf("sample %d token %d: id %d, label %d, want %d and one more", first+int64(b), i, ids[b*T+i], labels[b*T+i], start+uint32(i))
				}
			}
		}
		return ids
	}
	whole := batch(120, 12) // across the end of an epoch of 124
	parts := slices.Concat(batch(120, 3), batch(123, 3), batch(126, 6))
	if !slices.Equal(whole, parts) {
		t.Error("another division into batches gives other samples")
	}
	ids := make([]uint32, 2*T)
	if err := set.Train.Batch(order, 0, 2, T, ids, ids[:T]); err == nil || !strings.HasPrefix(err.Error(), "bug:") {
		t.Errorf("a batch into too little room: %v", err)
	}
	if err := set.Train.Batch(Order{Sequences: 5}, 0, 2, T, ids, ids); err == nil || !strings.HasPrefix(err.Error(), "bug:") {
		t.Errorf("an order of another stream: %v", err)
	}
	only := Order{Sequences: 2, Only: []int64{3, 1000}}
	if err := set.Train.Batch(only, 0, 2, T, ids, ids); err == nil || !strings.Contains(err.Error(), "no sequence 1000") {
		t.Errorf("a selection outside the stream: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "run saltern prepare first") {
		t.Errorf("an empty folder: %v", err)
	}
	for _, c := range []struct {
		why    string
		damage func(dir, shard string) error
		want   string
	}{
		{"manifest", func(dir, _ string) error { return os.WriteFile(filepath.Join(dir, manifestName), []byte("{"), 0o666) }, "is damaged"},
		{"format", func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"format":99}`), 0o666)
		}, "has format 99"},
		{"width", func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"format":2,"vocab_size":300}`), 0o666)
		}, "token_bytes 0"},
		{"sum of tokens", func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"format":2,"vocab_size":300,"token_bytes":2,"train":{"tokens":5}}`), 0o666)
		}, "hold 0 tokens, not 5"},
		{"shard missing", func(_, shard string) error { return os.Remove(shard) }, "missing"},
		{"shard cut off", func(_, shard string) error { return os.Truncate(shard, 1030) }, "has 1030 bytes"},
		{"header", func(_, shard string) error { return poke(shard, 0, 99) }, "its header"},
	} {
		_, dir := handmade(t, 2, 100, 1000, count(150))
		if err := c.damage(dir, filepath.Join(dir, "train-00001.bin")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one with %q and the path", c.why, err, c.want)
		}
	}
}

func poke(path string, at int64, b byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte{b}, at); err != nil {
		return err
	}
	return f.Close()
}

func TestDamage(t *testing.T) {
	src := stories(t, 30)
	dir := filepath.Join(t.TempDir(), "data")
	prepare(t, Config{Sources: []string{src}}, dir)
	set := open(t, dir)
	shard := filepath.Join(dir, "train-00000.bin")
	if err := poke(shard, headerBytes+3, 0xFF); err != nil { // the high byte of the second id
		t.Fatal(err)
	}
	if err := set.Verify(); err == nil || !strings.Contains(err.Error(), shard) {
		t.Errorf("verifying a damaged shard: %v", err)
	}
	if err := set.Train.Sequence(0, make([]uint32, 9)); err == nil || !strings.Contains(err.Error(), "in a vocabulary of 300") {
		t.Errorf("reading an id beyond the vocabulary: %v", err)
	}
	other := filepath.Join(t.TempDir(), "data")
	cfg := small
	cfg.VocabSize = 301
	if _, err := Prepare(context.Background(), Config{Sources: []string{src}}, cfg, other, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, tokenizerName), filepath.Join(dir, tokenizerName)); err != nil {
		t.Fatal(err)
	}
	if err := set.Verify(); err == nil || !strings.Contains(err.Error(), "not the tokenizer that made the shards") {
		t.Errorf("verifying with another tokenizer: %v", err)
	}
}

// TestFullDisk writes where there is never room.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	dir := t.TempDir()
	shard := filepath.Join(dir, "train-00000.bin")
	if err := os.Symlink("/dev/full", shard); err != nil {
		t.Fatal(err)
	}
	w := shardWriter{dir: dir, name: "train", width: 2, limit: 1 << 30}
	defer w.abandon()
	err := w.write(make([]uint32, 1<<18))
	if err == nil || !strings.Contains(err.Error(), shard+" cannot be written: no space left on device; is the disk full") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkBatch(b *testing.B) {
	dir := b.TempDir()
	w := shardWriter{dir: dir, name: "train", width: 2, limit: shardTokens}
	for range 100 {
		if err := w.write(make([]uint32, 1<<16)); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.finish(); err != nil {
		b.Fatal(err)
	}
	m := Manifest{Format: format, VocabSize: 300, TokenBytes: 2, Train: Part{Tokens: 100 << 16, Shards: w.shards}}
	if err := m.write(dir); err != nil {
		b.Fatal(err)
	}
	set, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	const B, T = 16, 1024
	ids, labels := make([]uint32, B*T), make([]uint32, B*T)
	order := Order{Sequences: set.Train.Sequences(T)}
	b.SetBytes(B * T * 2)
	first := int64(0)
	for b.Loop() {
		if err := set.Train.Batch(order, first, B, T, ids, labels); err != nil {
			b.Fatal(err)
		}
		first += B
	}
}
