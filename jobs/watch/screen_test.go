package watch

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	restored := 0
	s := &Screen{out: &out, restore: func() error { restored++; return nil }}
	show := func(w, h int, lines ...string) string {
		out.Reset()
		if err := s.Show(lines, w, h); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := show(80, 24, "one", "two"); got != begin+home+"one"+clearLine+"\r\ntwo"+clearLine+clearRest+end {
		t.Errorf("%q", got)
	}
	if got := show(80, 24, "one", "two"); got != "" {
		t.Errorf("the same again is drawn: %q", got)
	}
	if got := show(100, 24, "one", "two"); got == "" {
		t.Error("another size is not drawn")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if restored != 1 || strings.Count(out.String(), leave) != 1 {
		t.Errorf("restored %d times: %q", restored, out.String())
	}
}

// A panic leaves the terminal as it was.
func TestPanic(t *testing.T) {
	var out bytes.Buffer
	restored := false
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		s := &Screen{out: &out, restore: func() error { restored = true; return nil }}
		defer s.Close()
		panic("on purpose")
	}()
	if !restored || !strings.Contains(out.String(), leave) {
		t.Error("the terminal is not as it was")
	}
}

func TestQuits(t *testing.T) {
	for keys, want := range map[string]bool{"q": true, "xyQ": true, "\x03": true, "xyz": false, "": false} {
		in, keyboard := io.Pipe()
		quit := quits(in)
		go func() {
			_, _ = keyboard.Write([]byte(keys))
			keyboard.Close()
		}()
		if want {
			<-quit
			continue
		}
		select {
		case <-quit:
			t.Errorf("%q quits", keys)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
