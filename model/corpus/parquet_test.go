package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"saltern/model/token"
)

// The files in testdata were written by pyarrow 26: two row groups, zstd, plain; and one, Snappy, a dictionary, pages of version 2.
func TestParquet(t *testing.T) {
	want := []string{"one tide", "", "", "salt of the sea", "salt of the sea", "tide två", strings.Repeat("x", 40) + "\n" + strings.Repeat("y", 40)}
	dir := t.TempDir()
	for _, name := range []string{"pyarrow.parquet", "pyarrow-dictionary.parquet"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, ending := range []string{"", ".gz", ".zst"} {
			got, err := readAll(Config{}, put(t, dir, name+ending, string(text)))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s%s: %q, %v", name, ending, got, err)
			}
		}
		cfg := Config{DocumentBytes: 50}
		if got, err := readAll(cfg, filepath.Join("testdata", name)); err != nil || got[len(got)-1] != strings.Repeat("y", 40) {
			t.Errorf("%s is not cut: %q, %v", name, got, err)
		}
		if got, err := readAll(Config{TextField: "meta.url"}, filepath.Join("testdata", name)); err != nil || len(got) != 7 || got[6] != "a6" {
			t.Errorf("%s: a column of a column: %q, %v", name, got, err)
		}
		for field, problem := range map[string]string{
			"body": `no column "body", only ["id" "text" "meta.url" "tags.list.element"]`, "id": `"id" does not hold one text`, "tags.list.element": "does not hold one text",
		} {
			if _, err := readAll(Config{TextField: field}, filepath.Join("testdata", name)); err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%s: column %s: %v", name, field, err)
			}
		}
		cut := put(t, dir, "cut.parquet", string(text[:len(text)/2]))
		if _, err := readAll(Config{}, cut); err == nil || !strings.Contains(err.Error(), "cut.parquet cannot be read as its ending says") {
			t.Errorf("%s cut off: %v", name, err)
		}
	}
}

// A folder's .parquet files are taken, and count as any others.
func TestPrepareParquet(t *testing.T) {
	text, err := os.ReadFile("testdata/pyarrow.parquet")
	if err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	put(t, src, "a.parquet", string(text))
	dir := filepath.Join(t.TempDir(), "data")
	m, err := Prepare(t.Context(), Config{Sources: []string{src}, HeldOut: 0.3}, token.Config{VocabSize: 258}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Files != 1 || m.Empty != 2 || m.Duplicates != 1 || m.Train.Documents+m.HeldOut.Documents != 4 || m.FileBytes != int64(len(text)) {
		t.Errorf("%+v", m)
	}
}
