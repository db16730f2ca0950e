package report

import (
	"fmt"
	"math"
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
	if above {
		rowHeight = 40
	} else {
		for _, e := range c.Rows {
			left, right = max(left, textWidth(e.Label, font)+14), max(right, textWidth(estimateText(e), font)+14)
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
		row := drawEstimate(e, x, y, rowHeight, left, above, s)
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
	p.Describe = describeRows(c)
	return p, true
}

func drawEstimate(e Estimate, x axis, y, height, left float64, above bool, s size) rowAt {
	middle := y + height/2
	text := estimateText(e)
	row := rowAt{LabelX: "2", LabelY: coordinate(middle), Text: text, TextX: coordinate(s.w - 2), TextY: coordinate(middle),
		Title: e.Label + " · " + text}
	if above {
		row.LabelY, row.TextY = coordinate(y+11), coordinate(y+11)
		row.Label = fit(e.Label, bold*font, s.w-textWidth(text, font)-16)
		middle = y + 28
	} else {
		row.Label = fit(e.Label, bold*font, left-4)
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

// estimateText writes a value with its interval, in as many digits as the interval gives meaning to.
func estimateText(e Estimate) string {
	if !finite(e.Value) {
		return unmeasured
	}
	digits := 3
	if finite(e.Low) && finite(e.High) {
		digits = Digits((e.High - e.Low) / 2)
	}
	text := grouped(e.Value, digits)
	if finite(e.Low) && finite(e.High) {
		text += fmt.Sprintf(" [%s, %s]", grouped(e.Low, digits), grouped(e.High, digits))
	}
	return text
}

// Digits is how many figures after the point a number with that half width of its interval deserves: two of the half width's
// own, at least one and at most four.
func Digits(half float64) int {
	if !(half > 0) || math.IsInf(half, 0) {
		return 3
	}
	return int(max(1, min(4, 1-math.Floor(math.Log10(half)))))
}

func describeRows(c Chart) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, with intervals.", c.X)
	for _, e := range c.Rows {
		b.WriteString(" ")
		if e.Group != "" {
			b.WriteString(e.Group + ", ")
		}
		fmt.Fprintf(&b, "%s: %s.", e.Label, estimateText(e))
	}
	return b.String()
}
