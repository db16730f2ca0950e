package jobs

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"saltern/cluster"
	"saltern/distill"
	"saltern/jobs/compare"
)

// arm is one way to train that a comparison tries: the job with a few keys set otherwise.
type arm struct {
	name, label, note string
	settings          []compare.Setting
}

// arms lists what the job's [compare] asks for, BASELINE first.
func (j *Job) arms() ([]arm, error) {
	c, own := j.Compare, j.Distill.Method
	if own == "baseline" {
		own = "salt"
	}
	list := []arm{methodArm("baseline")}
	for _, m := range c.Methods {
		if m != "baseline" {
			list = append(list, methodArm(m))
		}
	}
	for _, name := range c.Controls {
		if name != noControls {
			list = append(list, j.control(name, own))
		}
	}
	for _, s := range c.Sweep {
		list = append(list, sweep(s, own)...)
	}
	for _, text := range c.Arms {
		name, sets, _ := strings.Cut(text, ":")
		a := arm{name: name, label: name, note: "An arm of the job's own."}
		for _, set := range strings.Fields(sets) {
			key, value, ok := strings.Cut(set, "=")
			if !ok {
				return nil, fail(BadConfig, "%s: compare.arms: %s: %q is not key=value", j.File, name, set)
			}
			a.settings = append(a.settings, compare.Setting{Key: key, Value: value})
		}
		list = append(list, a)
	}
	return list, j.checkArms(list)
}

// sweep lists the arms of "key=value,value" or "method key=value,value"; own is the method where none is named and the key is not of
// a selection of text, which one method has.
func sweep(text, own string) (list []arm) {
	head, values, _ := strings.Cut(text, "=")
	words := strings.Fields(head)
	m, key := own, words[len(words)-1]
	switch {
	case len(words) > 1:
		m = words[0]
	case strings.HasPrefix(key, "select."):
		m = "salt-ds"
	}
	for value := range strings.SplitSeq(values, ",") {
		set := compare.Setting{Key: key, Value: strings.TrimSpace(value)}
		list = append(list, arm{
			name: m + " " + set.Key + "=" + set.Value, label: methodLabel(m) + ", " + name(set.Key) + " = " + set.Value,
			note: "One value of a sweep.", settings: []compare.Setting{method(m), set},
		})
	}
	return list
}

// checkArms refuses arms of one name, and those that would not be of one comparison.
func (j *Job) checkArms(list []arm) error {
	seen := map[string]bool{}
	for _, a := range list {
		if seen[a.name] {
			return fail(BadConfig, "%s: compare: two arms are named %q; name each but once", j.File, a.name)
		}
		seen[a.name] = true
		for _, s := range a.settings {
			if top, _, _ := strings.Cut(s.Key, "."); slices.Contains([]string{"name", "seed", "device", "run_dir", "corpus", "tokenizer", "compare", "cluster"}, top) {
				return fail(BadConfig, "%s: compare: %s sets %s, which is the same for all arms; set it for the job", j.File, a.name, s.Key)
			}
		}
	}
	return nil
}

func method(m string) compare.Setting { return compare.Setting{Key: "distill.method", Value: m} }

func methodArm(m string) arm {
	return arm{name: m, label: methodLabel(m), settings: []compare.Setting{method(m)}, note: map[string]string{
		"baseline": "No teacher: what all others are compared with.",
		"rkd":      "The SLM teaches in every step.",
		"salt":     "The SLM teaches in stage 1, then the text alone.",
		"salt-ds":  "As SALT, with a stage 1 of text that an early SLM selected.",
	}[m]}
}

// control is one of the arms that tell what a gain of the job's own method comes from.
func (j *Job) control(name, own string) arm {
	a := arm{name: name, settings: []compare.Setting{method(own)}}
	set := func(key string, value any) {
		a.settings = append(a.settings, compare.Setting{Key: key, Value: fmt.Sprint(value)})
	}
	switch name {
	case "selection":
		a.label, a.note = "selection alone", "SALT_DS with w = 0: the selected text without the teacher."
		a.settings[0] = method("salt-ds")
		set("distill.weight", 0)
	case "smoothing":
		a.label, a.note = methodLabel(own)+", label smoothing", "Label smoothing of the same entropy in the SLM's place: softer targets without its knowledge."
		set("distill.teacher", distill.EqualEntropy)
		set("distill.labels", "online")
	case "self-distillation":
		a.label, a.note = methodLabel(own)+", self-distillation", "A finished BASELINE of the same seed in the SLM's place: a teacher that is no smaller."
		set("distill.teacher", distill.Self)
	default:
		percent, _ := baselinePercent(name)
		train := j.LLM.Train
		a.label = fmt.Sprintf("BASELINE, %d%% of the steps", percent)
		a.note = fmt.Sprintf("BASELINE with a learning rate that decays over %d%% of the steps: what stopping early costs by itself.", percent)
		a.settings[0] = method("baseline")
		set("llm.train.steps", max(1, int64(math.Round(float64(percent)/100*float64(train.Steps)))))
		set("llm.train.eval_every", train.EvalEvery)
	}
	return a
}

// asksNobody says that the arm's LLM has no teacher that a rank could run, or reads what one said.
func (a arm) asksNobody() bool {
	return slices.ContainsFunc(a.settings, func(s compare.Setting) bool {
		return slices.Contains([]compare.Setting{
			method("baseline"), {Key: "distill.teacher", Value: distill.EqualEntropy}, {Key: "distill.teacher", Value: distill.Uniform}, {Key: "distill.labels", Value: "offline"},
		}, s)
	})
}

// job is the job of an arm.
func (a arm) job(j *Job) (*Job, error) {
	var sets []string
	for _, s := range a.settings {
		sets = append(sets, s.Key+"="+s.Value)
	}
	if a.asksNobody() {
		sets = append(sets, "cluster.teachers=0") // all ranks train
		if j.Cluster.Pinned() != nil {
			sets = append(sets, "cluster.roles="+cluster.RolesLast)
		}
	}
	return j.with(fmt.Sprintf("%s: arm %q", j.File, a.name), sets)
}
