package watch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is typed into keyboard, terminal reads, and the other way round.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// watched is a watch on a terminal.
type watched struct {
	keyboard, terminal *os.File
	ended              chan error
	mu                 sync.Mutex
	out                bytes.Buffer
}

func watchOn(t *testing.T, ctx context.Context, dir string, env map[string]string, columns int) *watched {
	t.Helper()
	w := &watched{ended: make(chan error, 1)}
	w.keyboard, w.terminal = openTerminal(t)
	w.resize(t, columns, 24)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := w.keyboard.Read(b)
			w.mu.Lock()
			w.out.Write(b[:n])
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		w.ended <- Run(ctx, Options{Dir: dir, Last: "llm-baseline", In: w.terminal, Out: w.terminal, Interval: 50 * time.Millisecond,
			Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	}()
	return w
}

func (w *watched) resize(t *testing.T, columns, rows int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(w.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
}

// shows waits until the terminal has shown text.
func (w *watched) shows(t *testing.T, text string) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(w.seen(), text) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%q was not shown in\n%q", text, w.seen())
		}
	}
}

func (w *watched) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// A run is watched on a terminal from before it begins; the picture follows it and the terminal's size, and is gone when q is pressed.
func TestTerminal(t *testing.T) {
	dir := t.TempDir()
	for _, end := range []string{"q", "Ctrl-C", "signal", "the job's end"} {
		t.Run(end, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := watchOn(t, ctx, dir, map[string]string{"LANG": "en_US.UTF-8", "TERM": "xterm"}, 80)
			before, err := unix.IoctlGetTermios(int(w.terminal.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			if end == "q" {
				w.shows(t, "nothing has begun yet")
				put(t, dir, "llm-baseline/training.toml", settingsText("baseline"))
				put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+record(10, 6))
			}
			w.shows(t, "BASELINE step 10/100")
			w.resize(t, 60, 20)
			w.shows(t, " saltern watch  "+pad(files(dir), 60-16-9, false)+"\x1b[0m") // the name, and the state at the right
			switch end {
			case "q":
				_, err = w.keyboard.WriteString("xq")
			case "Ctrl-C":
				_, err = w.keyboard.WriteString("\x03")
			case "signal":
				cancel()
			case "the job's end":
				put(t, dir, "llm-baseline/result.json", `{"seconds":60,"held_out":{"NLL":5.1},"finished":"2026-01-01T00:00:00Z"}`)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := <-w.ended; err != nil {
				t.Error(err)
			}
			after, err := unix.IoctlGetTermios(int(w.terminal.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal is not as it was (%v): %+v, now %+v", err, before, after)
			}
			w.shows(t, leave)
			seen := w.seen()
			if strings.Count(seen, enter) != 1 || strings.Count(seen, leave) != 1 || !strings.Contains(seen, "\x1b[38;5;") {
				t.Errorf("%q", seen)
			}
			if end == "the job's end" {
				w.shows(t, "took 1m00s")
			}
		})
	}
}

func files(dir string) string { return (&Files{Dir: dir}).Poll(time.Now()).Name }

// NO_COLOR has no colours, and a dumb terminal gets plain lines.
func TestPlainTerminals(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "llm-baseline/training.toml", settingsText("baseline"))
	put(t, dir, "llm-baseline/metrics.jsonl", record(5, 7)+record(10, 6))
	for _, c := range []struct {
		name, value, shows string
		not                string
	}{
		{"NO_COLOR", "1", "BASELINE step 10/100", "\x1b[1m"},
		{"TERM", "dumb", "BASELINE step 10/100  loss 6.0000", "\x1b"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w := watchOn(t, ctx, dir, map[string]string{c.name: c.value}, 80)
		w.shows(t, c.shows)
		cancel()
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(w.seen(), c.not) {
			t.Errorf("%s=%s: %q", c.name, c.value, w.seen())
		}
	}
}
