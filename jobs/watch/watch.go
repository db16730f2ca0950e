package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"saltern/jobs/metrics"
	"saltern/jobs/progress"
)

// Options say what to watch, and where to show it.
type Options struct {
	Dir      string        // the run folder
	Last     string        // see Files
	Once     bool          // one picture, and the end
	Interval time.Duration // between two looks at the files; 0: 1 s on a terminal, 10 s where there are plain lines
	In       io.Reader
	Out      io.Writer
	Env      func(string) (string, bool)
}

// redraw is how often a picture is drawn: ages and what ranks say change between two looks at the files.
const redraw = 500 * time.Millisecond

// Run shows the job until it has ended, whoever watches quits, or ctx is canceled, which is no error.
func Run(ctx context.Context, o Options) error {
	v := &view{Options: o, files: &Files{Dir: o.Dir, Last: o.Last}, look: lookOf(o)}
	if v.state = v.files.Poll(time.Now()); v.state.Ended {
		return v.last()
	}
	v.live = Listen(o.Dir)
	defer v.live.Close()
	switch {
	case o.Once:
		v.live.Wait(ctx)
		v.poll()
		return v.last()
	case v.terminal() != nil:
		return v.draw(ctx)
	}
	return v.lines(ctx)
}

// view is a job that is watched.
type view struct {
	Options
	files *Files
	live  *Live
	look  Look
	state State
}

// poll brings the state up to date.
func (v *view) poll() {
	v.state = v.files.Poll(time.Now())
	v.live.Add(&v.state)
}

// last writes a picture that stays.
func (v *view) last() error {
	w, h := v.size()
	if v.terminal() != nil {
		h-- // for the prompt below
	}
	_, err := io.WriteString(v.Out, strings.Join(Picture(v.state, w, h, v.look), "\n")+"\n")
	return err
}

// lines writes a plain line now and then.
func (v *view) lines(ctx context.Context) error {
	every := v.Interval
	if every <= 0 {
		every = 10 * time.Second
	}
	for {
		v.poll()
		if v.state.Ended {
			return v.last()
		}
		if _, err := fmt.Fprintln(v.Out, Line(v.state)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// draw keeps a picture on the terminal.
func (v *view) draw(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	screen, err := OpenScreen(v.terminal(), v.In)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.Close()) }() // a panic comes by here too
	every := v.Interval
	if every <= 0 {
		every = time.Second
	}
	quit := quits(v.In)
	looks := v.looks(ctx, every)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		s := v.state
		s.Now, s.Notes = time.Now(), slices.Clone(s.Notes)
		v.live.Add(&s)
		if s.Ended {
			v.state = s
			return errors.Join(screen.Close(), v.last())
		}
		w, h := v.size()
		if err := screen.Show(Picture(s, w, h, v.look), w, h); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-quit:
			return nil
		case l := <-looks:
			if l.panic != "" {
				panic(l.panic) // here, where the terminal is given back
			}
			v.state = l.State
		case <-tick.C:
		}
	}
}

// look is what one look at the files has shown.
type look struct {
	State
	panic string
}

// looks looks at the files again and again, aside: a file system over a network may keep one waiting.
func (v *view) looks(ctx context.Context, every time.Duration) <-chan look {
	c := make(chan look)
	poll := func() (l look) {
		defer func() {
			if p := recover(); p != nil {
				l.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		l.State = v.files.Poll(time.Now())
		return l
	}
	go func() {
		for {
			l := poll()
			select {
			case <-ctx.Done():
				return
			case c <- l:
			}
			time.Sleep(every)
		}
	}()
	return c
}

// terminal is the output where pictures can be drawn on it; nil where not.
func (v *view) terminal() *os.File {
	f, ok := v.Out.(*os.File)
	if name, _ := v.Env("TERM"); !ok || name == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// size is the terminal's, else what COLUMNS and LINES say, else 80 columns and 24 lines.
func (v *view) size() (w, h int) {
	if f := v.terminal(); f != nil {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	w, h = 80, 24
	for name, into := range map[string]*int{"COLUMNS": &w, "LINES": &h} {
		text, _ := v.Env(name)
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			*into = n
		}
	}
	return w, h
}

// lookOf is what the output can show: colours on a terminal, unless NO_COLOR is set; UTF-8 where the locale is one of it.
func lookOf(o Options) Look {
	var look Look
	if f, ok := o.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		no, _ := o.Env("NO_COLOR")
		name, _ := o.Env("TERM")
		look.Color = no == "" && name != "dumb"
	}
	look.ASCII = true
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale, _ := o.Env(name); locale != "" {
			locale = strings.ToLower(locale)
			look.ASCII = !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
			break
		}
	}
	return look
}

// Line is the state in one line, for logs.
func Line(s State) string {
	t := s.current()
	health, _ := s.health()
	if t == nil {
		return clean(s.Name) + ": " + strings.Join(append([]string{health}, s.Notes...), "; ")
	}
	f := s.figures(t)
	sample := progress.Sample{
		Unit: t.Label + " step", Done: f.step, Total: f.total, TokensPerSec: max(0, f.tokens), Left: t.left(f.step, s.Now),
	}
	if f.loss == f.loss {
		sample.Loss = f.loss
	}
	if f.each > 0 {
		sample.Each = time.Duration(f.each * 1e6)
	}
	var notes []string
	add := func(ok bool, format string, a ...any) {
		if ok {
			notes = append(notes, fmt.Sprintf(format, a...))
		}
	}
	mfu, _ := t.last(metrics.MFU)
	val, at := t.last(metrics.ValLoss)
	add(mfu == mfu, "MFU %.1f%%", 100*mfu)
	add(val == val, "held-out %.4f at %d", val, at)
	add(!t.alone() && f.w == f.w, "w %.3f", f.w)
	add(f.tau == f.tau, "tau %.2f", f.tau)
	add(len(s.Ranks) > 0, "%d ranks", len(s.Ranks))
	for _, r := range s.Ranks {
		why := straggles(r, s.Ranks, s.Now)
		add(why != "", "rank %d %s", r.Rank, why)
	}
	add(health != "running", "%s", health)
	for _, n := range s.Notes {
		add(true, "%s", clean(n))
	}
	sample.Note = strings.Join(notes, "  ")
	return progress.Line(sample)
}
