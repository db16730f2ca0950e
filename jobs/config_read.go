package jobs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Job is a resolved Config that knows where each of its values came from.
type Job struct {
	Config
	File string // the job file, as named by the user

	origins map[string]string // by full key
	draft   *draft            // what it was resolved from
	ranks   int               // that share its batches; 0: one
	seating seating           // of them
	named   *namedTeacher     // nil: nobody has asked for it, or there is none
	listen  string            // where the first of them shows metrics; empty: nowhere
}

// Origin says where the value of a full key such as "llm.train.lr" came from: "job.toml:12:1", "--set", "preset" or
// "default".
func (j *Job) Origin(key string) string { return j.origins[key] }

// ReadConfig reads the job file and lays sets, each "key=value", over it. The error lists every problem, one a line,
// each with file:line:column of the key, or of its table where the key is absent.
func ReadConfig(file string, sets []string) (*Job, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, fail(BadConfig, "%s: cannot read the job file: %w", file, err)
	}
	return readJob(file, text, sets)
}

func readJob(file string, text []byte, sets []string) (*Job, error) {
	d := newDraft(file)
	d.addFile(text)
	for _, set := range sets {
		d.addSet("--set", set)
	}
	return d.job()
}

// with reads the job anew with sets laid over what it was read from; place is where they are written.
func (j *Job) with(place string, sets []string) (*Job, error) {
	d := *j.draft
	d.places, d.values, d.problems = maps.Clone(d.places), maps.Clone(d.values), nil
	for _, set := range sets {
		d.addSet(place, set)
	}
	return d.job()
}

// job is what the draft resolves to.
func (d *draft) job() (*Job, error) {
	if len(d.problems) > 0 {
		return nil, d.failure() // a value that was not understood would give rise to problems that are none
	}
	job := d.resolve()
	job.check(func(key, message string) {
		if table := parent(key); table != "" {
			message = table + ": " + message
		}
		d.problem(d.place(key), message)
	})
	if len(d.problems) > 0 {
		return nil, d.failure()
	}
	return job, nil
}

// draft collects what a job file and --set say, and what is wrong with it.
type draft struct {
	file     string
	leaves   map[string]leaf
	places   map[string]string // where a key or table is written: "job.toml:3:1" or "--set"
	values   map[string]any    // by full key, as decoded from TOML
	problems []problem
}

type problem struct{ place, message string }

func newDraft(file string) *draft {
	return &draft{file: file, leaves: leaves(), places: map[string]string{}, values: map[string]any{}}
}

func (d *draft) problem(place, message string) {
	d.problems = append(d.problems, problem{place, message})
}

func (d *draft) failure() error {
	var lines []string
	for _, p := range d.problems {
		lines = append(lines, p.place+": "+p.message)
	}
	return &Error{BadConfig, errors.New(strings.Join(lines, "\n"))}
}

// place is where key is written, else the innermost table around it that is, else the file.
func (d *draft) place(key string) string {
	for ; key != ""; key = parent(key) {
		if p, ok := d.places[key]; ok {
			return p
		}
	}
	return d.file
}

func parent(key string) string { return key[:max(0, strings.LastIndexByte(key, '.'))] }

// addFile reads a whole job file: once for the values, once for where each key stands.
func (d *draft) addFile(text []byte) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		if e := (*toml.DecodeError)(nil); errors.As(err, &e) {
			line, column := e.Position()
			d.problem(fmt.Sprintf("%s:%d:%d", d.file, line, column), strings.TrimPrefix(e.Error(), "toml: "))
		} else {
			d.problem(d.file, err.Error())
		}
		return
	}
	var parser unstable.Parser
	parser.Reset(text)
	table, skip := "", false // skip: the table is no good, and that has been said
	for parser.NextExpression() {
		switch e := parser.Expression(); {
		case e.Kind == unstable.Table, e.Kind == unstable.ArrayTable:
			table = d.locate(&parser, e, "")
			skip = true
			switch {
			case !d.knownTable(table):
				d.unknown(table)
			case e.Kind == unstable.ArrayTable:
				d.problem(d.places[table], fmt.Sprintf("there is one %s, not a list of them; write [%s]", table, table))
			default:
				skip = false
			}
		case e.Kind == unstable.KeyValue && !skip:
			d.addKey(&parser, e, table, tree)
		}
	}
}

// addKey takes one "key = value" of a table; an inline table holds more of them.
func (d *draft) addKey(parser *unstable.Parser, e *unstable.Node, table string, tree map[string]any) {
	key := d.locate(parser, e, table)
	if e.Value().Kind != unstable.InlineTable || !d.knownTable(key) {
		d.add(key, lookup(tree, key))
		return
	}
	for it := e.Value().Children(); it.Next(); {
		d.addKey(parser, it.Node(), key, tree)
	}
}

// locate notes where a table's or value's key stands and returns it in full.
func (d *draft) locate(parser *unstable.Parser, e *unstable.Node, table string) string {
	var names []string
	if table != "" {
		names = []string{table}
	}
	place := ""
	for it := e.Key(); it.Next(); {
		if place == "" {
			at := parser.Shape(it.Node().Raw).Start
			place = fmt.Sprintf("%s:%d:%d", d.file, at.Line, at.Column)
		}
		names = append(names, string(it.Node().Data))
	}
	key := strings.Join(names, ".")
	d.places[key] = place
	return key
}

func lookup(tree map[string]any, key string) any {
	var v any = tree
	for name := range strings.SplitSeq(key, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// addSet takes one --set, or what is written like one elsewhere. The value is TOML; a word that is not is text, to spare the shell's users a layer of quotes.
func (d *draft) addSet(place, set string) {
	key, text, found := strings.Cut(set, "=")
	key = strings.TrimSpace(key)
	if !found || key == "" {
		d.problem(place, fmt.Sprintf("%q is not key=value, as in llm.train.steps=10", set))
		return
	}
	var tree map[string]any
	if err := toml.Unmarshal([]byte("value = "+text), &tree); err != nil || len(tree) != 1 {
		tree = map[string]any{"value": strings.TrimSpace(text)}
	}
	switch tree["value"].(type) {
	case int64, float64, bool:
		if l, ok := d.leaves[key]; ok && l.typ.Kind() == reflect.String { // a word without quotes, whatever it looks like
			tree["value"] = strings.TrimSpace(text)
		}
	}
	d.places[key] = place
	d.add(key, tree["value"])
}

func (d *draft) add(key string, value any) {
	leaf, ok := d.leaves[key]
	if !ok {
		d.unknown(key)
		return
	}
	if err := leaf.fits(value); err != nil {
		d.problem(d.places[key], fmt.Sprintf("%s %s", key, err))
		return
	}
	d.values[key] = value
}

func (d *draft) knownTable(table string) bool {
	for key := range d.leaves {
		if strings.HasPrefix(key, table+".") {
			return true
		}
	}
	return false
}

// unknown reports a key or table that does not exist, with the nearest that does, or where its last name is a key.
func (d *draft) unknown(key string) {
	if d.knownTable(key) {
		d.problem(d.places[key], fmt.Sprintf("%s is a table; set its keys: [%s]", key, key))
		return
	}
	const look = "saltern help job-file"
	table, siblings, all, sameName := parent(key), []string(nil), []string(nil), []string(nil)
	for _, k := range d.names() {
		all = append(all, k)
		if parent(k) == table {
			siblings = append(siblings, name(k))
		}
		if name(k) == name(key) {
			sameName = append(sameName, k)
		}
	}
	hint := didYouMean(key, all, look)
	if table == "" || d.knownTable(table) {
		hint = didYouMean(name(key), siblings, look)
	}
	if len(sameName) > 0 && strings.HasSuffix(hint, look) {
		hint = "; there is " + strings.Join(sameName, " and ")
	}
	d.problem(d.places[key], fmt.Sprintf("there is no key %q%s", key, hint))
}

// names returns every key and table of the job file, sorted.
func (d *draft) names() []string {
	var all []string
	for k := range d.leaves {
		for ; k != ""; k = parent(k) {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func name(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// resolve turns a draft without problems into a Job. What is not written comes from a preset or is a default: the two
// are told apart by resolving once more without presets.
func (d *draft) resolve() *Job {
	var written Config
	for key, value := range d.values {
		d.leaves[key].set(&written, value)
	}
	plain := written
	plain.SLM.Model.Preset, plain.LLM.Model.Preset, plain.Distill.Preset = "", "", ""
	job := &Job{Config: d.keepZeros(written.defaults(d.file)), File: d.file, origins: map[string]string{}, draft: d}
	plain = d.keepZeros(plain.defaults(d.file))
	for key, leaf := range d.leaves {
		switch _, given := d.values[key]; {
		case given:
			job.origins[key] = d.places[key]
		case leaf.text(&job.Config) != leaf.text(&plain):
			job.origins[key] = "preset"
		default:
			job.origins[key] = "default"
		}
	}
	return job
}

// keepZeros puts back the zeros that were written out for fields where a zero means something.
func (d *draft) keepZeros(c Config) Config {
	for key, value := range d.values {
		if d.leaves[key].keep {
			d.leaves[key].set(&c, value)
		}
	}
	return c
}
