package jobs

import (
	"context"
	"fmt"
	"strings"

	"saltern/compute"
	"saltern/jobs/metrics"
	"saltern/jobs/report"
	"saltern/model"
	"saltern/model/corpus"
	"saltern/model/token"
	"saltern/model/ul2"
)

// denoising is how a training by objective "ul2" reads its text. Nil, it is that of a causal one.
type denoising struct {
	mixture ul2.Mixture
	T       int
	text    []uint32 // T+1 ids
}

// denoising of the training; nil where its objective is causal.
func (t *training) denoising(s *session) (*denoising, error) {
	if t.Train.Objective != model.UL2 {
		return nil, nil
	}
	tok, err := token.Parse(s.tokenizer)
	if err != nil {
		return nil, err
	}
	ids, ok := tok.Denoising()
	if !ok {
		return nil, fmt.Errorf("bug: the tokenizer was made without the special tokens of objective %q", model.UL2)
	}
	return &denoising{ul2.Mixture{Seed: uint64(t.Seed), Tokens: ids}, t.Train.Sequence, make([]uint32, t.Train.Sequence+1)}, nil
}

// number is what a training's sample stands for: the sequence of the text, of n, and for a mixture its epoch too, n*epoch + sequence,
// since a sequence makes another example each time it comes.
func (d *denoising) number(order corpus.Order, n, sample int64) int64 {
	if d == nil {
		return order.At(sample)
	}
	return n*order.Epoch(sample) + order.At(sample)
}

// example fills x with what the training makes of a sequence of the text, by its number.
func (d *denoising) example(text *corpus.Stream, number int64, x ul2.Example) error {
	if d == nil {
		ids := make([]uint32, len(x.IDs)+1)
		err := text.Sequence(number, ids)
		copy(x.IDs, ids)
		copy(x.Labels, ids[1:])
		return err
	}
	if err := text.Sequence(number%text.Sequences(d.T), d.text); err != nil {
		return err
	}
	d.mixture.Make(number, d.text, x)
	return nil
}

// batch fills a microbatch with the samples from first on; seen is not looked at but for a mixture.
func (d *denoising) batch(text *corpus.Stream, order corpus.Order, first int64, T int, ids, labels, seen []uint32) error {
	B := len(ids) / T
	if d == nil {
		return text.Batch(order, first, B, T, ids, labels)
	}
	for i := range B {
		if err := d.example(text, d.number(order, text.Sequences(T), first+int64(i)), exampleAt(i, T, ids, labels, seen)); err != nil {
			return err
		}
	}
	return nil
}

// exampleAt is the example that sequence i of a microbatch is.
func exampleAt(i, T int, ids, labels, seen []uint32) ul2.Example {
	return ul2.Example{IDs: ids[i*T : (i+1)*T], Labels: labels[i*T : (i+1)*T], Seen: seen[2*i*T : 2*(i+1)*T]}
}

// evaluate measures each denoiser but the causal one on sequences spread evenly over the held-out text, as many as the causal loss is
// measured on. They are the same in every training, whatever its seed. A text without a whole sequence measures nothing.
func (d *denoising) evaluate(ctx context.Context, e *model.Evaluator, text *corpus.Stream, tokens int64) (map[string]model.Stats, error) {
	all := text.Sequences(e.T)
	if d == nil || all == 0 {
		return nil, nil
	}
	n, fixed := min(all, max(1, tokens/int64(e.T))), ul2.Mixture{Tokens: d.mixture.Tokens}
	found := map[string]model.Stats{}
	for _, denoiser := range []ul2.Denoiser{ul2.Prefix, ul2.Span} {
		stats, err := e.Evaluate(int(n), func(first int, ids, labels []uint32) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i := range e.B {
				x, k := exampleAt(i, e.T, ids, labels, e.Seen), int64(first+i)
				if k >= n {
					clear(x.IDs)
					for j := range x.Labels {
						x.Labels[j] = compute.Masked
					}
					continue
				}
				sequence := k * all / n
				if err := text.Sequence(sequence, d.text); err != nil {
					return err
				}
				fixed.MakeBy(denoiser, sequence, d.text, x)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		found[denoiser.String()] = stats
	}
	return found, nil
}

// valKeys are the metrics of what evaluate finds.
var valKeys = map[string]string{ul2.Prefix.String(): metrics.ValPrefix, ul2.Span.String(): metrics.ValSpan}

// describeDenoisers words what evaluate found.
func describeDenoisers(found map[string]model.Stats) string {
	var b strings.Builder
	for _, d := range ul2.Denoisers {
		if s, ok := found[d.String()]; ok {
			fmt.Fprintf(&b, "  %s %.4f", d, s.NLL)
		}
	}
	return b.String()
}

// denoisingCharts draws the held-out losses beside the causal one; there are none without a mixture.
func denoisingCharts(llms []finishedTraining, curves map[string][]metrics.Record) []report.Chart {
	var list []report.Chart
	for _, c := range []struct{ key, title, note string }{
		{metrics.ValPrefix, "Held-out loss after a prefix", "Of the tokens after a beginning that is read both ways."},
		{metrics.ValSpan, "Held-out loss of spans", "Of the tokens of gaps, with their sentinels."},
	} {
		chart := report.Chart{Title: c.title, Note: c.note, X: "optimizer steps", Y: "nats per token", Focus: true, Half: true}
		for _, d := range llms {
			if p := points(curves[d.name], stepOf, c.key, 1); len(p) > 0 {
				chart.Series = append(chart.Series, report.Series{Name: d.label, Points: p})
			}
		}
		if len(chart.Series) > 0 {
			list = append(list, chart)
		}
	}
	return list
}

// checkObjectives refuses a teacher that does not know what its student is to learn: it has never seen a sentinel.
func (c Config) checkObjectives(bad func(key, message string)) {
	if c.Distill.AsksSLM() && c.LLM.Train.Objective == model.UL2 && c.SLM.Train.Objective == model.Causal {
		bad("slm.train.objective", fmt.Sprintf("objective = %q leaves the teacher without a notion of what llm.train.objective = %q asks; "+
			"set slm.train.objective = %q as well, or distill.method = \"baseline\"", model.Causal, model.UL2, model.UL2))
	}
}
