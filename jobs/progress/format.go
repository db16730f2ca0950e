package progress

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// Sample is the state of some work. Fields that are zero are not shown.
type Sample struct {
	Unit        string // what is counted: "step" (also where empty), "sequence", "shard", ...
	Done, Total int64  // Total 0: nobody knows

	Loss, Norm, LR float64
	Each           time.Duration // one unit's time
	TokensPerSec   float64
	FLOPS          float64       // per second
	Peak           float64       // the device's FLOP/s where they are known; gives the MFU
	Left           time.Duration // see [Left]
	Note           string        // ends the line: "stage 2", "saving", ...
}

// Line formats a sample as one line without its end:
//
//	step 120/400  loss 4.8123  norm 0.91  lr 6.0e-04  312 ms  6.6k tok/s  14.2 GFLOP/s  MFU 23.1%  eta 1m27s
func Line(s Sample) string {
	return strings.Join(append([]string{count(s)}, fields(s)...), "  ")
}

// lines matches what Line makes. A message has a colon before its numbers.
var lines = regexp.MustCompile(`^[^:/]* \d+/\d+(  |$)`)

// IsLine says that text is a line of [Line], whose total is known.
func IsLine(text string) bool { return lines.MatchString(text) }

func count(s Sample) string {
	unit := s.Unit
	if unit == "" {
		unit = "step"
	}
	if s.Total > 0 {
		return fmt.Sprintf("%s %d/%d", unit, s.Done, s.Total)
	}
	return fmt.Sprintf("%s %d", unit, s.Done)
}

func fields(s Sample) []string {
	var f []string
	add := func(show bool, format string, a ...any) {
		if show {
			f = append(f, fmt.Sprintf(format, a...))
		}
	}
	add(s.Loss != 0, "loss %.4f", s.Loss)
	add(s.Norm != 0, "norm %.2f", s.Norm)
	add(s.LR != 0, "lr %.1e", s.LR)
	add(s.Each > 0, "%s", Each(s.Each))
	add(s.TokensPerSec > 0, "%stok/s", Scaled(s.TokensPerSec, "k"))
	add(s.FLOPS > 0, "%sFLOP/s", Scaled(s.FLOPS, "K"))
	add(s.FLOPS > 0 && s.Peak > 0, "MFU %.1f%%", 100*s.FLOPS/s.Peak)
	add(s.Left > 0, "eta %s", Span(s.Left))
	add(s.Note != "", "%s", s.Note)
	return f
}

// Scaled writes three figures and a decimal prefix, with the space before the unit: "6.6k " reads as one word with its
// thousand, "14.2 G" does not. kilo is the letter for the thousand, k for tokens and K beside the capitals of FLOP/s.
func Scaled(v float64, kilo string) string {
	prefixes := []string{"", kilo, "M", "G", "T", "P", "E"}
	i := 0
	for v >= 999.5 && i < len(prefixes)-1 {
		v /= 1000
		i++
	}
	number := figures(v)
	if kilo == "k" {
		return number + prefixes[i] + " "
	}
	return number + " " + prefixes[i]
}

// figures writes 0 to 1000 with one place after the point below 100, and none from there.
func figures(v float64) string {
	if v < 99.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// Each writes the time of one step: 812 us, 3.1 ms, 312 ms, 1.25 s, 71 s.
func Each(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 0.9995e-3:
		return fmt.Sprintf("%.0f us", s*1e6)
	case s < 0.9995:
		return figures(s*1e3) + " ms"
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	default:
		return figures(s) + " s"
	}
}

// Span writes a long time in its two largest units: 9s, 1m27s, 2h05m, 3d04h.
func Span(d time.Duration) string {
	s := int64(math.Ceil(d.Seconds()))
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}

// Bar formats a sample for a terminal of that many columns: a bar, and as much of [Line] as fits behind it, whole fields only.
// Of two terminals the narrower loses the bar first, then fields from the middle; what is left to do stays longest.
func Bar(s Sample, columns int) string {
	head, rest := count(s), fields(s)
	room := columns - 3 // the last column stays free, as some terminals wrap when it is written, and before it ^C fits
	for len(rest) > 0 && width(head, rest) > room {
		at := len(rest) - 1
		if strings.HasPrefix(rest[at], "eta ") && at > 0 {
			at--
		}
		rest = append(rest[:at:at], rest[at+1:]...)
	}
	line := strings.Join(append([]string{head}, rest...), "  ")
	if n := min(24, room-width(head, rest)-2); s.Total > 0 && n >= 8 {
		line = bar(float64(s.Done)/float64(s.Total), n) + "  " + line
	}
	if r := []rune(line); len(r) > room {
		line = string(r[:max(room, 0)])
	}
	return line
}

func width(head string, rest []string) int {
	n := len([]rune(head))
	for _, f := range rest {
		n += 2 + len([]rune(f))
	}
	return n
}

// bar draws a fraction in n columns, to an eighth of one.
func bar(fraction float64, n int) string {
	eighths := int(math.Round(max(0, min(1, fraction)) * float64(8*n)))
	line := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		line += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return line + strings.Repeat("·", n-(eighths+7)/8)
}

// Left estimates the time that is left from the time that the done units took, 0 where nothing can be said. Units that an
// earlier run did do not count as done.
func Left(elapsed time.Duration, done, left int64) time.Duration {
	if done <= 0 || left <= 0 || elapsed <= 0 {
		return 0
	}
	t := elapsed.Seconds() / float64(done) * float64(left)
	if t > 100*365*86400 {
		return 0
	}
	return time.Duration(t * float64(time.Second))
}
