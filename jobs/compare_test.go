package jobs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const compareJob = `
name = "small"
seed = 4
[corpus]
sources = ["a.txt"]
[tokenizer]
vocab_size = 300
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 50 }
[llm]
model = { width = 32, layers = 2, heads = 4, context = 32 }
train = { steps = 101, eval_every = 7 }
[distill]
kd_steps = 20
`

// TestArms: what the table of the job file expands to, key by key.
func TestArms(t *testing.T) {
	for _, test := range []struct{ why, table, want string }{
		{"the paper's methods and all controls, where nothing is said", "", `
baseline | BASELINE | distill.method=baseline
rkd | RKD | distill.method=rkd
salt | SALT | distill.method=salt
salt-ds | SALT_DS | distill.method=salt-ds
baseline-70 | BASELINE, 70% of the steps | distill.method=baseline llm.train.steps=71 llm.train.eval_every=7
selection | selection alone | distill.method=salt-ds distill.weight=0
smoothing | SALT, label smoothing | distill.method=salt distill.teacher=equal-entropy distill.labels=online
self-distillation | SALT, self-distillation | distill.method=salt distill.teacher=self`},
		{"BASELINE is always there, once", `
methods = ["salt", "baseline"]
controls = ["none"]`, `
baseline | BASELINE | distill.method=baseline
salt | SALT | distill.method=salt`},
		{"controls and sweeps are about the job's own method", `
methods = ["rkd"]
controls = ["baseline-50", "smoothing"]
sweep = ["distill.weight=0.25, 1", "select.top_k=5", "salt distill.kd_steps=9"]
arms = ["weak-1: slm.train.steps=10  distill.method=salt"]
[distill]
method = "rkd"`, `
baseline | BASELINE | distill.method=baseline
rkd | RKD | distill.method=rkd
baseline-50 | BASELINE, 50% of the steps | distill.method=baseline llm.train.steps=51 llm.train.eval_every=7
smoothing | RKD, label smoothing | distill.method=rkd distill.teacher=equal-entropy distill.labels=online
rkd distill.weight=0.25 | RKD, weight = 0.25 | distill.method=rkd distill.weight=0.25
rkd distill.weight=1 | RKD, weight = 1 | distill.method=rkd distill.weight=1
salt-ds select.top_k=5 | SALT_DS, top_k = 5 | distill.method=salt-ds select.top_k=5
salt distill.kd_steps=9 | SALT, kd_steps = 9 | distill.method=salt distill.kd_steps=9
weak-1 | weak-1 | slm.train.steps=10 distill.method=salt`},
	} {
		job := readCompareJob(t, test.table)
		arms, err := job.arms()
		if err != nil {
			t.Fatalf("%s: %v", test.why, err)
		}
		got := ""
		for _, a := range arms {
			var sets []string
			for _, s := range a.settings {
				sets = append(sets, s.Key+"="+s.Value)
			}
			got += "\n" + a.name + " | " + a.label + " | " + strings.Join(sets, " ")
			if !strings.HasSuffix(a.note, ".") {
				t.Errorf("%s: the note of %s is no sentence: %q", test.why, a.name, a.note)
			}
			j, err := a.job(job)
			if err != nil {
				t.Errorf("%s: %s: %v", test.why, a.name, err)
				continue
			}
			for _, s := range a.settings {
				if got, want := strings.Trim(leaves()[s.Key].text(&j.Config), "'"), s.Value; got != want && got != want+".0" {
					t.Errorf("%s: %s has %s = %s, want %s", test.why, a.name, s.Key, got, want)
				}
			}
		}
		if got != test.want {
			t.Errorf("%s:%s\nwant%s", test.why, got, test.want)
		}
	}
}

// readCompareJob reads the small job with a table [compare], which may be followed by others that are merged into the job's.
func readCompareJob(t *testing.T, table string) *Job {
	t.Helper()
	compared, distilled, _ := strings.Cut(table, "[distill]")
	job, err := readJob("job.toml", []byte(compareJob+distilled+"\n[compare]\n"+compared), nil)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestArmsThatAreWrong(t *testing.T) {
	for _, test := range []struct{ why, table, want string }{
		{"a method", `methods = ["sald"]`, `job.toml:17:1: compare: methods has "sald"; use "baseline", "rkd", "salt" or "salt-ds"`},
		{"a control", `controls = ["baseline-700"]`, `controls has "baseline-700"; use "baseline-70", "selection"`},
		{"none beside others", `controls = ["none", "selection"]`, `or "none" alone`},
		{"seeds", `seeds = -1`, `seeds = -1 is out of bounds; use 1 to 1000`},
		{"no values", `sweep = ["distill.weight"]`, `sweep has "distill.weight", which is not key=value,value`},
		{"a sweep's method", `sweep = ["sald distill.weight=1"]`, `sweep has "sald distill.weight=1", which is not key=value,value`},
		{"an arm without a name", `arms = ["distill.weight=1"]`, `arms has "distill.weight=1", which is not "name: key=value key=value"`},
		{"an arm without keys", `arms = ["x:"]`, `arms has "x:"`},
		{"a teacher", `teacher = "none"`, `teacher = "none" is unknown; use "per-seed" or "shared"`},
		{"a word in an arm", `arms = ["x: distill.weight"]`, `job.toml: compare.arms: x: "distill.weight" is not key=value`},
		{"a key that is the same for all", `arms = ["x: corpus.max_bytes=1"]`, `compare: x sets corpus.max_bytes, which is the same for all arms; set it for the job`},
		{"the seed", `arms = ["x: seed=1"]`, `compare: x sets seed, which is the same for all arms`},
		{"two of one name", `arms = ["salt: distill.weight=1"]`, `two arms are named "salt"; name each but once`},
		{"an arm's key that is none", `arms = ["x: distill.weigth=1"]`, `job.toml: arm "x": there is no key "distill.weigth"; did you mean "weight"?`},
		{"an arm's value", `arms = ["x: distill.weight=2"]`, `job.toml: arm "x": distill: weight = 2 must lie between 0`},
		{"a sweep's value", `sweep = ["distill.kd_steps=20,200"]`, `job.toml: arm "salt distill.kd_steps=200": distill: kd_steps = 200 must be at least 1`},
	} {
		job, err := readJob("job.toml", []byte(compareJob+"[compare]\n"+test.table), nil)
		if err == nil {
			var arms []arm
			arms, err = job.arms()
			for i := 0; i < len(arms) && err == nil; i++ {
				_, err = arms[i].job(job)
			}
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || KindOf(err) != BadConfig {
			t.Errorf("%s: %v, want %s", test.why, err, test.want)
		}
	}
}

// undeciding lists the keys that do not change the address of the job's student.
func undeciding(t *testing.T, sets ...string) (keys []string) {
	t.Helper()
	job, err := readJob("job.toml", []byte(compareJob), sets)
	if err != nil {
		t.Fatal(err)
	}
	want := addressOf(t, job.student("corpus"))
	for _, l := range leafList() {
		changed := *job
		switch f := reflect.ValueOf(&changed.Config).Elem().FieldByIndex(l.index); f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "?")
		case reflect.Float64:
			f.SetFloat(f.Float() + 0.125)
		case reflect.Int, reflect.Int64:
			f.SetInt(f.Int() + 1)
		case reflect.Bool:
			f.SetBool(!f.Bool())
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 7, 7))
		default:
			t.Fatalf("%s is of kind %v", l.key, f.Kind())
		}
		if l.key == "distill.method" || l.key == "llm.from" { // of none of which it is clear what it would mean
			continue
		}
		if addressOf(t, changed.student("corpus")) == want {
			keys = append(keys, l.key)
		}
	}
	return keys
}

func addressOf(t *testing.T, tr *training) string {
	t.Helper()
	address, err := tr.address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// TestAddress changes every key of the job file: the address of a training changes if and only if the key decides its result. The
// text and its tokenizer come in by the corpus's key.
func TestAddress(t *testing.T) {
	never := []string{"slm.from", "name", "device", "run_dir", "corpus", "tokenizer", "compare", "cluster", "distill.preset", "model.preset",
		"checkpoint_every", "keep_checkpoints", "log_every", "max_skipped_steps", "decay_fraction"}
	for _, test := range []struct {
		why  string
		sets []string
		also []string // what does not count besides
	}{
		{"BASELINE is of the LLM alone", []string{"distill.method=baseline"}, []string{"slm", "distill", "select"}},
		{"RKD has a teacher and no stages", []string{"distill.method=rkd"}, []string{"select", "distill.kd_steps", "distill.transition", "distill.window", "distill.label_"}},
		{"SALT has stages", nil, []string{"select", "distill.window", "distill.label_"}},
		{"SALT_DS has a rule for text too", []string{"distill.method=salt-ds"}, []string{"distill.window", "distill.label_"}},
		{"auto has windows", []string{"distill.transition=auto"}, []string{"select", "distill.label_"}},
		{"offline the form of labels counts", []string{"distill.labels=offline"}, []string{"select", "distill.window", "distill.label_tail"}},
		{"self-distillation has no SLM", []string{"distill.teacher=self"}, []string{"slm", "select", "distill.window", "distill.label_"}},
		{"label smoothing neither", []string{"distill.teacher=uniform"}, []string{"slm", "select", "distill.window", "distill.label_", "distill.temperature"}},
		{"the SLM says how much is smoothed", []string{"distill.teacher=equal-entropy"}, []string{"select", "distill.window", "distill.label_"}},
	} {
		var want []string
		for _, l := range leafList() {
			for _, n := range append(slices.Clone(never), test.also...) {
				if strings.HasPrefix(l.key, n) || strings.HasSuffix(l.key, n) {
					want = append(want, l.key)
					break
				}
			}
		}
		teachers := slices.Contains(test.also, "distill.label_") && !slices.ContainsFunc(test.sets, func(s string) bool {
			return slices.Contains([]string{"distill.method=baseline", "distill.teacher=uniform", "distill.teacher=equal-entropy"}, s)
		}) // whose labels are sparse, as those of a file are
		want = slices.DeleteFunc(want, func(k string) bool {
			return k == "distill.method" || k == "llm.from" || k == "cluster.teachers" && teachers
		})
		if got := undeciding(t, test.sets...); !slices.Equal(got, want) {
			t.Errorf("%s: without effect are\n%v\nwant\n%v", test.why, got, want)
		}
	}
	job, err := readJob("job.toml", []byte(compareJob), nil)
	if err != nil {
		t.Fatal(err)
	}
	if addressOf(t, job.student("corpus")) == addressOf(t, job.student("another")) {
		t.Error("another text makes no difference")
	}
}

// TestAddressStays: an address is a folder on somebody's disk. A key that is added must be left out where it changes nothing.
func TestAddressStays(t *testing.T) {
	for sets, want := range map[string]string{
		"distill.method=baseline": "06ccc6dabb0d",
		"distill.method=salt":     "18731b2a4b2b",
	} {
		job, err := readJob("job.toml", []byte(compareJob), []string{sets})
		if err != nil {
			t.Fatal(err)
		}
		if got := addressOf(t, job.student("corpus")); got != want {
			t.Errorf("%s: %s, and it was %s; folders of earlier comparisons will not be found again", sets, got, want)
		}
	}
}

// TestSlices ranks by the judge and averages by tokens.
func TestSlices(t *testing.T) {
	judge := &heldOut{Loss: []float64{6, 1, 5, 2, 4, 3}, Tokens: []int{1, 1, 1, 1, 1, 1}}
	model := &heldOut{Loss: []float64{10, 20, 30, 40, 50, 60}, Tokens: []int{4, 4, 1, 4, 4, 4}}
	if got, want := model.slices(judge), [3]float64{30, 55, (10*4 + 30) / 5.}; got != want {
		t.Errorf("easy, medium and hard are %v, want %v", got, want)
	}
	for why, other := range map[string]*heldOut{"no judge": nil, "a judge of other sequences": {Loss: []float64{1}, Tokens: []int{1}}} {
		if got := fmt.Sprint(model.slices(other)); got != "[NaN NaN NaN]" {
			t.Errorf("%s: %v", why, got)
		}
	}
}

// TestCompareCommand: the command that the page names is the one that was given, for a shell.
func TestCompareCommand(t *testing.T) {
	f := compareFlags{seeds: 5, arms: listFlag{"sharp: distill.temperature=0.5"}, runFlags: runFlags{sets: listFlag{"name=it's", "llm.train.lr=1e-3"}}}
	want := `saltern compare --seeds 5 --arm 'sharp: distill.temperature=0.5' --set 'name=it'\''s' --set llm.train.lr=1e-3 'my job.toml'`
	if got := f.command("my job.toml"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
