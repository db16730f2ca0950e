// Package progress tells a person how long work goes: one line that changes in place on a terminal, a plain line now and then
// anywhere else, as in a Slurm log.
//
// Only what a person sees is here; measurements that are kept are in jobs/metrics.
//
// [Line], [Bar] and [Left] are pure. [Meter] adds what can only be held: when it last wrote, and whether a live line is on the screen.
//
// Invariants:
//  1. Where the output is not a terminal, no control character is written (TestPlain).
//  2. On a terminal every message and the last sample stay readable: the live line is erased before anything else is written
//     (TestTerminal).
//  3. Time is an argument everywhere; nothing here reads a clock.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Intervals between two lines. On a terminal it is short enough to look alive and long enough not to cost anything.
const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 10 * time.Second
)

// Meter shows samples as they come. It may be used from several goroutines.
type Meter struct {
	mu      sync.Mutex
	w       io.Writer
	columns func() int // nil: not a terminal
	every   time.Duration

	last  time.Time // when something was last shown
	live  bool      // a live line stands on the screen
	shown Sample
}

// New returns a meter that writes to f. every is the interval between plain lines where f is not a terminal; 0: 10 s.
func New(f *os.File, every time.Duration) *Meter {
	fd := int(f.Fd())
	if os.Getenv("TERM") == "dumb" || !term.IsTerminal(fd) {
		return newMeter(f, nil, every)
	}
	return newMeter(f, func() int {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			return w
		}
		return 80
	}, every)
}

func newMeter(w io.Writer, columns func() int, every time.Duration) *Meter {
	switch {
	case columns != nil:
		every = liveEvery
	case every <= 0:
		every = plainEvery
	}
	return &Meter{w: w, columns: columns, every: every}
}

// Update shows a sample if the last one was shown long enough ago. Samples may come as fast as they like.
func (m *Meter) Update(now time.Time, s Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.IsZero() && now.Sub(m.last) < m.every {
		return
	}
	m.last, m.shown = now, s
	if m.columns == nil {
		m.print(Line(s))
		return
	}
	m.live = true
	fmt.Fprint(m.w, "\r\x1b[K", Bar(s, m.columns()))
}

// Message writes a line of its own, above the live line if there is one. It does not count as a sample.
func (m *Meter) Message(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erase()
	m.print(text)
	if m.columns != nil && !m.last.IsZero() {
		m.live = true
		fmt.Fprint(m.w, Bar(m.shown, m.columns()))
	}
}

// Done shows the last sample to stay, on a terminal without the bar. The meter can then begin anew.
func (m *Meter) Done(s Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erase()
	if m.last.IsZero() || m.columns != nil || m.shown != s { // a plain line that is there already says it
		m.print(Line(s))
	}
	m.last = time.Time{}
}

// Write makes the meter a destination for logs: whole lines, written as messages.
func (m *Meter) Write(p []byte) (int, error) {
	m.Message(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func (m *Meter) erase() {
	if m.live {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.live = false
	}
}

func (m *Meter) print(line string) { fmt.Fprintln(m.w, line) }
