package compare

import (
	"strconv"
	"strings"
)

const unmeasured = "–"

// decimal writes a number with a true minus sign.
func decimal(v float64, digits int) string {
	if !finite(v) {
		return unmeasured
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return strings.Replace(s, "-", "−", 1)
}

// signed writes a difference, with its sign.
func signed(v float64, digits int) string {
	s := decimal(v, digits)
	if finite(v) && !strings.HasPrefix(s, "−") && strings.Trim(s, "0.") != "" {
		return "+" + s
	}
	return s
}

func percent(v float64) string { return percents(v, 0) }

func percents(v float64, digits int) string {
	if !finite(v) {
		return unmeasured
	}
	return decimal(100*v, digits) + "%"
}

// bounds writes an interval with the given form for its ends; empty where there is none.
func (i Interval) bounds(form func(float64) string) string {
	if !i.Known() {
		return ""
	}
	return "[" + form(i.Low) + ", " + form(i.High) + "]"
}

// negative is the interval of the same thing counted the other way.
func (i Interval) negative() Interval { return Interval{-i.Mean, -i.High, -i.Low, i.N} }

// and joins words as a sentence does; where they have commas themselves, it keeps them apart by semicolons.
func and(words []string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	comma := ", "
	if strings.Contains(strings.Join(words, ""), ",") {
		comma = "; "
	}
	return strings.Join(words[:n-1], comma) + " and " + words[n-1]
}

// agree chooses the form that goes with a number.
func agree(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
