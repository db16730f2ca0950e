package report

import (
	"fmt"
	"math"
	"strings"
)

// size is a picture's size and what depends on it. One unit is one pixel of the screen that it is meant for.
type size struct {
	class  string // says to the style when to show it
	w, h   float64
	xs, ys int  // about how many ticks
	values bool // line ends have room for the last value
}

var (
	wide  = size{"wide", 960, 380, 9, 6, true}
	half  = size{"wide", 464, 280, 5, 5, false}
	phone = size{"phone", 360, 290, 4, 5, false}
)

const (
	font = 12.5 // in the pictures
	bold = 1.07 // how much wider line ends' labels are
)

// picture is a chart as the template draws it: positions and text, in pixels, y downwards.
type picture struct {
	ID, Class                string
	W, H                     float64
	Left, Right, Top, Bottom string
	InnerW, InnerH           string
	XTicks, YTicks           []tick
	XTitle, YTitle           string
	Lines                    []line
	Ends                     []end
	Marks                    []markAt
	Describe                 string
}

// line is a series: its path, and dots that answer to the pointer.
type line struct {
	Style     string // classes that give its colour and dashes
	Name      string
	Path, Raw string
	Dots      []dot
	Visible   bool // the dots show without a pointer on them
}

type dot struct{ X, Y, Title string }

// end is the label at a line's end, and a thin line that leads to it.
type end struct{ Style, X, Y, Text, Lead string }

type markAt struct{ X, Top, LabelX, LabelY, Anchor, Label string }

// draw lays a chart out. ok is false if it has no point to draw.
func draw(c Chart, style map[string]string, id string, s size) (p picture, cut, ok bool) {
	x, y, cut, ok := ranges(c)
	if !ok {
		return picture{}, false, false
	}
	p = picture{ID: id, Class: s.class, W: s.w, H: s.h}

	// The right margin is as wide as the labels at the line ends, up to two fifths of the picture.
	margin := 0.0
	var ends []Point
	var labelled []int
	for i, series := range c.Series {
		if last, ok := lastPoint(series.Points); ok {
			ends, labelled = append(ends, last), append(labelled, i)
			margin = max(margin, bold*textWidth(endText(series, last, s), font)+18)
		}
	}
	margin = min(margin, s.w*0.38)

	// Marks' labels stand in rows above the plot, below the vertical axis's title.
	y.from, y.to = s.h-44, 0 // y.to follows
	yTicks, yExponent := y.marks(s.ys)
	left := 14.0
	for _, t := range yTicks {
		left = max(left, textWidth(t.Label, font)+14)
	}
	x.from, x.to = left, s.w-margin
	markRows := p.placeMarks(c.Marks, x, s.w)
	y.to = 32 + 18*float64(markRows)
	for i := range p.Marks {
		p.Marks[i].Top = coordinate(y.to)
	}

	p.Left, p.Right, p.Top, p.Bottom = coordinate(x.from), coordinate(x.to), coordinate(y.to), coordinate(y.from)
	p.InnerW, p.InnerH = coordinate(x.to-x.from), coordinate(y.from-y.to)
	var xExponent int
	p.XTicks, xExponent = x.marks(s.xs)
	p.YTicks, _ = y.marks(s.ys)
	p.XTitle, p.YTitle = axisTitle(c.X, xExponent), axisTitle(c.Y, yExponent)
	p.XTitle, p.YTitle = fit(p.XTitle, font, s.w-10), fit(p.YTitle, font, s.w-10)

	for _, series := range c.Series {
		if l, ok := drawLine(c, series, x, y, s); ok {
			l.Style = style[series.Name]
			p.Lines = append(p.Lines, l)
		}
	}
	p.placeEnds(c, ends, labelled, x, y, margin, s, style)
	p.Describe = describe(c, ends, labelled)
	return p, cut, true
}

// ranges finds what the axes must cover.
func ranges(c Chart) (x, y axis, cut, ok bool) {
	x, y = axis{lo: math.Inf(1), hi: math.Inf(-1)}, axis{lo: math.Inf(1), hi: math.Inf(-1)}
	each := func(visit func(Point)) {
		for _, s := range c.Series {
			for _, p := range s.Points {
				if p.finite() {
					visit(p)
				}
			}
		}
	}
	each(func(p Point) {
		x.lo, x.hi = min(x.lo, p.X), max(x.hi, p.X)
		y.lo, y.hi = min(y.lo, p.Y), max(y.hi, p.Y)
	})
	if x.lo > x.hi {
		return x, y, false, false
	}
	if c.Focus {
		from, later := x.lo+0.2*(x.hi-x.lo), math.Inf(-1)
		each(func(p Point) {
			if p.X >= from {
				later = max(later, p.Y)
			}
		})
		if later += 0.05 * (later - y.lo); later > y.lo && later < y.hi {
			y.hi, cut = later, true
		}
	}
	if x.lo > 0 && x.lo < 0.1*x.hi {
		x.lo = 0
	}
	x.widen(0)
	y.widen(0.05)
	return x, y, cut, true
}

// widen adds a fraction of the range at both ends, not across zero, and gives a range to a single value.
func (a *axis) widen(fraction float64) {
	a.lo, a.hi = max(a.lo, -largest), min(a.hi, largest)
	lo, pad := a.lo, fraction*(a.hi-a.lo)
	if a.hi-a.lo <= 1e-9*max(math.Abs(a.lo), math.Abs(a.hi)) {
		pad = max(math.Abs(a.hi)*0.1, 1e-12)
		if a.hi == 0 {
			pad = 1
		}
	}
	a.lo, a.hi = a.lo-pad, a.hi+pad
	if lo >= 0 && a.lo < 0 {
		a.lo = 0
	}
}

func axisTitle(title string, exponent int) string {
	if exponent == 0 {
		return title
	}
	return title + ", × " + times10(exponent)
}

func lastPoint(points []Point) (Point, bool) {
	for i := len(points) - 1; i >= 0; i-- {
		if points[i].finite() {
			return points[i], true
		}
	}
	return Point{}, false
}

func drawLine(c Chart, series Series, x, y axis, s size) (line, bool) {
	l := line{Name: series.Name, Path: path(series.Points, x, y), Raw: path(series.Raw, x, y)}
	var whole []Point
	for _, p := range series.Points {
		if p.finite() && p.Y <= y.hi {
			whole = append(whole, p)
		}
	}
	most := int((x.to - x.from) / 10) // a dot every ten pixels can be hit
	l.Visible = len(whole) <= most/2
	for _, i := range thin(len(whole), most) {
		p := whole[i]
		l.Dots = append(l.Dots, dot{coordinate(x.at(p.X)), coordinate(y.at(p.Y)),
			fmt.Sprintf("%s · %s %s · %s %s", series.Name, c.X, short(p.X), c.Y, short(p.Y))})
	}
	return l, l.Path != ""
}

// path writes the points as an SVG path. Of those in one pixel column it keeps the first, lowest, highest and last: the picture
// is the same, however many there are. A line of a single point is a dot, by the round cap.
func path(points []Point, x, y axis) string {
	var b strings.Builder
	pen := false // on the paper
	put := func(p Point) {
		verb := 'L'
		if !pen {
			verb = 'M'
		}
		fmt.Fprintf(&b, "%c%s %s", verb, coordinate(x.at(p.X)), coordinate(y.at(p.Y)))
		pen = true
	}
	for i := 0; i < len(points); {
		if !points[i].finite() {
			pen = false
			i++
			continue
		}
		column := math.Floor(x.at(points[i].X))
		low, high, end := i, i, i
		for ; end+1 < len(points) && points[end+1].finite() && math.Floor(x.at(points[end+1].X)) == column; end++ {
			if points[end+1].Y < points[low].Y {
				low = end + 1
			}
			if points[end+1].Y > points[high].Y {
				high = end + 1
			}
		}
		before := i - 1
		for _, j := range []int{i, min(low, high), max(low, high), end} {
			if j > before {
				put(points[j])
				before = j
			}
		}
		if alone := i == end && (i == 0 || !points[i-1].finite()) && (end+1 == len(points) || !points[end+1].finite()); alone {
			b.WriteString("h0")
		}
		i = end + 1
	}
	return b.String()
}

// thin picks at most most of n indices, evenly, the first and the last among them.
func thin(n, most int) []int {
	k := min(n, max(most, 2))
	picked := make([]int, k)
	for i := range picked {
		if k > 1 {
			picked[i] = i * (n - 1) / (k - 1)
		}
	}
	return picked
}

func endText(s Series, last Point, z size) string {
	if z.values {
		return s.Name + " " + short(last.Y)
	}
	return s.Name
}

// placeEnds puts labels into the right margin. Where there are more than fit, only the legend names the lines.
func (p *picture) placeEnds(c Chart, ends []Point, labelled []int, x, y axis, margin float64, s size, style map[string]string) {
	var want []float64
	for _, e := range ends {
		want = append(want, max(y.to, min(y.from, y.at(e.Y))))
	}
	const lead = 12
	for i, at := range spread(want, font+3, y.to, y.from) {
		series := c.Series[labelled[i]]
		p.Ends = append(p.Ends, end{
			Style: style[series.Name],
			X:     coordinate(x.to + lead + 3),
			Y:     coordinate(at),
			Text:  fit(endText(series, ends[i], s), bold*font, margin-lead-3),
			Lead: fmt.Sprintf("M%s %sL%s %sL%s %s", coordinate(x.at(ends[i].X)), coordinate(want[i]),
				coordinate(x.to), coordinate(want[i]), coordinate(x.to+lead), coordinate(at)),
		})
	}
}

// placeMarks puts the marks' labels above the plot, in as many rows as keep them apart.
func (p *picture) placeMarks(marks []Mark, x axis, w float64) int {
	var spans [][2]float64
	for _, m := range marks {
		if !finite(m.X) || m.X < x.lo || m.X > x.hi {
			continue
		}
		label := fit(m.Label, font, w-10)
		at, width := x.at(m.X), textWidth(label, font)
		left := max(2, min(at-width/2, w-width-2))
		spans = append(spans, [2]float64{left, left + width})
		p.Marks = append(p.Marks, markAt{X: coordinate(at), LabelX: coordinate(left + width/2), Anchor: "middle", Label: label})
	}
	row, n := rows(spans, 8)
	for i := range p.Marks {
		p.Marks[i].LabelY = coordinate(22 + 18*float64(row[i]+1))
	}
	return n
}

// describe says in words what a picture shows, for those who do not see it.
func describe(c Chart, ends []Point, labelled []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s against %s.", c.Y, c.X)
	for i, e := range ends {
		fmt.Fprintf(&b, " %s ends at %s.", c.Series[labelled[i]].Name, short(e.Y))
	}
	for _, m := range c.Marks {
		if finite(m.X) {
			fmt.Fprintf(&b, " At %s: %s.", short(m.X), m.Label)
		}
	}
	return b.String()
}
