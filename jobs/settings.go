package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"saltern/cluster/wire"
	"saltern/model"
)

// settings is the training as TOML, without what may change between two runs of it: how often something is written, and what it
// does not look at.
func (t *training) settings() ([]byte, error) {
	c := *t
	c.Train.CheckpointEvery, c.Train.KeepCheckpoints, c.Train.LogEvery, c.Train.MaxSkippedSteps = 0, 0, 0, 0
	c.Model.Preset = ""                // its shape is written out
	if c.Model.Family == model.Llama { // the only one that there was
		c.Model.Family = ""
	}
	if c.Train.Schedule != "wsd" {
		c.Train.DecayFraction = 0
	}
	c.Distill = c.Distill.Deciding()
	return toml.Marshal(c)
}

// settingsWere is what settings says of a training whose settings were written down, by an earlier version perhaps, which knew
// fewer keys.
func settingsWere(text []byte) ([]byte, error) {
	var t training
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&t); err != nil {
		return nil, err
	}
	if t.Train.Objective == "" {
		t.Train.Objective = model.Causal // the only one that there was when the settings were written down
	}
	return t.settings()
}

// settingsFile is where a training's settings stand.
func (t *training) settingsFile() string { return filepath.Join(t.dir, "training.toml") }

// claim writes the training's settings into its folder, or compares them with those that are there.
func (t *training) claim() error {
	if err := t.compare(false); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	now, err := t.settings()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return err
	}
	return writeWhole(t.settingsFile(), now)
}

// compare is an error where the folder was begun with other settings, or is os.ErrNotExist where it was not begun. Early, the
// teacher is not known yet.
func (t *training) compare(early bool) error {
	now, err := t.settings()
	if err != nil {
		return err
	}
	was, err := os.ReadFile(t.settingsFile())
	if err != nil {
		return err
	}
	if was, err = settingsWere(was); err != nil {
		return fail(BadConfig, "%s cannot be read: %w; start anew with --fresh", t.settingsFile(), err)
	}
	diff := differences(was, now)
	if slices.ContainsFunc(diff, func(d string) bool { return strings.HasPrefix(d, "distill.labels was ") }) { // which says it all
		diff = slices.DeleteFunc(diff, func(d string) bool { return strings.HasPrefix(d, "distill.label_") })
	}
	if slices.ContainsFunc(diff, func(d string) bool { return strings.HasPrefix(d, "cluster.sync was ") }) { // likewise
		diff = slices.DeleteFunc(diff, func(d string) bool { return strings.HasPrefix(d, "cluster.") && !strings.HasPrefix(d, "cluster.sync") })
	}
	if early {
		diff = slices.DeleteFunc(diff, func(d string) bool { return d == sumDiffers["teacher"] })
	}
	if len(diff) > 0 {
		return fail(BadConfig, "%s was begun with other settings: %s; set them back, give the job another name, or start anew with --fresh", t.dir, join(diff))
	}
	return nil
}

// differences names the keys, dotted, in which two TOML documents differ, with both values.
func differences(was, now []byte) []string {
	var a, b map[string]any
	if toml.Unmarshal(was, &a) != nil || toml.Unmarshal(now, &b) != nil {
		return []string{"its settings cannot be read"}
	}
	for _, settings := range []map[string]any{a, b} { // ranks that take every step together have no settings of their own
		if settings["cluster"] == nil {
			settings["cluster"] = map[string]any{"sync": "every-step"}
		}
		if settings["wire"] == nil { // nor of gradients that are not rounded
			settings["wire"] = wire.Float32.String()
		}
	}
	var list []string
	var walk func(prefix string, a, b map[string]any)
	walk = func(prefix string, a, b map[string]any) {
		for k, v := range b {
			old := a[k]
			inner, ok := v.(map[string]any)
			before, was := old.(map[string]any)
			switch {
			case ok && was:
				walk(prefix+k+".", before, inner)
			case fmt.Sprint(old) == fmt.Sprint(v):
			case sumDiffers[prefix+k] != "": // two checksums tell nobody anything
				list = append(list, sumDiffers[prefix+k])
			default:
				list = append(list, fmt.Sprintf("%s was %v, now %v", prefix+k, old, v))
			}
		}
	}
	walk("", a, b)
	slices.Sort(list)
	return list
}

func join(list []string) string {
	if len(list) > 4 {
		list = append(slices.Clone(list[:4]), fmt.Sprintf("and %d more", len(list)-4))
	}
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	return out
}

// sumDiffers says what it means that a checksum among the settings is another.
var sumDiffers = map[string]string{
	"corpus":    "the text or its tokenizer is another ([corpus], [tokenizer], or the files themselves)",
	"start":     "the model that training begins with is another (llm.from)",
	"teacher":   "the model that teaches is another, or was trained anew",
	"judge":     "the early SLM that scores was trained anew and is another",
	"selection": "the selected sequences are others, as their scores are",
}
