package corpus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"saltern/model/token"
)

// A file of 200 MB, a hundred thousand documents and as many duplicates of them: memory is bounded by the batches under way and the
// documents' keys.
func TestMemoryIsBounded(t *testing.T) {
	const documents, size, bound = 200_000, 1000, 96 << 20
	dir := t.TempDir()
	path := filepath.Join(dir, "stream.txt")
	filler := strings.Repeat("the tide comes in and goes out again over the salt flats ", 20)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(f, 1<<16)
	for i := range documents {
		fmt.Fprintf(out, "%d: %s|", i/2, filler[:size-16])
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	tok, err := token.Config{VocabSize: 280}.Defaults().Train(context.Background(), func(yield func([]byte, error) bool) { yield([]byte(filler), nil) }, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var start, now runtime.MemStats
	runtime.ReadMemStats(&start)
	peak, next := uint64(0), int64(0)
	cfg := Config{Sources: []string{path}, Separator: "|"}.Defaults()
	cfg.DocumentBytes = 1 << 20
	p := preparation{cfg: cfg, tokenizer: tok, shardTokens: shardTokens, progress: func(_ string, done, _ int64) {
		if done < next {
			next = 0
		}
		if done >= next {
			next += 2 << 20
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	}}
	part := t.TempDir()
	m, err := p.fill(context.Background(), part, "key", []source{{Path: path, Named: true}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Duplicates != documents/2 || m.Train.Documents+m.HeldOut.Documents != documents/2+1 && m.Train.Documents+m.HeldOut.Documents != documents/2 {
		t.Errorf("%d documents, %d duplicates", m.Train.Documents+m.HeldOut.Documents, m.Duplicates)
	}
	if used := peak - start.HeapAlloc; peak > start.HeapAlloc && used > bound {
		t.Errorf("the heap grew to %d MB", used>>20)
	} else {
		t.Logf("peak %d MB", used>>20)
	}
}
