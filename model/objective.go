package model

import (
	"fmt"

	"saltern/model/ul2"
)

// The values of TrainConfig.Objective.
const (
	Causal = "causal"
	UL2    = "ul2"
)

// NewTokens declares the memory of a microbatch, with what each row sees where that is not the same for every sequence.
func (c TrainConfig) NewTokens() *Tokens {
	if c.DocumentMasks {
		return NewDocumentTokens(c.Microbatch, c.Sequence, c.EndOfText)
	}
	if c.Objective == UL2 {
		return NewSpannedTokens(c.Microbatch, c.Sequence)
	}
	return NewTokens(c.Microbatch, c.Sequence)
}

func (c TrainConfig) checkObjective(bad func(key, message string)) {
	switch {
	case c.Objective != Causal && c.Objective != UL2:
		bad("objective", fmt.Sprintf("objective = %q is unknown; use %q or %q", c.Objective, Causal, UL2))
	case c.Objective == UL2 && c.DocumentMasks:
		bad("document_masks", fmt.Sprintf("document_masks does not go with objective = %q, whose gaps lie in any document of a sequence; leave out one", UL2))
	case c.Objective == UL2 && c.Sequence > 0 && c.Sequence < ul2.MinSequence:
		bad("sequence", fmt.Sprintf("sequence = %d is too short for objective = %q; use at least %d", c.Sequence, UL2, ul2.MinSequence))
	}
}
