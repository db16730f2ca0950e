package watch

import "math"

// canvas is a grid of characters to draw curves in: of 2x4 dots each in braille, or of one where there is only ASCII.
type canvas struct {
	w, h  int // characters
	ascii bool
	cells []cell
}

type cell struct {
	dots  byte // of braille, as Unicode counts them
	char  rune // in their place, if not 0
	style style
}

func newCanvas(w, h int, ascii bool) *canvas {
	return &canvas{w: w, h: h, ascii: ascii, cells: make([]cell, w*h)}
}

// dots is how many there are across and down.
func (c *canvas) dots() (w, h int) {
	if c.ascii {
		return c.w, c.h
	}
	return 2 * c.w, 4 * c.h
}

// pen is how a curve looks: its style, whether it is broken, so that it differs without colours too, and its character in ASCII.
type pen struct {
	style
	broken bool
	char   rune
}

// braille gives a dot's bit by its row and column in a character.
var braille = [4][2]byte{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// dot draws one, if it is on the canvas.
func (c *canvas) dot(x, y int, p pen) {
	w, h := c.dots()
	if x < 0 || x >= w || y < 0 || y >= h {
		return
	}
	if c.ascii {
		c.cells[y*c.w+x] = cell{char: p.char, style: p.style}
		return
	}
	at := &c.cells[y/4*c.w+x/2]
	at.dots |= braille[y%4][x%2]
	at.style, at.char = p.style, 0
}

// stroke draws a straight line between two dots.
func (c *canvas) stroke(x0, y0, x1, y1 float64, p pen) {
	const far = 1e4 // beyond any terminal
	clamp := func(v float64) float64 { return max(-far, min(far, v)) }
	x0, y0, x1, y1 = clamp(x0), clamp(y0), clamp(x1), clamp(y1)
	n := math.Ceil(max(math.Abs(x1-x0), math.Abs(y1-y0), 1))
	steep := math.Abs(y1-y0) > math.Abs(x1-x0)
	for i := 0.0; i <= n; i++ {
		x, y := int(math.Round(x0+(x1-x0)*i/n)), int(math.Round(y0+(y1-y0)*i/n))
		if gap := !steep && x%4 > 1 || steep && y%4 > 1; !gap || !p.broken || c.ascii {
			c.dot(x, y, p)
		}
	}
}

// mark puts a character where a dot is.
func (c *canvas) mark(x, y float64, char rune, s style) {
	if !c.ascii {
		x, y = x/2, y/4
	}
	if i, j := int(math.Floor(x)), int(math.Floor(y)); i >= 0 && i < c.w && j >= 0 && j < c.h {
		c.cells[j*c.w+i] = cell{char: char, style: s}
	}
}

// line is a row of the canvas.
func (c *canvas) line(row int) (l line) {
	for _, at := range c.cells[row*c.w : (row+1)*c.w] {
		switch {
		case at.char != 0:
			l.add(at.style, string(at.char))
		case at.dots != 0:
			l.add(at.style, string(rune(0x2800+int(at.dots))))
		default:
			l.add(plain, " ")
		}
	}
	return l
}
