package jobs

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// WriteTOML writes the resolved job as a job file that gives the same job again, each value with its origin as a
// comment. A table that is all zeros, an SLM that the job has no use for, is left out.
func (j *Job) WriteTOML(w io.Writer) error {
	var b strings.Builder
	table := ""
	for _, l := range leafList() {
		if j.unused(l) {
			continue
		}
		if t := parent(l.key); t != table {
			table = t
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		fmt.Fprintf(&b, "%-36s # %s\n", name(l.key)+" = "+l.text(&j.Config), j.Origin(l.key))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// unused tells whether a leaf belongs to a model that the job does not have.
func (j *Job) unused(l leaf) bool {
	if len(l.index) < 2 {
		return false
	}
	top := reflect.ValueOf(&j.Config).Elem().FieldByIndex(l.index[:1])
	return top.Type() == reflect.TypeFor[ModelConfig]() && top.IsZero()
}
