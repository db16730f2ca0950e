package watch

import (
	"strings"
	"unicode"
)

// Look is what a terminal can show.
type Look struct {
	Color bool
	ASCII bool // its characters are not those of UTF-8
}

// style is what a piece of text means; a Look gives it a colour.
type style byte

const (
	plain style = iota
	dim
	bold
	good
	warn
	bad
	helped   // the curve of a training with a teacher, or of the only one
	baseline // the curve of BASELINE
)

// sgr are the terminal's codes: colours of its own palette where they have a meaning that themes keep, else ones of middle
// lightness, which differ for colour-blind eyes too and can be read on white and on black.
var sgr = map[style]string{
	dim: "2", bold: "1", good: "32", warn: "1;38;5;172", bad: "1;31", helped: "1;38;5;166", baseline: "38;5;32",
}

// span is text of one style.
type span struct {
	text string
	style
}

// line is a line of a picture.
type line []span

func (l line) width() (n int) {
	for _, s := range l {
		n += width(s.text)
	}
	return n
}

// add appends text.
func (l *line) add(s style, text string) {
	if n := len(*l); n > 0 && (*l)[n-1].style == s {
		(*l)[n-1].text += text
		return
	}
	*l = append(*l, span{text, s})
}

// cut is l at most w columns wide.
func (l line) cut(w int) line {
	var out line
	for _, s := range l {
		if n := width(s.text); n <= w {
			out.add(s.style, s.text)
			w -= n
			continue
		}
		out.add(s.style, cut(s.text, w))
		break
	}
	return out
}

// write is l as a terminal takes it.
func (l line) write(look Look) string {
	var b strings.Builder
	for i, s := range l {
		text := s.text
		if i == len(l)-1 {
			text = strings.TrimRight(text, " ")
		}
		if look.ASCII {
			text = strings.Map(func(r rune) rune {
				if r > unicode.MaxASCII {
					return '?'
				}
				return r
			}, ascii.Replace(text))
		}
		if code := sgr[s.style]; look.Color && code != "" && text != "" {
			text = "\x1b[" + code + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), " ")
}

// ascii has a character for each of those that pictures are made of.
var ascii = strings.NewReplacer("·", "-", "█", "#", "░", ".", "─", "-", "│", "|", "┤", "+", "└", "+", "┴", "+", "┊", ":", "−", "-", "×", "x", "…", "~")

// width is the columns that text takes.
func width(text string) (n int) {
	for _, r := range text {
		n += columns(r)
	}
	return n
}

// columns are those of a character: two for those of East Asian scripts and pictures, none for accents that stand on others.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff ||
		r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000):
		return 2
	}
	return 1
}

// cut is text at most w columns wide, and says where something is missing.
func cut(text string, w int) string {
	if width(text) <= w {
		return text
	}
	n, end := 0, 0
	for i, r := range text {
		if n += columns(r); n > w-1 {
			break
		}
		end = i + len(string(r))
	}
	if w < 1 {
		return ""
	}
	return text[:end] + "…"
}

// clean is text from elsewhere without anything that a terminal would obey: names, and lines of logs.
func clean(text string) string {
	var b strings.Builder
	escape := false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape: // up to the letter that ends it
			escape = !(r >= '@' && r <= '~') || r == '['
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// pad is text in w columns, on the right side of them where right is.
func pad(text string, w int, right bool) string {
	gap := strings.Repeat(" ", max(0, w-width(text)))
	if right {
		return gap + text
	}
	return text + gap
}

// field is a part of a line that may be left out where there is no room; those of the lowest rank go first.
type field struct {
	line
	rank int
}

// fields joins as many as fit.
func fields(w int, between string, list ...field) line {
	var kept []field
	for _, f := range list {
		if f.width() > 0 {
			kept = append(kept, f)
		}
	}
	join := func() (l line) {
		for i, f := range kept {
			if i > 0 {
				l.add(dim, between)
			}
			for _, s := range f.line {
				l.add(s.style, s.text)
			}
		}
		return l
	}
	for l := join(); ; l = join() {
		if l.width() <= w || len(kept) <= 1 {
			return l.cut(w)
		}
		least := 0
		for i, f := range kept {
			if f.rank <= kept[least].rank {
				least = i
			}
		}
		kept = append(kept[:least:least], kept[least+1:]...)
	}
}
