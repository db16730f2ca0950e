package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// address names what decides the training's result, before any of it is trained: two trainings of one address have the same
// result, so that it can be kept under that name. A teacher counts by its own address. Keys at their zero are left out: a version
// that knows more of them finds what an earlier one left.
func (t *training) address() (string, error) {
	if err := t.findStart(); err != nil {
		return "", err
	}
	c := *t
	c.Teacher, c.Selection, c.Smoothing = "", "", 0 // which follow from the rest
	text, err := c.settings()
	if err != nil {
		return "", err
	}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		return "", err
	}
	lines := flatten(nil, "", tree)
	if t.named != nil {
		if err := t.meetTeacher(); err != nil {
			return "", err
		}
		lines = append(lines, "teacher="+t.named.weights)
	}
	for role, d := range map[string]*training{"teacher": t.teacher, "judge": t.judge} {
		if d == nil {
			continue
		}
		address, err := d.address()
		if err != nil {
			return "", err
		}
		lines = append(lines, role+"="+address)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:6]), nil
}

// flatten appends "key=value" of each leaf that is not zero.
func flatten(lines []string, prefix string, tree map[string]any) []string {
	for k, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			lines = flatten(lines, prefix+k+".", v)
		default:
			if text := fmt.Sprint(v); text != "" && text != "0" && text != "false" {
				lines = append(lines, prefix+k+"="+text)
			}
		}
	}
	return lines
}
