package corpus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"saltern/model/token"
)

// Progress is told how far a stage of Prepare is: "reading" and "encoding" in bytes of the source files as stored, "tokenizer" in merges.
type Progress func(stage string, done, total int64)

// Prepare makes the folder dir from the sources: tokenizer.json, the shards train-00000.bin... and heldout-00000.bin..., origins.jsonl
// and manifest.json. When dir was made before from the same configuration and files, going by their paths, sizes and times, it is left as it
// is. The folder is written as dir.part-<key> and renamed at the end, so dir is complete whenever it is there, also when several
// processes prepare it at once, as all but the first write dir.part-<random>; it replaces what an earlier Prepare made, and nothing else.
// A preparation that was ended among the shards, by ctx or by kill -9, is gone on with by the next one of the same key.
func Prepare(ctx context.Context, cfg Config, tok token.Config, dir string, progress Progress) (*Manifest, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	p := preparation{cfg: cfg.Defaults(), tok: tok.Defaults(), progress: progress, shardTokens: shardTokens, keepEvery: resumeEvery}
	return p.run(ctx, filepath.Clean(dir))
}

// preparation is one call of Prepare.
type preparation struct {
	cfg         Config
	tok         token.Config
	progress    Progress
	shardTokens int64
	keepEvery   time.Duration // between two looks at how far the shards are
	tokenizer   *token.Tokenizer
}

func (p *preparation) run(ctx context.Context, dir string) (*Manifest, error) {
	if err := p.cfg.check(); err != nil {
		return nil, err
	}
	sources, err := p.cfg.files()
	if err != nil {
		return nil, err
	}
	if p.tok.File != "" {
		if !filepath.IsAbs(p.tok.File) {
			p.tok.File = filepath.Join(p.cfg.Base, p.tok.File)
		}
		if p.tokenizer, err = p.tok.Load(); err != nil {
			return nil, err
		}
	}
	key, err := p.key(sources)
	if err != nil {
		return nil, err
	}
	if m, err := readManifest(dir); err == nil && m.Key == key {
		return m, nil
	}
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return nil, fmt.Errorf("the corpus cannot be written: %w", err)
	}
	// Another process may have been faster, before or while this one installs: then its folder, which somebody may
	// be reading, is as good.
	done := func() bool {
		there, err := readManifest(dir)
		return err == nil && there.Key == key
	}
	part := dir + ".part-" + key[:8]
	release, mine, err := claim(part)
	if err != nil {
		return nil, err
	}
	if mine {
		defer release()
	} else { // as another process has it, or there are no locks
		part = dir + ".part-" + rand.Text()[:8]
	}
	if err := os.MkdirAll(part, 0o777); err != nil {
		return nil, fmt.Errorf("the corpus cannot be written: %w", err)
	}
	m, err := p.fill(ctx, part, key, sources)
	if err != nil && mine && ctx.Err() != nil && readResume(part) != nil {
		return nil, err // what is there is gone on with
	}
	if err == nil && !done() {
		err = install(part, dir)
		if err != nil && done() {
			err = nil
		}
	}
	if err := errors.Join(err, os.RemoveAll(part)); err != nil {
		return nil, err
	}
	return m, removeBegun(dir)
}

// key sums up all that decides what the folder will hold.
func (p *preparation) key(sources []source) (string, error) {
	all := struct {
		Format    int
		Config    Config
		Tokenizer token.Config
		Hash      string
		Sources   []source
	}{format, p.cfg, p.tok, "", sources}
	// Endings that no source has decide nothing, so that a corpus that was prepared before there was .parquet keeps its key.
	if slices.Equal(p.cfg.Extensions, Config{}.Defaults().Extensions) && !slices.ContainsFunc(sources, func(s source) bool { return isParquet(s.Path) }) {
		all.Config.Extensions = olderExtensions
	}
	if p.tokenizer != nil {
		all.Tokenizer.File = ""
		all.Hash = p.tokenizer.Hash()
	}
	data, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("bug: the corpus configuration has no JSON: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// replaceable reports why dir may not be replaced, if so.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("the corpus cannot be written as %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() == manifestName {
			return nil
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("the folder %s holds something else than a prepared corpus; name another folder, or empty this one", dir)
	}
	return nil
}

// install puts part in the place of dir.
func install(part, dir string) error {
	if err := syncFolder(part); err != nil {
		return err
	}
	old := part + ".old"
	err := os.Rename(dir, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the old corpus cannot be replaced: %w", err)
	}
	if err := os.Rename(part, dir); err != nil {
		_ = os.Rename(old, dir) // back again, unless another process has put its own there
		return errors.Join(fmt.Errorf("the corpus cannot be put in its place: %w", err), os.RemoveAll(old))
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("the old corpus cannot be removed: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("the corpus cannot be synced: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("the corpus cannot be synced: %w", err)
	}
	return nil
}

// fill writes everything into the folder dir.
func (p *preparation) fill(ctx context.Context, dir, key string, sources []source) (*Manifest, error) {
	total := int64(0)
	for _, s := range sources {
		total += s.Size
	}
	found, err := p.cfg.census(ctx, sources, func(done int64) { p.progress("reading", done, total) })
	if err != nil {
		return nil, err
	}
	if p.tokenizer == nil && readResume(dir) != nil {
		if p.tokenizer, err = token.Load(filepath.Join(dir, tokenizerName)); err != nil {
			return nil, err
		}
	}
	if p.tokenizer == nil {
		p.tokenizer, err = p.tok.Train(ctx, p.sample(ctx, found), func(done, total int) {
			p.progress("tokenizer", int64(done), int64(total))
		})
		if err != nil {
			return nil, err
		}
	}
	if err := p.tokenizer.Save(filepath.Join(dir, tokenizerName)); err != nil {
		return nil, err
	}
	m := &Manifest{
		Format: format, Key: key, Config: p.cfg, Tokenizer: p.tok,
		VocabSize: p.tokenizer.VocabSize(), EndOfText: p.tokenizer.EndOfText(), DocumentStart: p.tokenizer.DocumentStart(), TokenizerHash: p.tokenizer.Hash(), TokenBytes: 2,
		Files: len(found.sources), FileBytes: found.bytes, BinaryFiles: found.binary,
		Empty: found.empty, Duplicates: found.duplicates, Unused: found.unused,
	}
	if m.VocabSize > 1<<16 {
		m.TokenBytes = 4
	}
	if err := p.encode(ctx, dir, found, m); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, resumeName)); err != nil {
		return nil, err
	}
	return m, m.write(dir)
}

// sampleBytes is the length of the pieces that the tokenizer's sample is made of.
const sampleBytes = 64 << 10

// sample yields about SampleBytes of the training documents, in pieces chosen by hash, so that long documents neither fill nor miss it.
func (p *preparation) sample(ctx context.Context, found *census) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		stop := errors.New("the consumer has enough")
		share := float64(p.tok.SampleBytes) / float64(found.trainBytes)
		err := p.cfg.each(ctx, found, func(int64) {}, func(k key, v verdict, from int, doc []byte) error {
			share := share
			if found.shares != nil {
				share *= found.shares[found.sources[from].group]
			}
			for n := uint64(0); v == train && len(doc) > 0; n++ {
				piece := doc[:min(len(doc), sampleBytes)]
				doc = doc[len(piece):]
				if share < 1 && float64(mix(k.split^k.pick+n)>>11)/(1<<53) >= share {
					continue
				}
				if !yield(piece, nil) {
					return stop
				}
			}
			return nil
		})
		if err != nil && err != stop {
			yield(nil, err)
		}
	}
}
