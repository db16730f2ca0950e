package token

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Pattern is the regular expression, as written into tokenizer.json, that cuts text into pieces for tokenizers trained here.
// In this order: English contractions; a run of letters and combining marks with at most one character before it that is not a line
// end, letter or digit; up to three digits; punctuation with at most one space before it and the line ends after it; white
// space up to its last line end; white space but for the last character, which belongs to the next word; white space.
const Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+|\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// gpt2Pattern is GPT-2's: words, numbers and punctuation with a space before them, no other character; lines end as other white space.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// rules is what tells the known patterns apart.
type rules struct {
	pattern string
	marks   bool // combining marks count as letters
	digits  int  // longest run of digits in a piece
	gpt2    bool // the pattern is gpt2Pattern
	single  bool // each digit was cut out before, and so is a piece, as SmolLM's Digits has it
	spaces  spaces
}

// spaces is how a text is cut that has ▁ for its spaces.
type spaces uint8

const (
	noSpaces   spaces = iota // it has none
	uncut                    // not at all
	beforeRuns               // before each run of ▁: the same as not at all, where no token has a ▁ behind another character
	beforeEach               // before each ▁
)

// known lists the patterns that Load accepts: the splitter is written by hand, ten times faster than a regexp engine.
func known() []rules {
	return []rules{
		{pattern: Pattern, marks: true, digits: 3},
		// cl100k, taken over by Llama 3.
		{pattern: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, digits: 3},
		// Qwen 2.
		{pattern: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, digits: 1},
		{pattern: gpt2Pattern, gpt2: true},
	}
}

type class uint8

const (
	other   class = iota // punctuation, symbols, controls, bytes that are not UTF-8
	letter               // and combining marks, where the rules say so
	digit                // \p{N}
	space                // \s without line ends
	newline              // \r or \n
)

// splitter cuts text into the pieces that its rules' regular expression would match one after another.
type splitter struct {
	rules
	ascii [utf8.RuneSelf]class
}

func newSplitter(r rules) splitter {
	s := splitter{rules: r}
	for b := range s.ascii {
		s.ascii[b] = s.wide(rune(b))
	}
	return s
}

// class returns the class and the length in bytes of the first character. Text must not be empty.
func (s *splitter) class(text []byte) (class, int) {
	if b := text[0]; b < utf8.RuneSelf {
		return s.ascii[b], 1
	}
	r, n := utf8.DecodeRune(text)
	if r == utf8.RuneError && n == 1 {
		return other, 1
	}
	return s.wide(r), n
}

func (s *splitter) wide(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return newline
	case unicode.IsLetter(r), s.marks && unicode.IsMark(r):
		return letter
	case unicode.IsNumber(r):
		return digit
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// next returns the length of the first piece of text, which must not be empty. The order of the cases is that of the
// alternatives in Pattern.
func (s *splitter) next(text []byte) int {
	if s.spaces != noSpaces {
		return s.nextSpaces(text)
	}
	if s.gpt2 {
		return s.nextGPT2(text)
	}
	c, n := s.class(text)
	switch c {
	case letter:
		return s.run(text, n, letter)
	case digit:
		for range s.digits - 1 {
			c, m := s.classAt(text, n)
			if c != digit {
				break
			}
			n += m
		}
		return n
	}
	if text[0] == '\'' {
		if n := contraction(text); n > 0 {
			return n
		}
	}
	follow, m := s.classAt(text, n)
	if follow == letter && c != newline {
		return s.run(text, n+m, letter)
	}
	if c == other || text[0] == ' ' && follow == other && m > 0 {
		n = s.run(text, n, other)
		for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
			n++
		}
		return n
	}
	return s.white(text)
}

// nextGPT2 is next by gpt2Pattern.
func (s *splitter) nextGPT2(text []byte) int {
	if text[0] == '\'' {
		if n := contraction(text); n == 2 && text[1] >= 'a' || n == 3 && text[1] >= 'a' && text[2] >= 'a' && text[2] <= 'z' {
			return n
		}
	}
	c, n := s.class(text)
	if s.single && c == digit {
		return n
	}
	if follow, m := s.classAt(text, n); text[0] == ' ' && m > 0 && follow < space && !(s.single && follow == digit) {
		return s.run(text, n+m, follow)
	}
	if c < space {
		return s.run(text, n, c)
	}
	end, last := 0, 0 // of the white space, and without its last character
	for end < len(text) {
		c, n := s.class(text[end:])
		if c < space {
			if last > 0 && !(s.single && c == digit) {
				return last
			}
			break
		}
		last, end = end, end+n
	}
	return end
}

// mark is what stands for a space in a vocabulary as SentencePiece makes it.
const mark = "▁"

// nextSpaces is next for text with marks for its spaces.
func (s *splitter) nextSpaces(text []byte) int {
	if s.spaces == uncut {
		return len(text)
	}
	for n := 1; n < len(text); n++ {
		i := bytes.IndexByte(text[n:], mark[0]) // faster for a short word than a search for all of it
		if i < 0 {
			break
		}
		n += i
		if bytes.HasPrefix(text[n:], []byte(mark)) && (s.spaces == beforeEach || n < len(mark) || string(text[n-len(mark):n]) != mark) {
			return n
		}
	}
	return len(text)
}

// white returns the length of the first piece of text, given that it begins with white space that belongs to no word.
func (s *splitter) white(text []byte) int {
	end, last, line := 0, 0, 0 // of the run, of the run without its last character, of the last line end in it
	for end < len(text) {
		c, n := s.class(text[end:])
		if c < space {
			break
		}
		last = end
		end += n
		if c == newline {
			line = end
		}
	}
	switch {
	case line > 0:
		return line
	case end == len(text) || last == 0:
		return end
	}
	return last
}

// run returns the end of the run of characters of class c that goes on at n.
func (s *splitter) run(text []byte, n int, c class) int {
	for n < len(text) {
		if b := text[n]; b < utf8.RuneSelf {
			if s.ascii[b] != c {
				break
			}
			n++
			continue
		}
		d, m := s.class(text[n:])
		if d != c {
			break
		}
		n += m
	}
	return n
}

// classAt is class at n, with length 0 at the end of text.
func (s *splitter) classAt(text []byte, n int) (class, int) {
	if n >= len(text) {
		return other, 0
	}
	return s.class(text[n:])
}

// contraction returns the length of (?i:'s|'t|'re|'ve|'m|'ll|'d) at the start of text, or 0. Under (?i) the long s is an s.
func contraction(text []byte) int {
	lower := func(i int) byte {
		if i < len(text) {
			return text[i] | 0x20
		}
		return 0
	}
	switch a, b := lower(1), lower(2); {
	case a == 's', a == 't', a == 'm', a == 'd':
		return 2
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	case len(text) >= 3 && text[1] == 0xC5 && text[2] == 0xBF: // U+017F
		return 3
	}
	return 0
}
