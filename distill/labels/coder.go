package labels

import (
	"fmt"
)

// Coder turns the labels of a sequence into bytes and back, for those that go to a student at once instead of into a file: in the code of
// a file that knows nothing of its teacher yet. What comes back has the bits that a file gives. Not for several goroutines.
type Coder struct {
	settings Settings
	codec    *codec
	set      *sorter
}

// NewCoder is the coder of labels of these settings.
func NewCoder(s Settings) (*Coder, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("bug: %w", err)
	}
	return &Coder{s, newCodec(s, inOrder(s.Vocab)), newSorter(s.Vocab)}, nil
}

// Settings are those of the labels.
func (c *Coder) Settings() Settings { return c.settings }

// Encode appends a sequence of T tokens to dst. What no teacher can have said is an error.
func (c *Coder) Encode(dst []byte, l *Labels) ([]byte, error) { return c.codec.encode(dst, l) }

// Decode fills l, T tokens, from the whole of what Encode appended.
func (c *Coder) Decode(src []byte, l *Labels) error { return c.codec.decode(src, l, c.set) }
