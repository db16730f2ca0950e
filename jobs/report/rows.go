package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// rowAt is an estimate as the template draws it, or a heading above some.
type rowAt struct {
	Style                string
	LabelX, LabelY       string
	Label                string
	Heading              bool
	TextX, TextY, Text   string // the number, to the right
	X, Y, Bar            string // the dot and its interval; X is empty where there is no value
	Each                 []string
	Title                string
	Stripe, StripeHeight string // y and height of a background; empty for none
}

// drawRows lays estimates out, one below the other, each with its name at the left and its number at the right. Where the
// picture is narrow, both stand above the interval.
func drawRows(c Chart, style map[string]string, id string, s size) (p picture, ok bool) {
	x := axis{lo: math.Inf(1), hi: math.Inf(-1)}
	reach := func(values ...float64) {
		for _, v := range values {
			if finite(v) {
				x.lo, x.hi = min(x.lo, v), max(x.hi, v)
			}
		}
	}
	for _, e := range c.Rows {
		if finite(e.Value) {
			reach(e.Value, e.Low, e.High)
			reach(e.Each...)
			ok = true
		}
	}
	if !ok {
		return picture{}, false
	}
	for _, m := range c.Marks {
		reach(m.X)
	}
	x.widen(0)
	x.pad(0.04)

	above := s.class != wide.class // labels stand above
	rowHeight, left, right := 25.0, 0.0, 0.0
	digits := rowDigits(c.Rows)
	if above {
		rowHeight = 40
	} else {
		for _, e := range c.Rows {
			left, right = max(left, textWidth(e.Label, font)+14), max(right, textWidth(estimateText(e, digits), font)+14)
		}
		left, right = min(left, s.w*0.34), min(right, s.w*0.3)
	}
	x.from, x.to = left+6, s.w-right-6
	p = picture{ID: id, Class: s.class, W: s.w}
	top := 6 + 18*float64(p.placeMarks(c.Marks, x, s.w, 14))
	y := top
	group := ""
	for i, e := range c.Rows {
		if e.Group != group && e.Group != "" {
			y += 4
			p.Rows = append(p.Rows, rowAt{Heading: true, Label: fit(e.Group, bold*font, s.w-10), LabelX: "2", LabelY: coordinate(y + 13)})
			y += 22
		}
		group = e.Group
		row := drawEstimate(e, estimateText(e, digits), x, y, rowHeight, left, above, s)
		row.Style = style[e.Name]
		if i%2 == 1 && !above {
			row.Stripe, row.StripeHeight = coordinate(y), coordinate(rowHeight)
		}
		p.Rows = append(p.Rows, row)
		y += rowHeight
	}
	p.H = y + 44
	for i := range p.Marks {
		p.Marks[i].Top = coordinate(top)
	}
	p.Left, p.Right, p.Top, p.Bottom = coordinate(x.from), coordinate(x.to), coordinate(top), coordinate(y)
	p.InnerW, p.InnerH = coordinate(x.to-x.from), coordinate(y-top)
	var exponent int
	p.XTicks, exponent = x.marks(s.xs)
	p.XTitle = fit(axisTitle(c.X, exponent), font, s.w-10)
	p.Describe = describeRows(c, digits)
	return p, true
}

func drawEstimate(e Estimate, text string, x axis, y, height, left float64, above bool, s size) rowAt {
	middle := y + height/2
	row := rowAt{LabelX: "2", LabelY: coordinate(middle), Text: text, TextX: coordinate(s.w - 2), TextY: coordinate(middle),
		Title: e.Label + " · " + text}
	if above {
		row.LabelY, row.TextY = coordinate(y+11), coordinate(y+11)
		row.Label = fit(e.Label, font, s.w-textWidth(text, font)-16)
		middle = y + 28
	} else {
		row.Label = fit(e.Label, font, left-4)
	}
	if !finite(e.Value) {
		return row
	}
	row.X, row.Y = coordinate(x.at(e.Value)), coordinate(middle)
	if finite(e.Low) && finite(e.High) {
		row.Bar = fmt.Sprintf("M%s %sH%s", coordinate(x.at(e.Low)), row.Y, coordinate(x.at(e.High)))
	}
	for _, v := range e.Each {
		if finite(v) {
			row.Each = append(row.Each, coordinate(x.at(v)))
		}
	}
	return row
}

// rowDigits is how many figures after the point a chart's estimates are written with: what half of their intervals deserve.
func rowDigits(rows []Estimate) int {
	var halves []float64
	for _, e := range rows {
		if half := (e.High - e.Low) / 2; half > 0 {
			halves = append(halves, half)
		}
	}
	if len(halves) == 0 {
		return 4
	}
	slices.Sort(halves)
	return Digits(halves[len(halves)/2])
}

// estimateText writes a value with its interval.
func estimateText(e Estimate, digits int) string {
	if !finite(e.Value) {
		return unmeasured
	}
	text := grouped(e.Value, digits)
	if finite(e.Low) && finite(e.High) {
		text += fmt.Sprintf(" [%s, %s]", grouped(e.Low, digits), grouped(e.High, digits))
	}
	return text
}

// Digits is how many figures after the point a number with that half width of its interval deserves: one of the half width's
// own, two where that would be 1 or 2. At least one and at most four.
func Digits(half float64) int {
	if !(half > 0) || math.IsInf(half, 0) {
		return 4
	}
	return int(max(1, min(4, math.Ceil(-math.Log10(half/3)))))
}

func describeRows(c Chart, digits int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, with intervals.", c.X)
	for _, e := range c.Rows {
		b.WriteString(" ")
		if e.Group != "" {
			b.WriteString(e.Group + ", ")
		}
		fmt.Fprintf(&b, "%s: %s.", e.Label, estimateText(e, digits))
	}
	return b.String()
}
