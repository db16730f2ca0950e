package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ticks returns the round numbers within [lo, hi], about n of them, 1, 2 or 5 times a power of ten apart, and the digits after
// the point that they need.
func Ticks(lo, hi float64, n int) (at []float64, digits int) {
	// hi-lo may overflow, and steps may be too small to change lo: then there is nothing round to show.
	rough := hi/float64(n) - lo/float64(n)
	if !(rough > 0) || math.IsInf(rough, 0) || lo+rough == lo {
		return nil, 0
	}
	exponent := math.Floor(math.Log10(rough))
	power := math.Pow(10, exponent)
	step := power
	switch m := rough / power; { // the nearest, by ratio
	case m >= 7.1:
		step = 10 * power
	case m >= 3.2:
		step = 5 * power
	case m >= 1.4:
		step = 2 * power
	}
	if !(step > 0) { // below the smallest numbers
		return nil, 0
	}
	digits = int(max(0, -math.Floor(math.Log10(step)+1e-9)))
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
		at = append(at, i*step)
	}
	return at, digits
}

// axis maps data to positions and names them.
type axis struct {
	lo, hi   float64 // data
	from, to float64 // positions of lo and hi
	log      bool    // equal ratios are equally far apart; lo is above 0 then
}

// at maps a finite number. Far outside the picture it stops, at coordinates that renderers can still hold.
func (a axis) at(v float64) float64 {
	if a.log {
		v, a.lo, a.hi = math.Log(v), math.Log(a.lo), math.Log(a.hi)
	}
	return max(-1e4, min(1e4, a.from+(v-a.lo)/(a.hi-a.lo)*(a.to-a.from)))
}

// largest bounds what is drawn, so that differences stay finite.
const largest = math.MaxFloat64 / 4

// marks returns the ticks with their labels. Numbers too large or small to be read are shown divided by a power of ten, which
// is returned for the axis's title.
func (a axis) marks(n int) (marks []tick, exponent int) {
	if m := max(math.Abs(a.lo), math.Abs(a.hi)); m >= 1e7 || m > 0 && m < 0.01 {
		exponent = int(math.Floor(math.Log10(m)))
	}
	scale := math.Pow(10, float64(exponent))
	if scale == 0 || math.IsInf(scale, 0) {
		return nil, 0
	}
	at, digits := Ticks(a.lo/scale, a.hi/scale, n)
	for _, v := range at {
		marks = append(marks, tick{coordinate(a.at(v * scale)), grouped(v, digits)})
	}
	return marks, exponent
}

// named labels the given values, leaving out those whose labels would touch the one before.
func (a axis) named(values []float64) (marks []tick) {
	free := math.Inf(-1)
	for _, v := range slices.Sorted(slices.Values(values)) {
		label := strconv.FormatFloat(v, 'g', -1, 64)
		at, half := a.at(v), textWidth(label, font)/2
		if !finite(v) || at-half < free {
			continue
		}
		marks, free = append(marks, tick{coordinate(at), label}), at+half+6
	}
	return marks
}

type tick struct{ At, Label string }

// coordinate writes a position to a tenth of a pixel.
func coordinate(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	if s == "-0.0" {
		s = "0.0"
	}
	return strings.TrimSuffix(s, ".0")
}

// grouped writes a number with that many digits after the point and spaces that do not break between thousands.
func grouped(v float64, digits int) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 && len(whole) > 4 {
			b.WriteString("\u202f")
		}
		b.WriteRune(d)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	if v < 0 && strings.Trim(s, "0.") != "" {
		return "−" + b.String()
	}
	return b.String()
}

// times10 writes a power of ten, "10¹⁵".
func times10(exponent int) string {
	digits := []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")
	s := "10"
	for _, d := range strconv.Itoa(exponent) {
		if d == '-' {
			s += "⁻"
		} else {
			s += string(digits[d-'0'])
		}
	}
	return s
}

// short writes a number for a sentence or a table cell: four figures, or three and a power of ten.
func short(v float64) string {
	a := math.Abs(v)
	switch {
	case !finite(v):
		return "–"
	case a != 0 && (a < 1e-3 || a >= 1e7):
		e := int(math.Floor(math.Log10(a)))
		m := v / math.Pow(10, float64(e))
		if !finite(m) {
			return strconv.FormatFloat(v, 'g', 3, 64)
		}
		if math.Abs(m) >= 9.995 {
			m, e = m/10, e+1
		}
		return grouped(m, 2) + " × " + times10(e)
	case v == math.Trunc(v) || a >= 1000:
		return grouped(v, 0)
	default:
		return grouped(v, 3-max(-1, int(math.Floor(math.Log10(a)))))
	}
}

// count writes a number of things in three figures: 812, 3.28 M, 1.25 G.
func count(n int64) string {
	v, i := float64(n), 0
	for v >= 999.5 && i < 6 {
		v, i = v/1000, i+1
	}
	if i == 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " " + []string{"", "k", "M", "G", "T", "P", "E"}[i]
}

// duration writes a run's time in its two largest units.
func duration(d time.Duration) string {
	s := int64(math.Round(d.Seconds()))
	switch {
	case s < 60:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %02d h", s/86400, s/3600%24)
	}
}
