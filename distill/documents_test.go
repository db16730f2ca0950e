package distill

import (
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/distill/labels"
	"saltern/model/ul2"
)

// TestLabelsOfDocuments: what a teacher says of a document depends on that document alone, where there are masks, and else on what
// stands before it.
func TestLabelsOfDocuments(t *testing.T) {
	d := computetest.Device(t)
	const endOfText, at = 0, testT / 2
	for _, masks := range []bool{true, false} {
		s := testSettings(labels.TopK, 5)
		s.DocumentMasks, s.EndOfText = masks, endOfText
		l := newLabeler(t, d, shape(16), s, 2)
		made, err := l.Make([]int64{0, 1}, func(sequence int64, x ul2.Example) error {
			for i := range x.IDs {
				x.IDs[i], x.Labels[i] = uint32(1+i), compute.Masked
				if i < at { // the document before
					x.IDs[i] += uint32(sequence)
				}
				if i > at {
					x.Labels[i-1] = x.IDs[i]
				}
			}
			x.IDs[at] = endOfText
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		a, b := made.Rows(at, testT), made.Rows(testT+at, 2*testT)
		if same := slices.Equal(a.IDs, b.IDs) && slices.Equal(a.Q, b.Q) && slices.Equal(a.Stats, b.Stats); same != masks {
			t.Errorf("masks %v: the labels of the same document are the same: %v", masks, same)
		}
	}
}
