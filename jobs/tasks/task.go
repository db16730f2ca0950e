package tasks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The values of Settings.OutputType.
const (
	MultipleChoice = "multiple_choice"
	Loglikelihood  = "loglikelihood"
	GenerateUntil  = "generate_until"
)

// Settings are what a task's first line may say, in the harness's words. A line is settings if it has an output_type.
type Settings struct {
	// Task names the task. Empty means the file's name.
	Task string `json:"task"`

	// OutputType is how an answer is had: "multiple_choice", the choice of the greatest likelihood; "loglikelihood", the likelihood
	// of the target, and whether it is what the model would write; "generate_until", what it does write. Without settings it is the
	// first where documents have choices, else the second.
	OutputType string `json:"output_type"`

	// Description begins each context.
	Description string `json:"description"`

	// DocToText, DocToTarget and DocToChoice are fields of a document, or texts with fields in them: "Q: {{question}}\nA:". A target is a
	// text, of "multiple_choice" also a choice's number from 0, of "generate_until" also a list of which any will do. Choices are a list.
	// Empty means the fields "text", "target" and "choices".
	DocToText   string `json:"doc_to_text"`
	DocToTarget string `json:"doc_to_target"`
	DocToChoice string `json:"doc_to_choice"`

	// TargetDelimiter stands between text and target in examples, and before each choice; the target of "loglikelihood" brings along
	// what it begins with. FewshotDelimiter stands after each example. Left out they are " " and "\n\n".
	TargetDelimiter  *string `json:"target_delimiter"`
	FewshotDelimiter *string `json:"fewshot_delimiter"`

	// NumFewshot is how many examples stand in the context: the first of the file Fewshot, beside this one, or where that is empty the
	// first of the task's own other documents (sampler "first_n" there).
	NumFewshot int    `json:"num_fewshot"`
	Fewshot    string `json:"fewshot"`

	// Until are the texts that end what is written, which are no part of it; the token that ends documents always does. Left out it
	// is FewshotDelimiter. MaxGenToks is how many tokens are written at most; zero means 256.
	Until      []string `json:"until"`
	MaxGenToks int      `json:"max_gen_toks"`
}

// Task is a benchmark read from its file.
type Task struct {
	Settings
	docs     []document
	examples []document // to take few-shot examples from; nil: docs
}

// document is one line, in what the task makes of it.
type document struct {
	place   string // for errors: file:line
	raw     string
	text    string
	choices []string
	gold    int      // of choices
	targets []string // of other output types: any will do
}

// answer is the target as an example has it.
func (d *document) answer() string {
	if d.choices != nil {
		return d.choices[d.gold]
	}
	return d.targets[0]
}

// Read reads a task's file. Errors name file and line.
func Read(path string) (*Task, error) {
	t := &Task{}
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	if len(lines) > 0 {
		var head struct {
			OutputType string `json:"output_type"`
		}
		if json.Unmarshal(lines[0].text, &head) == nil && head.OutputType != "" {
			if err := strictly(lines[0].text, &t.Settings); err != nil {
				return nil, fmt.Errorf("%s: the task's settings: %w", lines[0].place, err)
			}
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s has no documents; a task is a .jsonl file with a document in each line", path)
	}
	t.defaults(path, lines[0].text)
	if t.docs, err = t.parse(lines); err != nil || t.Fewshot == "" {
		return t, err
	}
	if !filepath.IsAbs(t.Fewshot) {
		t.Fewshot = filepath.Join(filepath.Dir(path), t.Fewshot)
	}
	if lines, err = readLines(t.Fewshot); err != nil {
		return nil, err
	}
	t.examples, err = t.parse(lines)
	return t, err
}

func (s *Settings) defaults(path string, first []byte) {
	or := func(field *string, otherwise string) {
		if *field == "" {
			*field = otherwise
		}
	}
	or(&s.Task, strings.TrimSuffix(filepath.Base(path), ".jsonl"))
	or(&s.DocToText, "text")
	or(&s.DocToTarget, "target")
	or(&s.DocToChoice, "choices")
	kind := Loglikelihood
	if _, ok := fieldsOf(first)[s.DocToChoice]; ok {
		kind = MultipleChoice
	}
	or(&s.OutputType, kind)
	space, blank := " ", "\n\n"
	if s.TargetDelimiter == nil {
		s.TargetDelimiter = &space
	}
	if s.FewshotDelimiter == nil {
		s.FewshotDelimiter = &blank
	}
	if s.Until == nil {
		s.Until = []string{*s.FewshotDelimiter}
	}
	if s.MaxGenToks == 0 {
		s.MaxGenToks = 256
	}
}

type line struct {
	place string
	text  []byte
}

func readLines(path string) (list []line, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("a task cannot be read: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if text = bytes.TrimSpace(text); len(text) > 0 {
			list = append(list, line{fmt.Sprintf("%s:%d", path, n), text})
		}
		if err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("a task cannot be read: %w", err)
		}
	}
}

// strictly decodes JSON without a field that is not known.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func fieldsOf(text []byte) map[string]any {
	var fields map[string]any
	_ = json.Unmarshal(text, &fields) // what is no object has no fields, which parse says
	return fields
}

func (t *Task) parse(lines []line) ([]document, error) {
	if t.OutputType != MultipleChoice && t.OutputType != Loglikelihood && t.OutputType != GenerateUntil {
		return nil, fmt.Errorf("%s: output_type %q is unknown; use %q, %q or %q", t.Task, t.OutputType, MultipleChoice, Loglikelihood, GenerateUntil)
	}
	docs := make([]document, len(lines))
	for i, l := range lines {
		var fields map[string]any
		err := json.Unmarshal(l.text, &fields)
		if err == nil {
			docs[i] = document{place: l.place, raw: string(l.text)}
			err = t.document(&docs[i], fields)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.place, err)
		}
	}
	return docs, nil
}

func (t *Task) document(d *document, fields map[string]any) error {
	text, err := render(t.DocToText, fields)
	if err != nil {
		return err
	}
	target, err := render(t.DocToTarget, fields)
	if err != nil {
		return err
	}
	if d.text, err = wantText(text, "doc_to_text"); err != nil {
		return err
	}
	if t.OutputType != MultipleChoice {
		if list, ok := target.([]any); ok && t.OutputType == GenerateUntil {
			d.targets, err = texts(list)
		} else {
			d.targets = []string{""}
			d.targets[0], err = wantText(target, "doc_to_target")
		}
		if err == nil && len(d.targets) == 0 {
			err = errors.New("the document has no target")
		}
		return err
	}
	choices, err := render(t.DocToChoice, fields)
	if err != nil {
		return err
	}
	list, _ := choices.([]any)
	if d.choices, err = texts(list); err != nil {
		return err
	}
	switch v := target.(type) {
	case float64:
		d.gold = int(v)
	case string:
		d.gold = -1
		for i, c := range d.choices {
			if c == v && d.gold < 0 {
				d.gold = i
			}
		}
	}
	if d.gold < 0 || d.gold >= len(d.choices) {
		return fmt.Errorf("the target %v is none of the %d choices, nor the number of one, from 0", target, len(d.choices))
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{\{\s*([^{}\s]+)\s*\}\}`)

// render is the value of a field, or a text with fields in it.
func render(pattern string, fields map[string]any) (any, error) {
	if v, ok := fields[pattern]; ok {
		return v, nil
	}
	if !placeholder.MatchString(pattern) {
		return nil, fmt.Errorf("the document has no field %q; name the fields to take in the task's first line, doc_to_text, doc_to_target and doc_to_choice", pattern)
	}
	var err error
	text := placeholder.ReplaceAllStringFunc(pattern, func(m string) string {
		name := placeholder.FindStringSubmatch(m)[1]
		v, ok := fields[name]
		if !ok {
			err = fmt.Errorf("the document has no field %q, which %q asks for", name, pattern)
		}
		if n, number := v.(float64); number {
			return strconv.FormatFloat(n, 'f', -1, 64)
		}
		return fmt.Sprint(v)
	})
	return text, err
}

func wantText(v any, what string) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("%s is not a text", what)
}

func texts(list []any) ([]string, error) {
	all := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("number %d of a list of texts is not a text, or empty", i+1)
		}
		all[i] = s
	}
	return all, nil
}

// Documents is how many there are.
func (t *Task) Documents() int { return len(t.docs) }

// context is what the model reads before its answer to document i.
func (t *Task) context(i int) (string, error) {
	var b strings.Builder
	b.WriteString(t.Description)
	pool, n := t.examples, 0
	if pool == nil {
		pool = t.docs
	}
	for j := range pool {
		if n == t.NumFewshot {
			break
		}
		if t.examples == nil && pool[j].raw == t.docs[i].raw { // no document tells its own answer
			continue
		}
		b.WriteString(pool[j].text + *t.TargetDelimiter + pool[j].answer() + *t.FewshotDelimiter)
		n++
	}
	if n < t.NumFewshot {
		return "", fmt.Errorf("%s: there are %d documents for %d examples; ask for fewer", t.Task, n, t.NumFewshot)
	}
	b.WriteString(t.docs[i].text)
	return b.String(), nil
}
