package compute

import "testing"

// TestRopeGradient rotates in the middle of a program and compares with central differences. The heads that are not
// rotated must pass their gradient on.
func TestRopeGradient(t *testing.T) {
	checkMidGraph(t, 6, 12, 12, func(r *Recorder, x *Tensor) *Tensor {
		return r.Rope(x, Rope{Heads: 2, HeadSize: 4, T: 3, Start: 5, Theta: 100})
	})
}

// TestRopeRefusesWhatIsNone: a zero theta must not become NaN angles on the device.
func TestRopeRefusesWhatIsNone(t *testing.T) {
	for _, a := range []Rope{
		{Heads: 1, HeadSize: 4, T: 4},               // no theta
		{Heads: 1, HeadSize: 3, T: 4, Theta: 1e4},   // no pairs
		{Heads: 3, HeadSize: 4, T: 4, Theta: 1e4},   // more than the row
		{Heads: 1, HeadSize: 4, Theta: 1e4},         // no positions
		{Heads: 1, HeadSize: 4, T: 4, Theta: 0.99},  // frequencies would rise
		{Heads: 1, HeadSize: 512, T: 4, Theta: 1e4}, // more pairs than the shader's powers reach
	} {
		r := NewRecorder()
		r.Rope(NewTensor(State, "x", F32, 4, 8), a)
		if _, err := r.Finish(); err == nil {
			t.Errorf("%+v was recorded", a)
		}
	}
}
