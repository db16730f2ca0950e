package watch

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// What a terminal is told, all of it understood by xterm and its likes for decades; those that do not know the last, which keeps a
// picture from being seen half drawn, pass over it.
const (
	enter     = "\x1b[?1049h\x1b[?25l\x1b[?7l" // another screen, no cursor, no wrapping
	leave     = "\x1b[?7h\x1b[?25h\x1b[?1049l\x1b[0m"
	home      = "\x1b[H"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
	begin     = "\x1b[?2026h"
	end       = "\x1b[?2026l"
)

// Screen is a picture on a terminal that changes in place. Close it, also after a panic: until then the terminal is not as it was.
type Screen struct {
	out     io.Writer
	restore func() error // the input's mode
	shown   string
	columns int
	rows    int
	closed  bool
}

// OpenScreen takes over a terminal; its input, where that is one too, gives keys without an end of line and shows none of them.
func OpenScreen(out *os.File, in io.Reader) (*Screen, error) {
	s := &Screen{out: out, restore: func() error { return nil }}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		was, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		s.restore = func() error { return term.Restore(int(f.Fd()), was) }
	}
	if _, err := io.WriteString(out, enter); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Show draws the picture, if it is another than the one that stands there, for a terminal of that size.
func (s *Screen) Show(lines []string, columns, rows int) error {
	var b strings.Builder
	b.WriteString(begin + home)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + clearLine)
	}
	if len(lines) < rows {
		b.WriteString(clearRest)
	}
	b.WriteString(end)
	if b.String() == s.shown && columns == s.columns && rows == s.rows {
		return nil
	}
	s.shown, s.columns, s.rows = b.String(), columns, rows
	_, err := io.WriteString(s.out, s.shown)
	return err
}

// Close gives the terminal back. After the first time it does nothing.
func (s *Screen) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	_, err := io.WriteString(s.out, leave)
	if e := s.restore(); err == nil {
		err = e
	}
	return err
}

// quits reads keys until one of them says to quit: q, or Ctrl-C, which is a key where the input is raw. The channel is closed then;
// an input that ends does not mean that.
func quits(in io.Reader) <-chan struct{} {
	quit := make(chan struct{})
	go func() {
		keys := make([]byte, 64)
		for {
			n, err := in.Read(keys)
			for _, k := range keys[:n] {
				if k == 'q' || k == 'Q' || k == 3 {
					close(quit)
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return quit
}
