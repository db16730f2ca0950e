package corpus

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExportNanoGPT(t *testing.T) {
	dir := t.TempDir()
	p := preparation{cfg: Config{Sources: []string{stories(t, 60)}}.Defaults(), tok: small.Defaults(), progress: func(string, int64, int64) {}, shardTokens: 500}
	if _, err := p.run(t.Context(), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	set := open(t, filepath.Join(dir, "data"))
	if len(set.Manifest.Train.Shards) < 2 {
		t.Fatal("one shard tests little")
	}
	for range 2 {
		if err := set.ExportNanoGPT(filepath.Join(dir, "nano")); err != nil {
			t.Fatal(err)
		}
	}
	for name, part := range map[string]*Stream{"train.bin": set.Train, "val.bin": set.HeldOut} {
		data, err := os.ReadFile(filepath.Join(dir, "nano", name))
		if err != nil || int64(len(data)) != 2*part.Len() {
			t.Fatalf("%s: %d bytes for %d tokens, %v", name, len(data), part.Len(), err)
		}
		ids := make([]uint32, part.Len())
		if err := part.Tokens(0, ids); err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if got := binary.LittleEndian.Uint16(data[2*i:]); uint32(got) != id {
				t.Fatalf("%s: token %d is %d, want %d", name, i, got, id)
			}
		}
	}
	wide := Set{Manifest: &Manifest{TokenBytes: 4, VocabSize: 100_000}}
	if err := wide.ExportNanoGPT(dir); err == nil || !strings.Contains(err.Error(), "vocabulary has 100000") {
		t.Errorf("a wide vocabulary: %v", err)
	}
}
