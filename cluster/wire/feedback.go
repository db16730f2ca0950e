package wire

import "fmt"

// Feedback is what encodings of one vector have rounded away so far: one for each tensor and rank, kept from step to step. The
// zero value has nothing to carry over. Not for concurrent use, except on parts that do not overlap after Prepare.
type Feedback struct {
	lost []float32
}

// Prepare makes room for a vector of n numbers, with nothing lost yet where there was no room before.
func (e *Feedback) Prepare(n int) error {
	if e.lost == nil {
		e.lost = make([]float32, n)
	}
	if len(e.lost) != n {
		return fmt.Errorf("bug: a vector of %d numbers with the rounding errors of one of %d; each tensor has a Feedback of its own", n, len(e.lost))
	}
	return nil
}

// Lost is the sum of all that was rounded away and not yet made up for, by element; it belongs in a checkpoint.
func (e *Feedback) Lost() []float32 { return e.lost }

// Restore sets Lost to a copy of what a checkpoint held.
func (e *Feedback) Restore(lost []float32) { e.lost = append([]float32(nil), lost...) }

// Encode writes x, which begins at the vector's element first, plus what was lost there before, and keeps what is lost now.
// x becomes what the code says. What is not finite is forgotten: it would never go away.
func (e *Feedback) Encode(f Format, code []byte, x []float32, first int) {
	lost := e.lost[first:][:len(x)]
	for i := range x {
		x[i] += lost[i]
		lost[i] = x[i]
	}
	f.Encode(code, x)
	f.Decode(x, code)
	for i, v := range x {
		if lost[i] -= v; lost[i]-lost[i] != 0 {
			lost[i] = 0
		}
	}
}
