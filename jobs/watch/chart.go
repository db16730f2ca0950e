package watch

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"saltern/jobs/metrics"
	"saltern/jobs/report"
)

// curve is a training in the chart.
type curve struct {
	*Training
	loss, heldOut []report.Point
	pen           pen
	mark          rune // of held-out points
}

func (t *Training) curve() curve {
	c := curve{Training: t, loss: t.smoothed(), heldOut: t.points(metrics.ValLoss), pen: pen{helped, false, '*'}, mark: 'o'}
	if t.alone() && !strings.HasPrefix(t.Folder, "slm") {
		c.pen, c.mark = pen{baseline, true, '.'}, 'x'
	}
	return c
}

// least height of a chart: its legend, three rows of curve, axis and numbers.
const chartLeast = 6

// chart draws the loss of the training and of what it is compared with, w columns and h lines large. The steep beginning, which would
// flatten all the rest, is cut off at the top.
func (s *State) chart(t *Training, w, h int, look Look) []line {
	curves := []curve{t.curve()}
	if b := s.beside(t); b != nil {
		curves = append(curves, b.curve())
	} else {
		curves[0].pen.broken = false
	}
	x, y, ok := ranges(curves)
	if !ok || w < 20 {
		return []line{{{"  the loss is drawn once two of its values are there", dim}}}
	}
	rows := h - 3
	at, digits := report.Ticks(y.lo, y.hi, max(3, rows/3))
	labels := map[int]string{}
	left := 0
	for _, v := range at {
		row := int(math.Floor((y.hi - v) / (y.hi - y.lo) * float64(rows)))
		if row >= 0 && row < rows {
			labels[row] = strconv.FormatFloat(v, 'f', digits, 64)
			left = max(left, len(labels[row]))
		}
	}
	left += 2 // a column before and the axis behind
	c := newCanvas(w-left-1, rows, look.ASCII)
	c.curves(curves, x, y)
	lines := []line{legend(t, curves, look).cut(w)}
	for row := range rows {
		l := line{{pad(labels[row], left-1, true), dim}, {"│", dim}}
		if labels[row] != "" {
			l[1].text = "┤"
		}
		lines = append(lines, append(l, c.line(row)...))
	}
	return append(lines, steps(x.hi, left, c.w)...)
}

// span of an axis.
type extent struct{ lo, hi float64 }

// ranges are what the axes show.
func ranges(curves []curve) (x, y extent, ok bool) {
	for _, c := range curves {
		for _, p := range slices.Concat(c.loss, c.heldOut) {
			x.hi = max(x.hi, p.X)
		}
	}
	const steep = 0.2 // of the first one's steps, so that there is something of it to be seen
	from := steep * float64(curves[0].steps())
	y = extent{math.Inf(1), math.Inf(-1)}
	n := 0
	for _, c := range curves {
		for _, p := range slices.Concat(c.loss, c.heldOut) {
			if p.Y-p.Y == 0 && p.X >= from {
				y.lo, y.hi, n = min(y.lo, p.Y), max(y.hi, p.Y), n+1
			}
		}
	}
	air := max(0.04*(y.hi-y.lo), 1e-3*math.Abs(y.hi), 1e-6)
	y.lo, y.hi = y.lo-air, y.hi+air
	return x, y, n > 1 && x.hi > 0 && y.hi-y.lo < math.MaxFloat64
}

// curves draws them, the first one last and so on top.
func (c *canvas) curves(curves []curve, x, y extent) {
	w, h := c.dots()
	place := func(p report.Point) (float64, float64) {
		return p.X / x.hi * float64(w-1), (y.hi - p.Y) / (y.hi - y.lo) * float64(h-1)
	}
	if step, _ := curves[0].teacherLeft(); step > 0 && float64(step) <= x.hi {
		at, _ := place(report.Point{X: float64(step)})
		for row := range c.h {
			if c.ascii {
				c.mark(at, float64(row), '┊', dim)
			} else {
				c.mark(at, float64(4*row), '┊', dim)
			}
		}
	}
	for _, v := range slices.Backward(curves) {
		for i := range v.loss {
			x1, y1 := place(v.loss[i])
			if i == 0 {
				c.dot(int(math.Round(x1)), int(math.Round(y1)), v.pen)
				continue
			}
			x0, y0 := place(v.loss[i-1])
			c.stroke(x0, y0, x1, y1, v.pen)
		}
		for _, p := range v.heldOut {
			if p.Y-p.Y == 0 {
				x, y := place(p)
				c.mark(x, y, v.mark, v.pen.style)
			}
		}
	}
}

// legend says what is drawn: "nats per token  ⠒⠒⠒ SALT  ⠒ ⠒ BASELINE  o x held-out  ┊ the teacher left".
func legend(t *Training, curves []curve, look Look) line {
	l := line{{" nats per token", dim}}
	for _, c := range curves {
		stroke := "⠒⠒⠒"
		switch {
		case look.ASCII:
			stroke = string([]rune{c.pen.char, c.pen.char, c.pen.char})
		case c.pen.broken:
			stroke = "⠒ ⠒"
		}
		l.add(plain, "  ")
		l.add(c.pen.style, stroke+" "+c.Label)
	}
	l.add(plain, " ")
	for _, c := range curves {
		l.add(plain, " ")
		l.add(c.pen.style, string(c.mark))
	}
	l.add(dim, " held-out")
	switch step, planned := t.teacherLeft(); {
	case step == 0:
	case planned:
		l.add(dim, "  ┊ the teacher is to leave")
	default:
		l.add(dim, "  ┊ the teacher left")
	}
	return l
}

// steps is the horizontal axis: a line with ticks that ends in its unit, and the ticks' numbers below.
func steps(hi float64, left, w int) []line {
	axis := []rune(pad("", left-1, false) + "└" + strings.Repeat("─", w))
	numbers := []rune(pad("", left+w, false))
	unit := " steps"
	free := 0
	at, _ := report.Ticks(0, hi, max(2, w/12))
	for _, v := range at {
		label := strconv.FormatFloat(v+0, 'f', -1, 64) // not -0
		x := left + int(math.Round(v/hi*float64(w-1)))
		from := min(x-len(label)/2, len(numbers)-len(label))
		if from < free {
			continue
		}
		if v > 0 {
			axis[x] = '┴'
		}
		copy(numbers[from:], []rune(label))
		free = from + len(label) + 1
	}
	if w > 2*len(unit) {
		copy(axis[len(axis)-len(unit):], []rune(unit))
	}
	return []line{{{string(axis), dim}}, {{string(numbers), dim}}}
}
