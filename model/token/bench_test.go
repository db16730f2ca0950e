package token

import (
	"context"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goSource is up to limit bytes of the Go distribution's own source, a text that every machine running these tests has.
func goSource(tb testing.TB, limit int) [][]byte {
	tb.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		tb.Skip("no go command: ", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", "*", "*.go"))
	if err != nil || len(files) == 0 {
		tb.Skip("no Go source in GOROOT")
	}
	var docs [][]byte
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		text = text[:min(len(text), limit)]
		docs = append(docs, text)
		if limit -= len(text); limit == 0 {
			break
		}
	}
	return docs
}

func sequence(docs ...[]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func size(docs [][]byte) (n int64) {
	for _, d := range docs {
		n += int64(len(d))
	}
	return n
}

func BenchmarkTrain(b *testing.B) {
	docs := goSource(b, 10<<20)
	b.SetBytes(size(docs))
	for b.Loop() {
		if _, err := Train(context.Background(), sequence(docs...), 4096, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	docs := goSource(b, 10<<20)
	tok, err := Train(context.Background(), sequence(docs...), 4096, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size(docs))
	var ids []uint32
	for b.Loop() {
		n := 0
		for _, d := range docs {
			ids = tok.Encode(ids[:0], d)
			n += len(ids)
		}
		b.ReportMetric(float64(size(docs))/float64(n), "bytes/token")
	}
}

// BenchmarkEncodeLongPiece is the worst case of the merge loop: one piece without a place to cut.
func BenchmarkEncodeLongPiece(b *testing.B) {
	tok, err := Train(context.Background(), sequence(goSource(b, 1<<20)...), 1024, nil)
	if err != nil {
		b.Fatal(err)
	}
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = "etaoinshr"[i*i%9]
	}
	b.SetBytes(int64(len(text)))
	var ids []uint32
	for b.Loop() {
		ids = tok.Encode(ids[:0], text)
	}
}
