package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"saltern/compute"
	"saltern/model"
	"saltern/model/corpus"
	"saltern/model/token"
)

// examples are prompts with the responses that a model is to give, packed into sequences of T tokens of which none is cut: an example
// that does not fit the rest of a sequence begins the next. Each begins with the end-of-text token, and what is predicted is its
// response and the end of text after it. In memory they take 8 bytes a token.
type examples struct {
	T               int
	train, heldOut  rows
	key             string // SHA-256 of all that the rows hold
	count           int    // of those that are used
	duplicates      int    // dropped
	long            int    // dropped, as they do not fit a sequence
	prompt, answers int64  // tokens of either
}

// rows are sequences: T ids each and T labels, compute.Masked where nothing is predicted.
type rows struct {
	T           int
	ids, labels []uint32
	used        int         // tokens of the last row
	part        corpus.Part // what is predicted of them
}

// example is what the model reads and what it is to predict, tokens each, and how many bytes the latter are.
type example struct {
	ids, labels []uint32
	bytes       int
}

// predicted is how many tokens are.
func (x example) predicted() (n int64) {
	for _, l := range x.labels {
		if l != compute.Masked {
			n++
		}
	}
	return n
}

// count is how many there are.
func (r *rows) count() int { return len(r.ids) / max(1, r.T) }

// add appends an example of at most T ids to the last row, or to a new one. What is left of a row is documents of no length.
func (r *rows) add(x example, endOfText uint32) {
	if len(r.ids) == 0 || r.used+len(x.ids) > r.T {
		for range r.T {
			r.ids, r.labels = append(r.ids, endOfText), append(r.labels, compute.Masked)
		}
		r.used = 0
	}
	at := len(r.ids) - r.T + r.used
	copy(r.ids[at:], x.ids)
	copy(r.labels[at:], x.labels)
	r.used += len(x.ids)
	r.part.Documents++
	r.part.Bytes += int64(x.bytes)
	r.part.Tokens += x.predicted()
}

// read copies row i.
func (r *rows) read(i int, ids, labels []uint32) {
	copy(ids, r.ids[i*r.T:(i+1)*r.T])
	copy(labels, r.labels[i*r.T:(i+1)*r.T])
}

// exampleFields are the fields of a line.
type exampleFields struct{ prompt, response string }

// readExamples reads .jsonl files. Whether an example is held out depends on its bytes alone; at least one is.
func readExamples(c corpus.Config, f exampleFields, tok *token.Tokenizer, T int) (*examples, error) {
	x := &examples{T: T, train: rows{T: T}, heldOut: rows{T: T}}
	sum, seen := sha256.New(), map[[16]byte]bool{}
	bound := uint64(c.Defaults().HeldOut * math.MaxUint64)
	var last example // kept back, for where none is held out
	err := c.Objects(func(place string, _ []byte, fields map[string]json.RawMessage) error {
		prompt, err := exampleText(fields, f.prompt)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		response, err := exampleText(fields, f.response)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		e := encodeExample(tok, prompt, response)
		hash := sha256.Sum256([]byte(prompt + "\x00" + response))
		switch k := [16]byte(hash[:]); {
		case seen[k]:
			x.duplicates++
			return nil
		case len(e.ids) > T:
			x.long++
			return nil
		default:
			seen[k] = true
		}
		sum.Write(hash[:])
		x.count++
		x.answers += e.predicted()
		x.prompt += int64(len(e.ids)) - e.predicted()
		switch {
		case binary.BigEndian.Uint64(hash[16:]) <= bound:
			x.heldOut.add(e, tok.EndOfText())
		case last.ids != nil:
			x.train.add(last, tok.EndOfText())
			fallthrough
		default:
			last = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if last.ids != nil && x.heldOut.count() == 0 {
		x.heldOut.add(last, tok.EndOfText())
	} else if last.ids != nil {
		x.train.add(last, tok.EndOfText())
	}
	if x.train.count() == 0 {
		return nil, fmt.Errorf("there are %d examples of at most %d tokens, and it takes one to train on and one to hold out; give more, or a longer llm.train.sequence (%d were too long)", x.count, T, x.long)
	}
	fmt.Fprint(sum, T, tok.Hash(), bound)
	x.key = hex.EncodeToString(sum.Sum(nil))
	return x, nil
}

func exampleText(fields map[string]json.RawMessage, name string) (string, error) {
	raw, ok := fields[name]
	if !ok {
		return "", fmt.Errorf("the example has no field %q; say with --prompt and --response which fields to take", name)
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return "", fmt.Errorf("the field %q is not a text", name)
	}
	return *text, nil
}

// encodeExample tokenizes one. Prompt and response are tokenized apart, as a prompt is when it stands
// alone.
func encodeExample(tok *token.Tokenizer, prompt, response string) example {
	x := example{ids: tok.Encode([]uint32{tok.DocumentStart()}, []byte(prompt)), bytes: len(response)}
	known := len(x.ids)
	x.ids = tok.Encode(x.ids, []byte(response))
	x.labels = append(append([]uint32(nil), x.ids[1:]...), tok.EndOfText())
	for i := range known - 1 {
		x.labels[i] = compute.Masked
	}
	return x
}

// batch fills a microbatch with the samples from first on.
func (x *examples) batch(order corpus.Order, first int64, ids, labels []uint32) {
	for i := range len(ids) / x.T {
		x.train.read(int(order.At(first+int64(i))), ids[i*x.T:(i+1)*x.T], labels[i*x.T:(i+1)*x.T])
	}
}

// evaluate measures the loss of the held-out responses, of some tokens at most.
func (x *examples) evaluate(ctx context.Context, e *model.Evaluator, tokens int64) (model.Stats, error) {
	n := max(1, min(x.heldOut.count(), int(tokens/int64(x.T))))
	return e.Evaluate(n, func(first int, ids, labels []uint32) error {
		for i := range len(ids) / x.T {
			row, want := ids[i*x.T:(i+1)*x.T], labels[i*x.T:(i+1)*x.T]
			if first+i < n {
				x.heldOut.read(first+i, row, want)
				continue
			}
			clear(row)
			for j := range want {
				want[j] = compute.Masked
			}
		}
		return ctx.Err()
	})
}
