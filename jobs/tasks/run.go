package tasks

import (
	"context"
	"math"
	"slices"
	"strings"
)

// Request asks for the likelihood of a continuation of a context.
type Request struct{ Context, Continuation string }

// Score is the answer.
type Score struct {
	LogLikelihood float64 // ln p(continuation | context), nats
	Greedy        bool    // each of its tokens is the likeliest there
}

// Model answers.
type Model interface {
	// Score gives the likelihoods, in the order of the requests.
	Score(ctx context.Context, requests []Request) ([]Score, error)

	// Write gives what the model writes after a context, the likeliest token each time, up to the first of the texts until, to the end of
	// the document or to so many tokens.
	Write(ctx context.Context, text string, until []string, tokens int) (string, error)
}

// Metric is one number of a task and its standard error, NaN where there is none.
type Metric struct {
	Name          string
	Value, Stderr float64
}

// Result is how a model did.
type Result struct {
	Task, OutputType string
	Shots, Documents int
	Metrics          []Metric
}

// Run asks the model all documents.
func (t *Task) Run(ctx context.Context, m Model) (*Result, error) {
	contexts := make([]string, len(t.docs))
	for i := range t.docs {
		var err error
		if contexts[i], err = t.context(i); err != nil {
			return nil, err
		}
	}
	r := &Result{Task: t.Task, OutputType: t.OutputType, Shots: t.NumFewshot, Documents: len(t.docs)}
	var err error
	switch t.OutputType {
	case MultipleChoice:
		r.Metrics, err = t.choose(ctx, m, contexts)
	case Loglikelihood:
		r.Metrics, err = t.expect(ctx, m, contexts)
	default:
		r.Metrics, err = t.write(ctx, m, contexts)
	}
	return r, err
}

func (t *Task) choose(ctx context.Context, m Model, contexts []string) ([]Metric, error) {
	var requests []Request
	for i, d := range t.docs {
		for _, c := range d.choices {
			requests = append(requests, Request{contexts[i], *t.TargetDelimiter + c})
		}
	}
	scores, err := m.Score(ctx, requests)
	if err != nil {
		return nil, err
	}
	n := len(t.docs)
	acc, norm, bytes, sure := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i, d := range t.docs {
		of := scores[:len(d.choices)]
		scores = scores[len(d.choices):]
		best := func(length func(choice string) float64) float64 {
			top := 0
			for j := range of {
				if of[j].LogLikelihood/length(d.choices[j]) > of[top].LogLikelihood/length(d.choices[top]) {
					top = j
				}
			}
			return indicator(top == d.gold)
		}
		acc[i] = best(func(string) float64 { return 1 })
		norm[i] = best(func(c string) float64 { return float64(len([]rune(c))) })
		bytes[i] = best(func(c string) float64 { return float64(len(c)) })
		sure[i] = topShare(of)
	}
	return []Metric{mean("acc", acc), mean("acc_norm", norm), mean("acc_bytes", bytes), {"ece", calibrationError(sure, acc), math.NaN()}}, nil
}

// topShare is the likelihood of the likeliest among all choices.
func topShare(scores []Score) float64 {
	top := slices.MaxFunc(scores, func(a, b Score) int { return compare(a.LogLikelihood, b.LogLikelihood) }).LogLikelihood
	sum := 0.0
	for _, s := range scores {
		sum += math.Exp(s.LogLikelihood - top)
	}
	return 1 / sum
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// calibrationBins is how many bins of equal width the shares are put into.
const calibrationBins = 10

// calibrationError is the expected calibration error (Guo et al. 2017, arXiv 1706.04599): the mean distance between how sure the model
// was and how often it was right, over bins of how sure it was.
func calibrationError(sure, right []float64) float64 {
	var s, r, count [calibrationBins]float64
	for i := range sure {
		b := min(calibrationBins-1, int(sure[i]*calibrationBins))
		s[b], r[b], count[b] = s[b]+sure[i], r[b]+right[i], count[b]+1
	}
	e := 0.0
	for b := range count {
		e += math.Abs(s[b] - r[b])
	}
	return e / float64(len(sure))
}

func (t *Task) expect(ctx context.Context, m Model, contexts []string) ([]Metric, error) {
	requests := make([]Request, len(t.docs))
	for i, d := range t.docs {
		requests[i] = Request{contexts[i], d.targets[0]}
	}
	scores, err := m.Score(ctx, requests)
	if err != nil {
		return nil, err
	}
	ll, acc := make([]float64, len(scores)), make([]float64, len(scores))
	for i, s := range scores {
		ll[i], acc[i] = s.LogLikelihood, indicator(s.Greedy)
	}
	l := mean("", ll)
	perplexity := math.Exp(-l.Value)
	return []Metric{mean("acc", acc), {"perplexity", perplexity, perplexity * l.Stderr}}, nil
}

func (t *Task) write(ctx context.Context, m Model, contexts []string) ([]Metric, error) {
	match := make([]float64, len(t.docs))
	for i, d := range t.docs {
		got, err := m.Write(ctx, contexts[i], t.Until, t.MaxGenToks)
		if err != nil {
			return nil, err
		}
		match[i] = indicator(slices.Contains(d.targets, Cut(got, t.Until)))
	}
	return []Metric{mean("exact_match", match)}, nil
}

// Cut is a text up to the first of the texts until.
func Cut(text string, until []string) string {
	for _, u := range until {
		if u != "" {
			text, _, _ = strings.Cut(text, u)
		}
	}
	return text
}

func indicator(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// mean is that of the values, with the standard error sqrt(sum (x - mean)^2 / (n-1)) / sqrt(n).
func mean(name string, values []float64) Metric {
	n, sum, squares := float64(len(values)), 0.0, 0.0
	for _, v := range values {
		sum += v
	}
	for _, v := range values {
		squares += (v - sum/n) * (v - sum/n)
	}
	return Metric{name, sum / n, math.Sqrt(squares/(n-1)) / math.Sqrt(n)}
}
