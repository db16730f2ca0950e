package report

import (
	"fmt"
	"math"
	"slices"
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
	Levels                   []levelAt
	Rows                     []rowAt
	Ends                     []end
	Marks                    []markAt
	Describe                 string

	cut, beyond bool // the steep start, or a part of the bands, is outside
}

// line is a series: its path, and dots that answer to the pointer.
type line struct {
	Style     string // classes that give its colour and dashes
	Name      string
	Path, Raw string
	Band      string // an area
	Bars      string // error bars
	Dots      []dot
	Visible   bool // the dots show without a pointer on them
}

type dot struct{ X, Y, Title string }

// end is the label at a line's end, and a thin line that leads to it.
type end struct {
	Style, X, Y, Text, Lead string
	Far                     bool // the lead crosses much of the picture
}

type markAt struct{ X, Top, LabelX, LabelY, Anchor, Label string }

// levelAt is a horizontal line and the area of its interval.
type levelAt struct{ Style, Line, Area string }

// draw lays a chart out. ok is false if it has no point to draw.
func draw(c Chart, style map[string]string, id string, s size) (p picture, ok bool) {
	if len(c.Rows) > 0 {
		return drawRows(c, style, id, s)
	}
	x, y, cut, ok := ranges(c)
	if !ok {
		return picture{}, false
	}
	p = picture{ID: id, Class: s.class, W: s.w, H: s.h, cut: cut, beyond: beyond(c, x, y, cut)}

	// The right margin is as wide as the labels at the line ends, up to two fifths of the picture.
	margin := 0.0
	ends := lineEnds(c)
	for _, e := range ends {
		margin = max(margin, bold*textWidth(e.text(s), font)+18)
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
	markRows := p.placeMarks(c.Marks, x, s.w, 40)
	y.to = 32 + 18*float64(markRows)
	for i := range p.Marks {
		p.Marks[i].Top = coordinate(y.to)
	}

	p.Left, p.Right, p.Top, p.Bottom = coordinate(x.from), coordinate(x.to), coordinate(y.to), coordinate(y.from)
	p.InnerW, p.InnerH = coordinate(x.to-x.from), coordinate(y.from-y.to)
	var xExponent int
	if p.XTicks, xExponent = x.marks(s.xs); c.Ticks != nil {
		p.XTicks, xExponent = x.named(c.Ticks), 0
	}
	p.YTicks, _ = y.marks(s.ys)
	p.XTitle, p.YTitle = axisTitle(c.X, xExponent), axisTitle(c.Y, yExponent)
	p.XTitle, p.YTitle = fit(p.XTitle, font, s.w-10), fit(p.YTitle, font, s.w-10)

	for _, series := range c.Series {
		if l, ok := drawLine(c, series, x, y, s); ok {
			l.Style = style[series.Name]
			p.Lines = append(p.Lines, l)
		}
	}
	for _, l := range c.Levels {
		if finite(l.Y) {
			p.Levels = append(p.Levels, drawLevel(l, x, y, style[l.Name]))
		}
	}
	p.placeEnds(ends, x, y, margin, s, style)
	p.Describe = describe(c, ends)
	return p, true
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
		from, later := steepUntil(x), math.Inf(-1)
		each(func(p Point) {
			if p.X >= from {
				later = max(later, p.Y)
			}
		})
		if later += 0.05 * (later - y.lo); later > y.lo && later < y.hi {
			y.hi, cut = later, true
		}
	}
	y = withBands(c, x, y)
	if c.LogX && x.lo > 0 {
		x.log = true
	} else if x.lo > 0 && x.lo < 0.1*x.hi {
		x.lo = 0
	}
	if x.widen(0); c.Ticks != nil {
		x.pad(0.05)
	}
	y.widen(0.05)
	return x, y, cut, true
}

// steepUntil is where Focus begins to look.
func steepUntil(x axis) float64 { return x.lo + 0.2*(x.hi-x.lo) }

// withBands makes room for levels, bands and error bars: by at most half of what the lines take, on each side, so that the
// bands of few runs do not flatten the lines.
func withBands(c Chart, x, y axis) axis {
	for _, l := range c.Levels {
		if finite(l.Y) {
			y.lo, y.hi = min(y.lo, l.Y), max(y.hi, l.Y)
		}
	}
	room := 0.5 * (y.hi - y.lo)
	if !(room > 0) {
		room = math.Inf(1)
	}
	lo, hi := y.lo-room, y.hi+room
	eachBand(c, func(at, low, high float64) {
		if !c.Focus || !(at < steepUntil(x)) {
			y.lo, y.hi = max(lo, min(y.lo, low)), min(hi, max(y.hi, high))
		}
	})
	return y
}

// eachBand visits all intervals, those of levels at NaN.
func eachBand(c Chart, visit func(at, low, high float64)) {
	for _, s := range c.Series {
		for _, b := range s.Band {
			if b.finite() {
				visit(b.X, b.Low, b.High)
			}
		}
	}
	for _, l := range c.Levels {
		if finite(l.Low) && finite(l.High) {
			visit(math.NaN(), l.Low, l.High)
		}
	}
}

// beyond says that a part of the bands lies outside, other than above a steep start that is said to be outside.
func beyond(c Chart, x, y axis, cut bool) (outside bool) {
	eachBand(c, func(at, low, high float64) {
		outside = outside || low < y.lo || high > y.hi && !(cut && at < steepUntil(x))
	})
	return outside
}

// pad adds a fraction of the picture at both ends.
func (a *axis) pad(fraction float64) {
	if a.log {
		f := math.Pow(a.hi/a.lo, fraction)
		a.lo, a.hi = a.lo/f, a.hi*f
		return
	}
	d := fraction * (a.hi - a.lo)
	a.lo, a.hi = a.lo-d, a.hi+d
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
	if series.Bars {
		l.Bars = bars(series.Band, x, y)
	} else {
		l.Band = area(series.Band, x, y)
	}
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

// bars writes error bars with short caps.
func bars(band []Band, x, y axis) string {
	var b strings.Builder
	for _, e := range band {
		if e.finite() {
			at, low, high := x.at(e.X), y.at(e.Low), y.at(e.High)
			fmt.Fprintf(&b, "M%s %sh8M%s %sV%sM%s %sh8", coordinate(at-4), coordinate(low), coordinate(at), coordinate(low), coordinate(high), coordinate(at-4), coordinate(high))
		}
	}
	return b.String()
}

// area writes a band as closed paths: along its upper edge and back along the lower one, anew after each gap.
func area(band []Band, x, y axis) string {
	var b strings.Builder
	for len(band) > 0 {
		n := 0
		for n < len(band) && band[n].finite() {
			n++
		}
		var upper, lower []Point
		for _, e := range band[:n] {
			upper, lower = append(upper, Point{e.X, e.High}), append(lower, Point{e.X, e.Low})
		}
		slices.Reverse(lower)
		if n > 1 {
			b.WriteString(path(upper, x, y) + "L" + path(lower, x, y)[1:] + "Z")
		}
		band = band[min(n+1, len(band)):]
	}
	return b.String()
}

func drawLevel(l Level, x, y axis, style string) levelAt {
	at := levelAt{Style: style, Line: fmt.Sprintf("M%s %sH%s", coordinate(x.from), coordinate(y.at(l.Y)), coordinate(x.to))}
	if finite(l.Low) && finite(l.High) {
		at.Area = fmt.Sprintf("M%s %sH%sV%sH%sZ", coordinate(x.from), coordinate(y.at(l.High)), coordinate(x.to), coordinate(y.at(l.Low)), coordinate(x.from))
	}
	return at
}

// lineEnd is what the right margin names: a line's last point, or a level.
type lineEnd struct {
	name  string
	at    Point
	level bool
}

func lineEnds(c Chart) (ends []lineEnd) {
	for _, s := range c.Series {
		if last, ok := lastPoint(s.Points); ok {
			ends = append(ends, lineEnd{s.Name, last, false})
		}
	}
	for _, l := range c.Levels {
		if finite(l.Y) {
			ends = append(ends, lineEnd{l.Name, Point{0, l.Y}, true})
		}
	}
	return ends
}

func (e lineEnd) text(z size) string {
	if z.values {
		return e.name + " " + short(e.at.Y)
	}
	return e.name
}

// placeEnds puts labels into the right margin. Where there are more than fit, only the legend names the lines.
func (p *picture) placeEnds(ends []lineEnd, x, y axis, margin float64, s size, style map[string]string) {
	var want []float64
	for _, e := range ends {
		want = append(want, max(y.to, min(y.from, y.at(e.at.Y))))
	}
	const lead = 12
	for i, at := range spread(want, font+3, y.to, y.from) {
		from := x.to
		if !ends[i].level {
			from = x.at(ends[i].at.X)
		}
		p.Ends = append(p.Ends, end{
			Style: style[ends[i].name], Far: x.to-from > 0.1*(x.to-x.from) && !ends[i].level,
			X:    coordinate(x.to + lead + 3),
			Y:    coordinate(at),
			Text: fit(ends[i].text(s), bold*font, margin-lead-3),
			Lead: fmt.Sprintf("M%s %sL%s %sL%s %s", coordinate(from), coordinate(want[i]),
				coordinate(x.to), coordinate(want[i]), coordinate(x.to+lead), coordinate(at)),
		})
	}
}

// placeMarks puts the marks' labels above the plot, in as many rows as keep them apart; first is the baseline of the topmost.
func (p *picture) placeMarks(marks []Mark, x axis, w, first float64) int {
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
		p.Marks[i].LabelY = coordinate(first + 18*float64(row[i]))
	}
	return n
}

// describe says in words what a picture shows, for those who do not see it.
func describe(c Chart, ends []lineEnd) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s against %s.", c.Y, c.X)
	for _, e := range ends {
		verb := "ends"
		if e.level {
			verb = "stands"
		}
		fmt.Fprintf(&b, " %s %s at %s.", e.name, verb, short(e.at.Y))
	}
	for _, m := range c.Marks {
		if finite(m.X) {
			fmt.Fprintf(&b, " At %s: %s.", short(m.X), m.Label)
		}
	}
	return b.String()
}
