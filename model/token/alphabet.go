package token

// The byte-level alphabet spells every byte as one printable character, so that tokens are legible strings: printable Latin-1 bytes stand for
// themselves, the other 68 in order for U+0100 onwards.

func visible(text []byte) string {
	var out []rune
	for _, b := range text {
		out = append(out, byteRune(b))
	}
	return string(out)
}

func invisible(spelled string) ([]byte, bool) {
	out := make([]byte, 0, len(spelled))
	for _, r := range spelled {
		switch {
		case r <= 0xFF && byteRune(byte(r)) == r:
			out = append(out, byte(r))
		case r >= 0x100 && r < 0x100+68:
			out = append(out, hiddenByte(int(r-0x100)))
		default:
			return nil, false
		}
	}
	return out, len(out) > 0
}

// hiddenByte returns the nth byte that does not stand for itself: 0x00-0x20, 0x7F-0xA0 and 0xAD.
func hiddenByte(n int) byte {
	switch {
	case n <= 0x20:
		return byte(n)
	case n < 67:
		return byte(n - 0x21 + 0x7F)
	}
	return 0xAD
}

func byteRune(b byte) rune {
	switch {
	case b <= 0x20:
		return 0x100 + rune(b)
	case b >= 0x7F && b <= 0xA0:
		return 0x100 + 0x21 + rune(b-0x7F)
	case b == 0xAD:
		return 0x100 + 67
	}
	return rune(b)
}
