package progress

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

var full = Sample{Done: 120, Total: 400, Loss: 4.8123, Norm: 0.91, LR: 6e-4, Each: 312 * time.Millisecond,
	TokensPerSec: 6564, FLOPS: 14.2e9, Left: 87 * time.Second}

func TestLine(t *testing.T) {
	peak := full
	peak.Peak, peak.Note, peak.FLOPS = 142e12, "stage 2", 61.5e12
	for _, c := range []struct {
		s    Sample
		want string
	}{
		{full, "step 120/400  loss 4.8123  norm 0.91  lr 6.0e-04  312 ms  6.6k tok/s  14.2 GFLOP/s  eta 1m27s"},
		{peak, "step 120/400  loss 4.8123  norm 0.91  lr 6.0e-04  312 ms  6.6k tok/s  61.5 TFLOP/s  MFU 43.3%  eta 1m27s  stage 2"},
		{Sample{}, "step 0"},
		{Sample{Unit: "sequence", Done: 7}, "sequence 7"},
		{Sample{Done: 1, Total: 2, Loss: math.NaN(), Norm: math.Inf(1)}, "step 1/2  loss NaN  norm +Inf"},
	} {
		if got := Line(c.s); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestIsLine(t *testing.T) {
	for text, want := range map[string]bool{
		Line(full): true, Line(Sample{Unit: "SALT, label smoothing step", Done: 1, Total: 2, Loss: 3}): true, Line(Sample{Unit: "sequence", Done: 7, Total: 9}): true,
		"SALT: step 120/400  held-out loss 4.4670": false, "labels: going on from sequence 3 of 9": false, "": false,
		"panic: runtime error": false, "/a/b 1/2  c": false,
	} {
		if IsLine(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Scaled(0.5, "k"), "0.5 "},
		{Scaled(950, "k"), "950 "},
		{Scaled(999.6, "k"), "1.0k "},
		{Scaled(99.96e3, "k"), "100k "},
		{Scaled(123456, "k"), "123k "},
		{Scaled(2.5e9, "K"), "2.5 G"},
		{Scaled(3e22, "K"), "30000 E"},
		{Each(812 * time.Microsecond), "812 us"},
		{Each(999900 * time.Nanosecond), "1.0 ms"},
		{Each(3140 * time.Microsecond), "3.1 ms"},
		{Each(999900 * time.Microsecond), "1.00 s"},
		{Each(1250 * time.Millisecond), "1.25 s"},
		{Each(71 * time.Second), "71.0 s"},
		{Span(400 * time.Millisecond), "1s"},
		{Span(59500 * time.Millisecond), "1m00s"},
		{Span(87 * time.Second), "1m27s"},
		{Span(2*time.Hour + 5*time.Minute + 59*time.Second), "2h05m"},
		{Span(76 * time.Hour), "3d04h"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestBar(t *testing.T) {
	wide := Bar(full, 140)
	if !strings.HasPrefix(wide, "███████▎················  step 120/400") || !strings.HasSuffix(wide, "eta 1m27s") {
		t.Errorf("%s", wide)
	}
	for columns := range 150 {
		got := Bar(full, columns)
		if n := len([]rune(got)); n > max(columns-1, 0) {
			t.Errorf("%d columns: %d wide: %s", columns, n, got)
		}
		if columns > 25 && !strings.Contains(got, "eta 1m27s") {
			t.Errorf("%d columns: no time left: %s", columns, got)
		}
	}
	if got := Bar(full, 45); got != "step 120/400  loss 4.8123  eta 1m27s" {
		t.Errorf("%q", got)
	}
	for n := range 101 {
		if got := bar(float64(n)/100, 10); len([]rune(got)) != 10 {
			t.Errorf("%d%%: %q", n, got)
		}
	}
	if bar(2, 8) != strings.Repeat("█", 8) || bar(-1, 8) != strings.Repeat("·", 8) {
		t.Error("fractions beyond 0 to 1")
	}
}

func TestLeft(t *testing.T) {
	for _, c := range []struct {
		elapsed    time.Duration
		done, left int64
		want       time.Duration
	}{
		{10 * time.Second, 5, 20, 40 * time.Second},
		{10 * time.Second, 0, 20, 0},
		{10 * time.Second, 5, 0, 0},
		{0, 5, 5, 0},
		{time.Hour, 1, math.MaxInt64, 0},
	} {
		if got := Left(c.elapsed, c.done, c.left); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := New(f, 10*time.Second)
	for step := range 26 { // a second each
		s := Sample{Done: int64(step), Total: 25}
		m.Update(start.Add(time.Duration(step)*time.Second), s)
		if step == 12 {
			m.Message("checkpoint written")
		}
	}
	m.Done(Sample{Done: 25, Total: 25})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "step 0/25\nstep 10/25\ncheckpoint written\nstep 20/25\nstep 25/25\n"
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
	for _, r := range string(b) {
		if unicode.IsControl(r) && r != '\n' {
			t.Errorf("control character %q", r)
		}
	}
}

func TestPlainDoneOnce(t *testing.T) {
	var b strings.Builder
	m := newMeter(&b, nil, time.Second)
	m.Update(start, Sample{Done: 1, Total: 1})
	m.Done(Sample{Done: 1, Total: 1})
	if b.String() != "step 1/1\n" {
		t.Errorf("%q", b.String())
	}
}

// screen shows what a terminal would after \r and erase-line.
func screen(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if at := strings.LastIndex(line, "\r\x1b[K"); at >= 0 {
			lines[i] = line[at+len("\r\x1b[K"):]
		}
	}
	return strings.Join(lines, "\n")
}

func TestTerminal(t *testing.T) {
	var b strings.Builder
	m := newMeter(&b, func() int { return 40 }, 0)
	m.Message("before")
	m.Update(start, Sample{Done: 1, Total: 4})
	m.Update(start.Add(time.Millisecond), Sample{Done: 2, Total: 4}) // too soon
	if got := screen(b.String()); got != "before\n██████··················  step 1/4" {
		t.Errorf("%q", got)
	}
	if _, err := m.Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	if got := screen(b.String()); got != "before\na log line\n██████··················  step 1/4" {
		t.Errorf("%q", got)
	}
	m.Done(Sample{Done: 4, Total: 4})
	m.Message("after")
	if got := screen(b.String()); got != "before\na log line\nstep 4/4\nafter\n" {
		t.Errorf("%q", got)
	}
}
