package jobs

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"saltern/model/token"
)

// tokenizerBench measures how fast text becomes tokens, on one processor.
type tokenizerBench struct {
	text string // a file
	runs int
}

// benchDocument is how long the documents are that the text is cut into, in bytes.
const benchDocument = 64 << 10

// run measures each tokenizer.json of files; without any, a tokenizer that is trained on the text.
func (b *tokenizerBench) run(ctx context.Context, io IO, files []string, asJSON bool) error {
	text, err := os.ReadFile(b.text)
	if err != nil || len(text) == 0 {
		return fail(Usage, "bench tokenizer takes --text FILE, a text to make tokens of, which cannot be read: %v", err)
	}
	documents := slices.Collect(slices.Chunk(text, benchDocument))
	tokenizers := map[string]*token.Tokenizer{}
	for _, f := range files {
		if tokenizers[f], err = token.Load(f); err != nil {
			return fail(BadData, "%w", err)
		}
	}
	if len(files) == 0 {
		files = []string{"trained"}
		tokenizers["trained"], err = token.Train(ctx, func(yield func([]byte, error) bool) {
			for _, d := range documents {
				if !yield(d, nil) {
					return
				}
			}
		}, 4096, nil)
		if err != nil {
			return err
		}
	}
	t := Table{Columns: []Column{
		{Key: "tokenizer", Title: "tokenizer"}, {Key: "bytes", Title: "bytes"}, {Key: "tokens", Title: "tokens"},
		{Key: "ms", Title: "median", Unit: "ms", Format: "%.1f"}, {Key: "ms_min", Title: "min", Unit: "ms", Format: "%.1f"},
		{Key: "ms_max", Title: "max", Unit: "ms", Format: "%.1f"}, {Key: "mbytes", Title: "rate", Unit: "MB/s", Format: "%.1f"},
	}}
	for _, f := range files {
		tokens, s, err := encodeRuns(ctx, tokenizers[f], documents, b.runs)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		t.Rows = append(t.Rows, []any{name, len(text), tokens, s.median, s.min, s.max, float64(len(text)) / s.median / 1e3})
	}
	return t.Write(io.Out, asJSON)
}

// encodeRuns encodes the documents one after the other on one processor, as often as runs says after a first time.
func encodeRuns(ctx context.Context, tok *token.Tokenizer, documents [][]byte, runs int) (tokens int, s spread, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ids []uint32
	var times []time.Duration
	for i := range runs + 1 {
		if ctx.Err() != nil {
			return 0, s, context.Cause(ctx)
		}
		start := time.Now()
		tokens = 0
		for _, d := range documents {
			ids = tok.Encode(ids[:0], d)
			tokens += len(ids)
		}
		if i > 0 {
			times = append(times, time.Since(start))
		}
	}
	return tokens, spreadOf(times), nil
}
