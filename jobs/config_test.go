package jobs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const smallJob = `
[corpus]
sources = ["a.txt", "it's \"b\".txt"]
[slm.model]
preset = "0.25M"
[slm.train]
steps = 50
[llm.model]
preset = "1M"
tie_embeddings = false
[llm.train]
steps = 100
clip_norm = 0
[distill]
weight = 0
preset = "salt-paper"
`

func TestResolvedJobRoundTrips(t *testing.T) {
	for _, test := range []struct{ why, text string }{
		{"zeros that were written out stay", smallJob},
		{"a job without teacher has no [slm]", `
corpus.sources = ["a"]
distill.method = "baseline"
llm = { model = { width = 64, layers = 1, heads = 2 }, train = { steps = 3 } }`},
	} {
		first, err := readJob("first.toml", []byte(test.text), nil)
		if err != nil {
			t.Fatalf("%s: %v", test.why, err)
		}
		var written strings.Builder
		if err := first.WriteTOML(&written); err != nil {
			t.Fatal(err)
		}
		second, err := readJob("second.toml", []byte(written.String()), nil)
		if err != nil {
			t.Fatalf("%s: the resolved job is no job: %v\n%s", test.why, err, written.String())
		}
		if !reflect.DeepEqual(first.Config, second.Config) {
			t.Errorf("%s: the resolved job\n%+v\nread again is\n%+v", test.why, first.Config, second.Config)
		}
	}
}

// TestResolvedJobReadsTheSameText moves a resolved job to another folder.
func TestResolvedJobReadsTheSameText(t *testing.T) {
	home := filepath.Join(t.TempDir(), "with $ in it")
	t.Setenv("SALTERN_TEST_WHOLE", "/data")
	t.Setenv("SALTERN_TEST_PART", "part")
	first, err := readJob(filepath.Join(home, "job.toml"), []byte(smallJob+`
[tokenizer]
file = "../tok/tokenizer.json"
`), []string{`corpus.sources=["a/**/*.txt", "/b", "$SALTERN_TEST_WHOLE/c", "$SALTERN_TEST_PART/d", "$$e", "$GOROOT/src"]`})
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.ReplaceAll(home, "$", "$$")
	want := []string{folder + "/a/**/*.txt", "/b", "$SALTERN_TEST_WHOLE/c", folder + "/$SALTERN_TEST_PART/d", folder + "/$$e", "$GOROOT/src"}
	if !reflect.DeepEqual(first.Corpus.Sources, want) {
		t.Errorf("the sources are %q, want %q", first.Corpus.Sources, want)
	}
	if file := filepath.Join(filepath.Dir(home), "tok", "tokenizer.json"); first.Tokenizer.File != file {
		t.Errorf("the tokenizer is %s, want %s", first.Tokenizer.File, file)
	}
	if first.LLM.Model.Vocab != 0 || first.withTokenizer(300, 299).SLM.Model.Vocab != 300 {
		t.Error("the vocabulary of a tokenizer that is a file is not left to it")
	}
	var written strings.Builder
	if err := first.WriteTOML(&written); err != nil {
		t.Fatal(err)
	}
	second, err := readJob("/elsewhere/job.toml", []byte(written.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Corpus.Base, second.Corpus.Base = "", ""
	if !reflect.DeepEqual(first.Config, second.Config) {
		t.Errorf("the resolved job\n%+v\nread elsewhere is\n%+v", first.Config, second.Config)
	}
}

func TestWrittenZerosAndOrigins(t *testing.T) {
	job, err := readJob("job.toml", []byte(smallJob), []string{"llm.train.lr=1e-2", "device=lavapipe", "slm.train.batch=8"})
	if err != nil {
		t.Fatal(err)
	}
	if job.LLM.Model.TieEmbeddings || job.LLM.Train.ClipNorm != 0 || job.Distill.Weight != 0 {
		t.Error("a zero that was written out was replaced by a default")
	}
	if job.LLM.Model.Vocab != 4096 || job.LLM.Train.LR != 0.01 || job.Device != "lavapipe" || job.SLM.Train.Batch != 8 {
		t.Errorf("resolved to %+v", job.Config)
	}
	for key, want := range map[string]string{
		"llm.train.lr":             "--set",
		"llm.train.clip_norm":      "job.toml:13:1",
		"llm.model.tie_embeddings": "job.toml:10:1",
		"llm.model.layers":         "preset",
		"distill.temperature":      "preset",
		"distill.weight":           "job.toml:15:1",
		"slm.train.lr":             "default",
	} {
		if got := job.Origin(key); got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
}

// TestEveryLeafTakesItsValue sets each key to a value unlike its default and finds it in the field of that key.
func TestEveryLeafTakesItsValue(t *testing.T) {
	var c Config
	for _, l := range leafList() {
		before := l.text(&c)
		var value any
		switch l.typ.Kind() {
		case reflect.String:
			value = "some text"
		case reflect.Bool:
			value = true
		case reflect.Slice:
			value = []any{"one", "two"}
			if l.typ.Elem().Kind() == reflect.Float64 {
				value = []any{0.5, int64(2)}
			}
		case reflect.Float64:
			value = 0.25
		default:
			value = int64(7)
		}
		if err := l.fits(value); err != nil {
			t.Fatalf("%s: %v", l.key, err)
		}
		l.set(&c, value)
		if l.text(&c) == before {
			t.Errorf("%s is still %s after it was set to %v", l.key, before, value)
		}
		if err := l.fits(map[string]any{}); err == nil {
			t.Errorf("%s takes a table", l.key)
		}
	}
}

func TestExamplesAreJobs(t *testing.T) {
	files, err := filepath.Glob("../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found (%v)", err)
	}
	for _, file := range files {
		job, err := ReadConfig(file, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if job.SLM.Model.Params() >= job.LLM.Model.Params() && job.Distill.Method != "baseline" {
			t.Errorf("%s: its small model has %d parameters, its large one %d", file, job.SLM.Model.Params(), job.LLM.Model.Params())
		}
	}
}

func FuzzReadJob(f *testing.F) {
	f.Add(smallJob)
	f.Add("[[llm.model]]\nwidth=1\n[llm]\ntrain={steps=1,x={y=2}}\n\"a.b\"=1")
	example, err := os.ReadFile("../examples/go-source.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Fuzz(func(t *testing.T, text string) {
		job, err := readJob("f.toml", []byte(text), nil)
		if (job == nil) == (err == nil) {
			t.Errorf("a job of %v with the error %v", job, err)
		}
		if err != nil && KindOf(err) != BadConfig {
			t.Errorf("the error is of the kind %q: %v", KindOf(err), err)
		}
	})
}
