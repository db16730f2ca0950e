package jobs

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func kernels() Table {
	return Table{
		Columns: []Column{
			{Key: "kernel", Title: "kernel"},
			{Key: "time_us", Title: "time", Unit: "µs", Format: "%.1f"},
			{Key: "runs", Title: "runs"},
			{Key: "note", Title: "note"},
		},
		Rows: [][]any{
			{"matmul", 12.345, 100, "fast"},
			{"rms_norm", 7.0, 5, nil},
			{"add", "unknown", int64(20000), ""},
			{"\"odd\"", math.NaN(), 1, true},
		},
	}
}

func TestTableText(t *testing.T) {
	var b strings.Builder
	if err := kernels().Write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `
kernel       time   runs  note
               µs
matmul       12.3    100  fast
rms_norm      7.0      5  -
add       unknown  20000
"odd"         NaN      1  true
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableJSON(t *testing.T) {
	var b strings.Builder
	if err := kernels().Write(&b, true); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(b.String()), &rows); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if len(rows) != 4 || rows[0]["time_us"] != 12.345 || rows[1]["note"] != nil || rows[3]["time_us"] != nil ||
		rows[3]["kernel"] != `"odd"` {
		t.Errorf("%v", rows)
	}
	if first := `{"kernel": "matmul", "time_us": 12.345, "runs": 100, "note": "fast"}`; !strings.Contains(b.String(), first) {
		t.Errorf("keys are not in the order of the columns:\n%s", b.String())
	}
	b.Reset()
	if err := (Table{}).Write(&b, true); err != nil || json.Unmarshal([]byte(b.String()), &rows) != nil || len(rows) != 0 {
		t.Errorf("an empty table is %q (%v)", b.String(), err)
	}
}

func TestTableOfUnevenRows(t *testing.T) {
	uneven := Table{Columns: []Column{{Title: "a"}}, Rows: [][]any{{1, 2}}}
	if err := uneven.Write(&strings.Builder{}, false); err == nil || !strings.HasPrefix(err.Error(), "bug: ") {
		t.Errorf("a row with too many values gave the error %v", err)
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct{ why, name, want string }{
		{"swapped neighbours are one slip", "tarin", "train"},
		{"one letter short", "evaluat", "evaluate"},
		{"nothing like it", "banana", ""},
		{"short words need to be closer", "xy", ""},
	} {
		if got := nearest(test.name, []string{"train", "evaluate", "run"}); got != test.want {
			t.Errorf("%s: nearest to %q is %q, want %q", test.why, test.name, got, test.want)
		}
	}
}

// TestCommandsAreDescribed wants each command and topic to say what its place in the help needs.
func TestCommandsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands() {
		if seen[c.Name] {
			t.Errorf("two commands are named %s", c.Name)
		}
		seen[c.Name] = true
		switch {
		case c.Summary == "" || strings.HasSuffix(c.Summary, ".") || strings.Contains(c.Summary, "\n"):
			t.Errorf("%s: the summary %q is not one line without a full stop", c.Name, c.Summary)
		case strings.TrimSpace(c.Help) == "":
			t.Errorf("%s has no help", c.Name)
		case c.Run != nil && c.Example == "":
			t.Errorf("%s has no example", c.Name)
		}
	}
}
