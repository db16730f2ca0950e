package jobs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// rankProcess is one of the processes that a launch starts.
type rankProcess struct {
	rank int
	log  string // of all but rank 0
	cmd  *exec.Cmd
	file *os.File
	from int64 // where this start's part of the log begins
	when time.Time
	err  error // how it ended
	done bool
}

// How long the ranks may take to end, once one has failed and they were asked to; and how long they are left alone before that, as they
// learn of a failure by themselves, and say more of it then.
// The first rank may be saving what the others have left to it, after the loss of one.
const (
	endWithin  = 10 * time.Second
	saveWithin = 5 * time.Minute
	together   = 2 * time.Second
)

// run starts the ranks and waits until all have ended.
func (l *launch) run(ctx context.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1)
	defer signal.Stop(signals)
	// A rank is killed when the thread that started it ends: this one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, p := range l.ranks {
		if err := l.start(p); err != nil {
			l.signal(syscall.SIGKILL)
			l.wait(context.Background(), nil)
			return fmt.Errorf("rank %d did not start: %w", p.rank, err)
		}
	}
	asked := l.wait(ctx, signals)
	for _, p := range l.ranks {
		if p.file != nil {
			_ = p.file.Close() // the rank wrote it, not this process
		}
	}
	return l.outcome(asked)
}

// start starts one rank.
func (l *launch) start(p *rankProcess) error {
	p.cmd = exec.Command(l.program, l.args...)
	p.cmd.Env = append(os.Environ(), l.environment(p.rank)...)
	p.cmd.Stdout, p.cmd.Stderr = l.io.Out, l.io.Err
	// A group of its own, so that Ctrl-C reaches it once, through this process; and no life without this one.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.rank > 0 {
		f, err := os.OpenFile(p.log, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
		if err != nil {
			return err
		}
		p.file = f
		if p.from, err = f.Seek(0, io.SeekEnd); err != nil {
			return err
		}
		p.cmd.Stdout, p.cmd.Stderr = f, f
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		err := p.cmd.Wait()
		p.when = time.Now()
		p.err = err
		l.ended <- p
	}()
	return nil
}

// mayReplace says that a rank has ended in a way that another process in its place may not, where the others go on meanwhile.
func (l *launch) mayReplace(p *rankProcess) bool {
	ownFault := p.err != nil && (p.signaled() || slices.Contains([]Kind{Failed, NoDevice, NoMemory, RankLost}, p.code()))
	return ownFault && p.rank > 0 && l.elastic && l.restarts > 0
}

// replace starts a rank again, unless the job has ended meanwhile.
func (l *launch) replace(p *rankProcess) bool {
	if l.ranks[0].done || l.restarts == 0 {
		return false
	}
	l.restarts--
	again := &rankProcess{rank: p.rank, log: p.log}
	err := l.start(again)
	if err != nil {
		fmt.Fprintf(l.io.Err, "rank %d (process %d) %s, and did not start again: %v\n", p.rank, p.cmd.Process.Pid, p.how(), err)
		return false
	}
	_ = p.file.Close() // the rank wrote it, not this process
	l.ranks[p.rank] = again
	fmt.Fprintf(l.io.Err, "rank %d (process %d) %s; process %d comes in its place, and %d more may\n", p.rank, p.cmd.Process.Pid, p.how(), again.cmd.Process.Pid, l.restarts)
	return true
}

// saving is the first rank, where it may be at work on a checkpoint: another is lost.
func (l *launch) saving() []*rankProcess {
	for _, p := range l.ranks {
		if p.done && p.err != nil && (p.signaled() || p.code() == Requeue) {
			return l.ranks[:1]
		}
	}
	return nil
}

// signal sends a signal to all ranks that are there, but for some.
func (l *launch) signal(s syscall.Signal, but ...*rankProcess) {
	for _, p := range l.ranks {
		if p.cmd != nil && p.cmd.Process != nil && !p.done && !slices.Contains(but, p) {
			_ = p.cmd.Process.Signal(s) // an error says that it has ended
		}
	}
}

// wait returns when all ranks that were started have ended. It passes signals on, the second one as a kill, and ends the others once one has
// failed. asked says that a signal came.
func (l *launch) wait(ctx context.Context, signals <-chan os.Signal) (asked bool) {
	left := 0
	for _, p := range l.ranks {
		if p.cmd != nil && p.cmd.Process != nil {
			left++
		}
	}
	var stop, kill, killFirst, unasked <-chan time.Time
	var passed os.Signal // to the ranks, before it came by the other way
	canceled := ctx.Done()
	for left > 0 {
		select {
		case p := <-l.ended:
			p.done = true
			left--
			if l.mayReplace(p) { // not at once: it may be the first of all that end
				time.AfterFunc(together, func() { l.again <- p })
			}
			if p.rank == 0 && stop == nil && kill == nil && l.elastic { // of who comes in another's place nobody knows any more
				stop = time.After(together + l.heartbeat)
			}
			if p.err != nil && stop == nil && kill == nil && (!l.elastic || l.ranks[0].done) {
				learn := time.Duration(0)
				if p.signaled() {
					learn = l.heartbeat
				}
				stop = time.After(together + learn)
			}
		case p := <-l.again:
			if !asked && l.replace(p) {
				left++
			}
		case s := <-signals:
			if s == passed { // it was known of already
				passed = nil
				continue
			}
			if asked && s != syscall.SIGUSR1 { // of which a queue may send several
				s = syscall.SIGKILL
			}
			asked = true
			l.signal(s.(syscall.Signal))
		case <-canceled: // by a signal, which comes by the other way too, or has come
			canceled, unasked = nil, time.After(together)
		case <-unasked: // or not by one
			if !asked {
				asked = true
				s, by := syscall.SIGTERM, Stop{}
				if errors.As(context.Cause(ctx), &by) {
					s, passed = by.Signal.(syscall.Signal), by.Signal
				}
				l.signal(s)
			}
		case <-stop:
			l.ending = time.Now()
			l.signal(syscall.SIGTERM)
			stop, kill, killFirst = nil, time.After(endWithin), time.After(saveWithin)
		case <-kill:
			l.signal(syscall.SIGKILL, l.saving()...)
		case <-killFirst:
			l.signal(syscall.SIGKILL)
		}
	}
	return asked
}

// outcome is the error of the rank that is to blame: of those that failed by themselves, before the others were ended, one that a signal
// killed, else one that did not just lose another, else any. Of several like that it is the first, or where they ended together, as when
// all were told of a failure, the one of the lowest number.
func (l *launch) outcome(asked bool) error {
	var failed []*rankProcess
	for _, p := range l.ranks {
		if p.err != nil {
			failed = append(failed, p)
		}
	}
	if first := l.ranks[0]; len(failed) == 0 || l.elastic && first.err == nil {
		return nil
	} else if l.elastic && first.code() != RankLost {
		return l.failure(first, asked)
	}
	guilt := func(p *rankProcess) int {
		switch {
		case !l.ending.IsZero() && p.when.After(l.ending):
			return 4
		case p.signaled():
			return 0
		case p.code() == RankLost:
			return 3
		case p.code() == Requeue:
			return 2
		}
		return 1
	}
	blame := slices.MinFunc(failed, func(p, q *rankProcess) int { return cmp.Or(cmp.Compare(guilt(p), guilt(q)), p.when.Compare(q.when)) })
	for _, p := range failed { // by rank
		if guilt(p) == guilt(blame) && p.when.Sub(blame.when) < together {
			return l.failure(p, asked)
		}
	}
	return l.failure(blame, asked)
}

// code is what kind of failure ended the process; OK where a signal did, or none.
func (p *rankProcess) code() Kind { return max(OK, Kind(p.cmd.ProcessState.ExitCode())) }

// signaled says that a signal ended the process.
func (p *rankProcess) signaled() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// failure words how a rank ended, and why that is the end of all.
func (l *launch) failure(p *rankProcess, asked bool) error {
	kind, how := Failed, p.how()
	if e := (*exec.ExitError)(nil); errors.As(p.err, &e) && !p.signaled() {
		kind = Kind(e.ExitCode())
	}
	if asked && (kind == Interrupted || kind == Requeue) {
		return fail(kind, "all %d ranks have stopped", len(l.ranks))
	}
	if err := l.lost(p, how); err != nil {
		return err
	}
	said := ""
	if p.rank > 0 {
		said = fmt.Sprintf("; its log is %s", p.log)
		if lines := p.tail(); lines != "" {
			said += ", which ends with\n" + lines
		}
	}
	return fail(kind, "rank %d of %d (process %d) %s, and so the others were ended%s", p.rank, len(l.ranks), p.cmd.Process.Pid, how, said)
}

// how words how the process ended.
func (p *rankProcess) how() string {
	how := p.err.Error()
	if e := (*exec.ExitError)(nil); errors.As(p.err, &e) && !p.signaled() {
		return fmt.Sprintf("ended with exit code %d (%s)", e.ExitCode(), Kind(e.ExitCode()))
	} else if p.signaled() {
		return "was ended by a signal: " + strings.TrimPrefix(how, "signal: ")
	}
	return how
}

// lost words the end of a job that is to be started again: p was lost, or noticed that another was. nil: this is not how it ended. Where
// the first rank lives, it has named the one that was lost.
func (l *launch) lost(p *rankProcess, how string) error {
	i := slices.IndexFunc(l.ranks, func(q *rankProcess) bool { return q.err != nil && q.code() == Requeue })
	switch {
	case i < 0 || !p.signaled() && p.code() != Requeue:
		return nil
	case i == 0 && p.signaled():
		return fail(Requeue, "process %d %s; the other ranks have stopped, and the same command goes on", p.cmd.Process.Pid, how)
	case i == 0:
		return fail(Requeue, "the ranks have stopped, and the same command goes on")
	case p.signaled():
		return fail(Requeue, "rank %d of %d (process %d) %s; the others have stopped, and the same command goes on from the last checkpoint", p.rank, len(l.ranks), p.cmd.Process.Pid, how)
	}
	return fail(Requeue, "the ranks have stopped, and the same command goes on from the last checkpoint; the log %s ends with\n%s", l.ranks[i].log, l.ranks[i].tail())
}

// tail is the end of what a rank said since this start, indented.
func (p *rankProcess) tail() string {
	const most, lines = 1 << 14, 8
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(p.from, info.Size()-most)
	text := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(text, from)
	list := bytes.Split(bytes.TrimRight(text[:n], "\n"), []byte("\n"))
	var b strings.Builder
	for _, line := range list[max(0, len(list)-lines):] {
		if len(line) > 0 {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
