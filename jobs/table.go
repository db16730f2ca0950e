package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is what a command shows: as aligned text for people, or the same rows as JSON for programs.
type Table struct {
	Columns []Column
	Rows    [][]any // one value per column: a string, bool, integer or float; nil is shown as "-"
}

// Column heads one column of a Table.
type Column struct {
	Key    string // the name in JSON, with its unit: "memory_gib"; stable, as scripts read it
	Title  string // the head in text: "memory"
	Unit   string // shown below the title: "GiB"; empty for none
	Format string // how a value is printed in text, as "%.2f"; empty: "%v", floats "%.4g"
}

// Write writes the table to w, as JSON (an array of objects, one a line, keys in the order of the columns) or as text.
func (t Table) Write(w io.Writer, asJSON bool) error {
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("bug: row %d of a table has %d values for %d columns", i, len(row), len(t.Columns))
		}
	}
	if asJSON {
		return t.writeJSON(w)
	}
	return t.writeText(w)
}

func (t Table) writeJSON(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("[")
	before := "\n  {"
	for _, row := range t.Rows {
		for j, v := range row {
			if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				v = nil // JSON has no such numbers
			}
			value, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("bug: column %s: %w", t.Columns[j].Key, err)
			}
			fmt.Fprintf(&b, "%s%q: %s", before, t.Columns[j].Key, value)
			before = ", "
		}
		b.WriteString("}")
		before = ",\n  {"
	}
	b.WriteString("\n]\n")
	_, err := w.Write(b.Bytes())
	return err
}

// writeText writes the titles, the units where there are any, and the rows. A column that holds a number is aligned
// to the right, the others to the left; the last column is not padded.
func (t Table) writeText(w io.Writer) error {
	titles, units := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	right, hasUnits := make([]bool, len(t.Columns)), false
	for j, c := range t.Columns {
		titles[j], units[j] = c.Title, c.Unit
		hasUnits = hasUnits || c.Unit != ""
	}
	lines := [][]string{titles}
	if hasUnits {
		lines = append(lines, units)
	}
	for _, row := range t.Rows {
		line := make([]string, len(row))
		for j, v := range row {
			line[j] = t.Columns[j].text(v)
			right[j] = right[j] || isNumber(v)
		}
		lines = append(lines, line)
	}
	widths := make([]int, len(t.Columns))
	for _, line := range lines {
		for j, cell := range line {
			widths[j] = max(widths[j], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var l strings.Builder
		for j, cell := range line {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if right[j] {
				cell, pad = pad+cell, ""
			}
			l.WriteString(cell + pad + "  ")
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Column) text(v any) string {
	switch v.(type) {
	case nil:
		return "-"
	case float32, float64:
		if c.Format == "" {
			return fmt.Sprintf("%.4g", v)
		}
	case string, bool:
		return fmt.Sprint(v) // a word such as "unknown" may stand in a column of numbers
	}
	if c.Format == "" {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf(c.Format, v)
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int32, int64, uint, uint32, uint64, float32, float64:
		return true
	}
	return false
}

// withoutEmpty leaves out the columns that no row has a value in.
func (t Table) withoutEmpty() Table {
	for j := len(t.Columns) - 1; j >= 0; j-- {
		if !slices.ContainsFunc(t.Rows, func(row []any) bool { return row[j] != nil }) {
			t.Columns = slices.Delete(t.Columns, j, j+1)
			for i := range t.Rows {
				t.Rows[i] = slices.Delete(t.Rows[i], j, j+1)
			}
		}
	}
	return t
}
