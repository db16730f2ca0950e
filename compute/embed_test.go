package compute

import "testing"

// TestEmbedGradOfOneID sums the gradients of an id that occurs more often than the loops of a CPU device may turn, 65,535
// times, after which they end without a word. It is no case of the table: the tuner would wait for it.
func TestEmbedGradOfOneID(t *testing.T) {
	d := openTest(t)
	c := embedGradCase("", 70_000, 4, 1)
	probe, err := newTrial(opEmbedGrad, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Check{Op: opEmbedGrad, Kernel: d.fitting(probe.program.Nodes[0])[0], Case: c}).Run(d); err != nil {
		t.Error(err)
	}
}
