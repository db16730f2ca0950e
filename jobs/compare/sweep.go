package compare

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"saltern/jobs/report"
)

// sweep is a key of the job file that some arms differ in alone, with numbers.
type sweep struct {
	key   string
	lines []sweepLine
}

// sweepLine is arms that are the same but for the key, by its rising value.
type sweepLine struct {
	head   int // the arm that the others vary: the one that leaves the key as the job file has it
	arms   []int
	values []float64
}

// sweeps finds them. Plain training with another schedule is a control, no value of a sweep. Of arms with names of their own,
// which may be controls as well, it takes three to make a line.
func (s Study) sweeps() []sweep {
	var list []sweep
	for _, key := range s.settingKeys() {
		lines := map[string]*sweepLine{}
		var order []string
		for i, a := range s.Arms {
			value, err := strconv.ParseFloat(s.value(a, key), 64)
			if err != nil || !finite(value) || s.method(a) == "baseline" {
				continue
			}
			rest := s.without(a, key)
			if lines[rest] == nil {
				lines[rest] = &sweepLine{head: i}
				order = append(order, rest)
			}
			l := lines[rest]
			if !slices.Contains(l.values, value) {
				l.arms, l.values = append(l.arms, i), append(l.values, value)
			}
			if _, set := a.setting(key); !set {
				l.head = i
			}
		}
		found := sweep{key: key}
		for _, rest := range order {
			l := lines[rest]
			if len(l.arms) > 2 || len(l.arms) == 2 && slices.ContainsFunc(l.arms, s.variant) {
				l.sort()
				found.lines = append(found.lines, *l)
			}
		}
		if len(found.lines) > 0 {
			list = append(list, found)
		}
	}
	return list
}

// variant says that an arm is named after its method and a setting, not for itself.
func (s Study) variant(arm int) bool {
	return strings.HasPrefix(s.Arms[arm].Name, s.method(s.Arms[arm])+" ")
}

func (l *sweepLine) sort() {
	by := map[int]float64{}
	for i, arm := range l.arms {
		by[arm] = l.values[i]
	}
	slices.SortFunc(l.arms, func(a, b int) int { return cmp.Compare(by[a], by[b]) })
	slices.Sort(l.values)
}

// settingKeys are the keys that any arm sets, in the order in which they come up.
func (s Study) settingKeys() []string {
	var keys []string
	for _, a := range s.Arms {
		for _, setting := range a.Settings {
			if !slices.Contains(keys, setting.Key) {
				keys = append(keys, setting.Key)
			}
		}
	}
	return keys
}

// value is what a key was for an arm: its own setting, or the job file's.
func (s Study) value(a Arm, key string) string {
	if v, ok := a.setting(key); ok {
		return v
	}
	if i := slices.IndexFunc(s.Config, func(r report.Row) bool { return r.Name == key }); i >= 0 {
		return s.Config[i].Value
	}
	return ""
}

func (a Arm) setting(key string) (string, bool) {
	for _, s := range a.Settings {
		if s.Key == key {
			return s.Value, true
		}
	}
	return "", false
}

const methodKey = "distill.method"

// method is how an arm trains: what it sets, or what its name begins with, or what the job file says.
func (s Study) method(a Arm) string {
	if m, ok := a.setting(methodKey); ok {
		return m
	}
	if first, _, _ := strings.Cut(a.Name, " "); slices.Contains([]string{"baseline", "rkd", "salt", "salt-ds"}, first) {
		return first
	}
	return s.value(a, methodKey)
}

// without names all that an arm is but for one key. What it sets as the job file has it is no difference.
func (s Study) without(a Arm, key string) string {
	rest := []string{s.method(a)}
	for _, set := range a.Settings {
		if set.Key != key && set.Key != methodKey && set.Value != s.value(Arm{}, set.Key) {
			rest = append(rest, set.Key+"="+set.Value)
		}
	}
	slices.Sort(rest)
	return strings.Join(rest, " ")
}

// heads says for each arm which one it varies: for a variant the head of the first sweep that it is in, for others themselves.
func (s Study) heads(sweeps []sweep) []int {
	heads := make([]int, len(s.Arms))
	for i := range heads {
		heads[i] = i
	}
	for _, sweep := range sweeps {
		for _, l := range sweep.lines {
			for _, arm := range l.arms {
				if heads[arm] == arm && s.variant(arm) {
					heads[arm] = l.head
				}
			}
		}
	}
	for i := range heads { // a variant of a variant belongs to the first
		for range heads {
			heads[i] = heads[heads[i]]
		}
	}
	return heads
}
