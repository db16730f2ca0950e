package watch

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"saltern/cluster/status"
	"saltern/jobs/metrics"
	"saltern/jobs/progress"
)

// Picture is the state as at most h lines of text, each at most w columns wide.
func Picture(s State, w, h int, look Look) []string {
	var out []string
	for _, l := range s.picture(w, h, look) {
		out = append(out, l.cut(w).write(look))
	}
	return out[:min(len(out), max(h, 0))]
}

// picture lays the parts out from top to bottom: where the job stands, its curve, its ranks, what it said. What is below the
// curve gives way to it first.
func (s *State) picture(w, h int, look Look) []line {
	t := s.current()
	lines := []line{s.title(w)}
	if t == nil {
		for _, n := range s.Notes {
			lines = append(lines, line{{" " + clean(n), dim}})
		}
		return append(lines, s.logLines(w, h-len(lines))...)
	}
	if len(s.Trainings) > 1 && h >= 18 {
		lines = append(lines, s.trainings(w))
	}
	f := s.figures(t)
	for _, l := range []line{f.bar(w), f.stage(w), f.losses(w), f.speed(w)} {
		if l.width() > 0 {
			lines = append(lines, l)
		}
	}
	for _, n := range s.Notes {
		lines = append(lines, line{{" " + clean(n), warn}})
	}
	rest := h - len(lines)
	ranks := s.rankLines(w, min(1+len(s.Ranks), max(0, rest-chartLeast-2), max(3, rest/3)))
	said := s.logLines(w, min(1+len(s.Log.Lines), max(0, rest-chartLeast-len(ranks)), max(2, rest/6), 7))
	if n := rest - len(ranks) - len(said); n >= chartLeast {
		lines = append(lines, s.chart(t, w, n, look)...)
	}
	return slices.Concat(lines, ranks, said)
}

// title names the run, and says on the right whether it is alive.
func (s *State) title(w int) line {
	state, look := s.health()
	room := w - width(state) - 2
	name := cut(" saltern watch  "+clean(s.Name), room)
	return line{{pad(name, room, false), bold}, {" " + state, look}}.cut(w)
}

// health says in few words whether the job is running.
func (s *State) health() (string, style) {
	t := s.current()
	heard := slices.ContainsFunc(s.Ranks, func(r Rank) bool { return !r.silent(s.Now) })
	switch {
	case s.Ended:
		return "ended", bold
	case t == nil:
		return "nothing has begun yet", warn
	case heard:
		return "running", good
	}
	age := s.Now.Sub(t.Changed)
	switch {
	case t.Outcome != nil:
		return t.Label + " is done, nothing has begun since", warn
	case age > t.patience():
		return "nothing new for " + progress.Span(age.Truncate(time.Second)), warn
	case len(t.Records) == 0:
		return "starting", good
	}
	return "running", good
}

// trainings says of each training of the run how far it is. Where there are many, the latest are named.
func (s *State) trainings(w int) line {
	var list []field
	for i := range s.Trainings {
		t := &s.Trainings[i]
		text := fmt.Sprintf("%d/%d", t.steps(), t.Settings.Train.Steps)
		if t.Outcome != nil {
			text = fmt.Sprintf("done %.4f", t.Outcome.HeldOut.NLL)
		}
		look := plain
		if t == s.current() {
			look = bold
		}
		list = append(list, field{line{{t.Label + " ", look}, {text, look}}, i})
	}
	return slices.Concat(line{{" ", plain}}, fields(w-1, " · ", list...))
}

// figures are where a training stands: from its records, or newer from the ranks that train it.
type figures struct {
	s           *State
	t           *Training
	ranks       []Rank // that train it and are heard
	step, total int64
	loss, w     float64 // NaN where there is none, as are all of these
	tau, tauErr float64
	tokens      float64 // per second, of all ranks
	each        float64 // milliseconds of a step
}

func (s *State) figures(t *Training) figures {
	f := figures{s: s, t: t, ranks: s.students(t), step: t.steps(), total: t.Settings.Train.Steps, each: math.NaN()}
	f.loss, _ = t.last(metrics.TrainLoss)
	f.w, _ = t.last(metrics.KDWeight)
	f.tau, _ = t.last(metrics.Tau)
	f.tauErr, _ = t.last(metrics.TauError)
	f.tokens, _ = t.last(metrics.TokensPerSec)
	if f.tokens > 0 {
		f.each = 1000 * float64(t.Settings.Train.Batch*t.Settings.Train.Sequence) / f.tokens
	}
	if len(f.ranks) == 0 || t.Outcome != nil {
		return f
	}
	first := f.ranks[0]
	var each []float64
	f.tokens = 0
	for _, r := range f.ranks {
		f.tokens += r.TokensPerSec
		each = append(each, r.StepMS)
	}
	f.each = median(each)
	if first.Step >= f.step {
		f.step, f.loss, f.w = first.Step, first.Loss, first.W
		if first.Tau != nil && *first.Tau != f.tau {
			f.tau, f.tauErr = *first.Tau, math.NaN()
		}
	}
	return f
}

// bar is the training's progress and what is left of it.
func (f figures) bar(w int) line {
	head := fmt.Sprintf(" %s step %d/%d ", f.t.Label, f.step, f.total)
	part := 0.0
	if f.total > 0 {
		part = max(0, min(1, float64(f.step)/float64(f.total)))
	}
	tail := fmt.Sprintf(" %.0f%%", math.Floor(100*part))
	switch left := f.t.left(f.step, f.s.Now); {
	case f.t.Outcome != nil:
		tail += "  took " + progress.Span(time.Duration(f.t.Outcome.Seconds*float64(time.Second)))
	case left > 0:
		tail += "  " + progress.Span(left) + " left"
	}
	n := min(w-width(head)-width(tail)-1, 60)
	l := line{{head, bold}}
	if n >= 5 {
		full := int(math.Round(part * float64(n)))
		l = append(l, span{strings.Repeat("█", full), f.t.curve().pen.style}, span{strings.Repeat("░", n-full), dim})
	}
	return append(l, span{tail, bold})
}

// stage says whether the teacher helps, and how much.
func (f figures) stage(w int) line {
	c := f.t.Settings.Distill
	step, planned := f.t.teacherLeft()
	words, until := "stage 1: the teacher helps", ""
	switch {
	case f.t.alone():
		words = "no teacher"
	case step > 0 && !planned:
		words = fmt.Sprintf("stage 2: alone since step %d", step)
	case planned:
		until = fmt.Sprintf("up to step %d", step)
	case c.Method == "rkd":
		words, until = "the teacher helps", "to the end"
	default:
		until = "until it leaves by itself"
	}
	list := []field{{line{{words, plain}}, 9}, {line{{until, plain}}, 4}}
	if !f.t.alone() && f.w == f.w {
		list = append(list, field{line{{fmt.Sprintf("w %.3f", f.w), plain}}, 8})
	}
	if c.Transition == "auto" && f.tau == f.tau {
		text := fmt.Sprintf("tau %.2f", f.tau)
		if f.tauErr == f.tauErr {
			text += fmt.Sprintf(" (error %.2f)", f.tauErr)
		}
		list = append(list, field{line{{text, plain}}, 7})
	}
	if kd, at := f.t.last(metrics.KDLoss); kd == kd && at == f.t.steps() {
		list = append(list, field{line{{fmt.Sprintf("KL from the teacher %.3f", kd), plain}}, 3})
	}
	return slices.Concat(line{{" ", plain}}, fields(w-1, " · ", list...))
}

// losses are the training's, and what they are beside BASELINE's.
func (f figures) losses(w int) line {
	var list []field
	add := func(rank int, s style, format string, a ...any) {
		list = append(list, field{line{{fmt.Sprintf(format, a...), s}}, rank})
	}
	if f.loss == f.loss && f.loss != 0 {
		add(8, plain, "loss %.3f", f.loss)
	}
	if smooth := f.t.smoothed(); len(smooth) > 0 {
		add(5, plain, "smoothed %.3f", smooth[len(smooth)-1].Y)
	}
	if v, at := f.t.last(metrics.ValLoss); v == v {
		add(9, bold, "held-out %.4f at %d", v, at)
		if b := f.s.beside(f.t); b != nil && b.at(at) == b.at(at) {
			other := b.at(at)
			add(7, plain, "%s %.4f there", b.Label, other)
			switch {
			case v < other:
				add(6, good, "−%.4f", other-v)
			case v > other:
				add(6, warn, "+%.4f", v-other)
			}
		}
	}
	if lr, _ := f.t.last(metrics.LR); lr == lr {
		add(4, plain, "lr %.1e", lr)
	}
	if n, _ := f.t.last(metrics.Skipped); n > 0 {
		add(8, warn, "%.0f steps skipped", n)
	}
	if s, at := f.t.last(metrics.CheckSeconds); s == s {
		add(2, plain, "devices right at %d", at)
	}
	if len(list) == 0 {
		return nil
	}
	return slices.Concat(line{{" ", plain}}, fields(w-1, " · ", list...))
}

// speed is how fast it goes, over how many ranks.
func (f figures) speed(w int) line {
	var list []field
	add := func(rank int, s style, text string) { list = append(list, field{line{{text, s}}, rank}) }
	if f.tokens > 0 {
		add(9, plain, progress.Scaled(f.tokens, "k")+"tok/s")
	}
	if f.each > 0 {
		add(5, plain, progress.Each(time.Duration(f.each*1e6))+" a step")
	}
	if mfu, _ := f.t.last(metrics.MFU); mfu == mfu {
		add(8, plain, fmt.Sprintf("MFU %.1f%%", 100*mfu))
	}
	if n := len(f.s.Ranks); n > 0 {
		wire, teachers, stragglers := math.NaN(), 0, 0
		for _, r := range f.s.Ranks {
			if !r.silent(f.s.Now) && r.SentPerSec == r.SentPerSec {
				if wire != wire {
					wire = 0
				}
				wire += r.SentPerSec
			}
			if r.Role == status.Teacher {
				teachers++
			}
			if straggles(r, f.s.Ranks, f.s.Now) != "" {
				stragglers++
			}
		}
		if wire == wire {
			add(6, plain, "wire "+rated(wire))
		}
		text := "1 rank"
		if n > 1 {
			text = fmt.Sprintf("%d ranks", n)
		}
		switch teachers {
		case 0:
		case 1:
			text += " (1 teacher)"
		default:
			text += fmt.Sprintf(" (%d teachers)", teachers)
		}
		add(7, plain, text)
		if stragglers > 0 {
			add(8, warn, fmt.Sprintf("%d straggling", stragglers))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return slices.Concat(line{{" ", plain}}, fields(w-1, " · ", list...))
}

// logLines are the last lines of the log in h lines, with the file's name above.
func (s *State) logLines(w, h int) []line {
	if h < 2 || len(s.Log.Lines) == 0 {
		return nil
	}
	head := " " + clean(s.Log.Name) + " "
	lines := []line{{{cut(head, w), dim}}}
	for _, text := range s.Log.Lines[max(0, len(s.Log.Lines)-h+1):] {
		if at, rest, ok := strings.Cut(text, " "); ok { // times as the watch has them
			if when, err := time.Parse(time.RFC3339, at); err == nil {
				text = when.In(s.Now.Location()).Format("15:04:05") + " " + rest
			}
		}
		lines = append(lines, line{{" " + cut(text, w-1), plain}})
	}
	return lines
}
