package corpus

import (
	"context"
	"path/filepath"
	"runtime"
	"time"

	"saltern/model/token"
)

// batch is about batchBytes of documents on their way through the encoders.
type batch struct {
	text    []byte
	docs    []document
	ids     [4][]uint32 // by verdict
	encoded chan struct{}
	seen    int64 // documents up to its end, from the first on
}

type document struct {
	end int // in text
	verdict
	from   int // number of its source
	copies int // that the text has of it
	tokens int // of all copies, once it is encoded
}

const batchBytes = 1 << 20

// encode writes the shards and where their text came from. Batches are encoded on all processors and written in the order of the documents.
func (p *preparation) encode(ctx context.Context, dir string, found *census, m *Manifest) error {
	parts := [4]*Part{train: &m.Train, heldOut: &m.HeldOut}
	writers := [4]*shardWriter{
		train:   {dir: dir, name: "train", width: m.TokenBytes, limit: p.shardTokens},
		heldOut: {dir: dir, name: "heldout", width: m.TokenBytes, limit: p.shardTokens},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	origins := make([]origin, len(found.sources))
	for i, s := range found.sources {
		origins[i].Path = filepath.ToSlash(s.Path)
	}
	begun := p.restore(dir, parts, writers, origins)
	queue := make(chan *batch, 2*runtime.GOMAXPROCS(0)) // its length bounds memory
	written := make(chan error, 1)
	go func() {
		err := p.write(dir, queue, parts, writers, origins)
		if err != nil {
			cancel(err)
			for range queue { // so that the reader is not held up before it sees the end of ctx
			}
		}
		written <- err
	}()
	err := p.batches(ctx, found, begun, queue)
	close(queue)
	if werr := <-written; werr != nil {
		err = werr
	}
	for _, v := range []verdict{train, heldOut} {
		w := writers[v]
		if err == nil {
			err = w.finish()
		}
		w.abandon()
		parts[v].Shards = w.shards
	}
	if err != nil {
		return err
	}
	return writeOrigins(dir, origins)
}

// batches reads the documents again and starts the encoding of each batch.
// The first documents, as many as begun, have been encoded before.
func (p *preparation) batches(ctx context.Context, found *census, begun int64, queue chan<- *batch) error {
	seen := int64(0)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var b *batch
	send := func() {
		if b == nil {
			return
		}
		full := b
		b = nil
		full.seen = seen
		slots <- struct{}{}
		go func() {
			full.encode(p.tokenizer)
			<-slots
			close(full.encoded)
		}()
		queue <- full
	}
	err := p.cfg.each(ctx, found, func(done int64) { p.progress("encoding", done, found.bytes) }, func(k key, v verdict, from int, doc []byte) error {
		if seen++; seen <= begun {
			return nil
		}
		copies := 1
		if v == train {
			copies = found.copies(k, from)
		}
		if copies == 0 {
			return nil
		}
		if b == nil {
			b = &batch{text: make([]byte, 0, batchBytes+len(doc)), encoded: make(chan struct{})}
		}
		b.text = append(b.text, doc...)
		b.docs = append(b.docs, document{end: len(b.text), verdict: v, from: from, copies: copies})
		if len(b.text) >= batchBytes {
			send()
		}
		return nil
	})
	send()
	return err
}

func (b *batch) encode(tok *token.Tokenizer) {
	start := 0
	before, after := tok.Frame()
	for i, d := range b.docs {
		had := len(b.ids[d.verdict])
		ids := append(b.ids[d.verdict], before...)
		b.ids[d.verdict] = append(tok.Encode(ids, b.text[start:d.end]), after...)
		one := b.ids[d.verdict][had:]
		for range d.copies - 1 {
			b.ids[d.verdict] = append(b.ids[d.verdict], one...)
		}
		b.docs[i].tokens = len(b.ids[d.verdict]) - had
		start = d.end
	}
}

// write takes the batches in order and counts what is in them.
func (p *preparation) write(dir string, queue <-chan *batch, parts [4]*Part, writers [4]*shardWriter, origins []origin) error {
	kept := time.Now()
	for b := range queue {
		<-b.encoded
		start := 0
		for _, d := range b.docs {
			parts[d.verdict].Documents += int64(d.copies)
			parts[d.verdict].Bytes += int64(d.copies) * int64(d.end-start)
			start = d.end
			if d.verdict == train {
				origins[d.from].Train += int64(d.tokens)
			} else {
				origins[d.from].HeldOut += int64(d.tokens)
			}
		}
		for _, v := range []verdict{train, heldOut} {
			parts[v].Tokens += int64(len(b.ids[v]))
			if err := writers[v].write(b.ids[v]); err != nil {
				return err
			}
		}
		if time.Since(kept) >= p.keepEvery {
			if err := p.keep(dir, b.seen, parts, writers, origins); err != nil {
				return err
			}
			kept = time.Now()
		}
	}
	return nil
}
