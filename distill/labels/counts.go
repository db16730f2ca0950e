package labels

import (
	"errors"
	"fmt"

	"saltern/distill/blockfile"
)

// countsKey is that of blocks that hold ranks instead of a sequence, whose numbers are positive.
const countsKey = 1 << 63

// A file counts what its teacher says when it has countFirst tokens, and anew each time it has countAgain times as many, up to
// countLast: what is written from then on goes by the new ranks.
const (
	countFirst = 1 << 10
	countAgain = 4
	countLast  = 1 << 18
)

// due says whether a file is to be counted when it has n sequences of T tokens.
func due(n, T int) bool {
	for tokens := countFirst; tokens <= countLast; tokens *= countAgain {
		if n > 0 && (n-1)*T < tokens && n*T >= tokens {
			return true
		}
	}
	return false
}

// era is the blocks that go by the same ranks: from one of them on, until the next era begins.
type era struct {
	from  int
	codec *codec
	err   error // what is wrong with its ranks, and so with all that follow
}

// eras are those of a file, in order.
type eras []era

// erasOf reads the ranks of a file. One that is damaged leaves what was written before it.
func erasOf(b *blockfile.File, s Settings) (list eras, err error) {
	list = eras{{codec: newCodec(s, inOrder(s.Vocab))}}
	var buffer blockfile.Buffer
	for i := range b.Blocks() {
		if b.Key(i) != countsKey {
			continue
		}
		e := era{from: i}
		block, err := b.Block(i, &buffer)
		switch {
		case err == nil:
			var r *ranks
			if r, err = decodeRanks(block, s.Vocab); err != nil {
				err = fmt.Errorf("%s: block %d is %w: %w", b.Name(), i, blockfile.ErrDamaged, err)
			}
			e.codec = newCodec(s, r)
		case !errors.Is(err, blockfile.ErrDamaged):
			return nil, err
		}
		e.err = err
		list = append(list, e)
	}
	return list, nil
}

// of is the era of a block.
func (list eras) of(block int) era {
	i := len(list) - 1
	for list[i].from > block {
		i--
	}
	return list[i]
}

// count writes the ranks of all that the file holds, which later sequences go by. It reads them from the file, so that they are the
// same whether the process that wrote them was this one or not.
func (w *Writer) count() error {
	c := &census{seen: make([]uint32, w.settings.Vocab)}
	if err := w.each(c.countIDs); err != nil {
		return err
	}
	octaves := c.octaves()
	r := byOctave(octaves)
	if err := w.each(func(l *Labels) { c.countGaps(l, r) }); err != nil {
		return err
	}
	block := c.encode(octaves)
	r, err := decodeRanks(block, w.settings.Vocab)
	if err != nil {
		return fmt.Errorf("bug: %w", err)
	}
	w.eras = append(w.eras, era{from: w.Blocks(), codec: newCodec(w.settings, r)})
	return w.Write(countsKey, block)
}

// each visits all sequences of the file in their order.
func (w *Writer) each(visit func(l *Labels)) error {
	l, set := New(w.settings.Sequence, w.settings.Count), newSorter(w.settings.Vocab)
	var buffer blockfile.Buffer
	for i := range w.Blocks() {
		if w.Key(i) == countsKey {
			continue
		}
		block, err := w.Block(i, &buffer)
		if err != nil {
			return err
		}
		if err := w.eras.of(i).codec.decode(block, l, set); err != nil {
			return fmt.Errorf("%s: block %d is %w: %w; %s", w.Name(), i, blockfile.ErrDamaged, err, anew)
		}
		visit(l)
	}
	return nil
}
