package corpus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// contentOf is all files of a folder.
func contentOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(text)
	}
	return all
}

// TestResume stops a preparation among its shards again and again: it goes on where it was, also where the last write was torn, and what
// comes out is what one that never stopped makes, byte for byte.
func TestResume(t *testing.T) {
	src := t.TempDir()
	for i := range 12 { // of more than a batch each
		var text strings.Builder
		for j := 0; text.Len() < batchBytes; j++ {
			text.WriteString(story(i*100_000 + j))
		}
		put(t, src, fmt.Sprintf("%02d.txt", i), text.String())
	}
	prepared := func(dir string, stop int) (*Manifest, int64, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := &preparation{cfg: Config{Sources: []string{src}, HeldOut: 0.3, Weights: []float64{1}, DocumentBytes: 300_000}.Defaults(), tok: small.Defaults(), shardTokens: 700_000}
		shards := 0
		p.progress = func(stage string, _, _ int64) {
			if stage != "encoding" || shards < 0 {
				return
			}
			if now, _ := filepath.Glob(dir + ".part-*/train-*.bin"); len(now) >= stop && readResume(filepath.Dir(now[0])) != nil {
				shards = -1
				cancel()
			}
		}
		m, err := p.run(ctx, dir)
		begun := int64(0)
		if parts, _ := filepath.Glob(dir + ".part-????????"); len(parts) == 1 {
			if r := readResume(parts[0]); r != nil {
				begun = r.Documents
			}
		}
		return m, begun, err
	}
	base := t.TempDir()
	want, _, err := prepared(filepath.Join(base, "whole"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Train.Shards) < 4 {
		t.Fatalf("%d shards test little", len(want.Train.Shards))
	}
	dir, before := filepath.Join(base, "stopped"), int64(0)
	for stop := 1; ; stop++ {
		m, begun, err := prepared(dir, stop)
		if err == nil {
			if stop < 3 || !reflect.DeepEqual(m.Train, want.Train) || !reflect.DeepEqual(m.HeldOut, want.HeldOut) {
				t.Errorf("after %d stops: %+v, want %+v", stop-1, m.Train, want.Train)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || begun <= 0 || begun < before {
			t.Fatalf("stop %d: %d documents are kept, %d were before: %v", stop, begun, before, err)
		}
		before = begun
		parts, _ := filepath.Glob(dir + ".part-????????")
		open, _ := filepath.Glob(filepath.Join(parts[0], "train-*.bin"))
		f, err := os.OpenFile(open[len(open)-1], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, "written after the last look")
		f.Close()
	}
	a, b := contentOf(t, filepath.Join(base, "whole")), contentOf(t, dir)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("the folders differ: %d and %d files", len(a), len(b))
	}
	if left, _ := filepath.Glob(filepath.Join(base, "*.*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// What was begun from other settings goes when another preparation is complete.
func TestBegunIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, name := range []string{".part-01234567", ".part-89abcdef"} {
		if err := os.MkdirAll(dir+name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	release, mine, err := claim(dir + ".part-89abcdef") // as if by a process at work on it
	if err != nil || !mine {
		t.Fatal(mine, err)
	}
	defer release()
	prepare(t, Config{Sources: []string{stories(t, 30)}}, dir)
	if _, err := os.Stat(dir + ".part-01234567"); !errors.Is(err, os.ErrNotExist) {
		t.Error("what nobody works on was left")
	}
	if _, err := os.Stat(dir + ".part-89abcdef"); err != nil {
		t.Errorf("what another process works on is gone: %v", err)
	}
}
