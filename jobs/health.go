package jobs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"saltern/model"
)

// A device that was right when a job began may be wrong later, without a word: memory that fails, heat, a driver that was replaced. What it computes
// goes into every rank's weights. So now and then all ranks compute the gradient of the same microbatch, at the same weights, and
// compare; where they do not agree each holds its kernels against the reference once more, and who is wrong is named.

// checkHours is how long ranks go without comparing where the job names no steps.
const checkHours = time.Hour

// Deviations of a bucket's gradient that are more than rounding, as a part of it.
const (
	mostDeviation     = 0.01
	mostDeviationHalf = 0.2 // of 16-bit matrix products
)

// health is when ranks compare next.
type health struct {
	every int64     // steps; 0: by the clock of the first rank
	last  time.Time // when they did, or began
	good  int64     // the step after which they last agreed
}

// openHealth begins, on every rank.
func (l *loop) openHealth() {
	r := l.s.ranks
	if r == nil {
		return
	}
	r.health = nil
	if n := l.s.job.Cluster.CheckEvery; n >= 0 && l.rounds == nil && l.teachers == 0 && r.size() > 1 { // teachers join later
		r.health = &health{every: n, last: time.Now(), good: l.step}
	}
}

// wish says, before a step, whether this rank asks for a comparison after it: the first one's clock decides.
func (h *health) wish(leads bool) float64 {
	if h != nil && leads && h.every == 0 && time.Since(h.last) > checkHours {
		return 1
	}
	return 0
}

// checkHealth compares the ranks, where that is due after the step that was just done.
func (l *loop) checkHealth(ctx context.Context) error {
	r := l.s.ranks
	if r == nil || r.health == nil {
		return nil
	}
	h := r.health
	if due := h.every > 0 && l.step%h.every == 0 || r.now.Also[alsoHealth] > 0; !due {
		return nil
	}
	defer l.tracer.after("compare the ranks", time.Now())
	ctx = context.WithoutCancel(ctx)
	sample := l.step * int64(l.Train.Batch) // of the next step, as all ranks have it
	sketches, err := l.trainer.Probe(func(first int, ids, labels []uint32) error {
		return l.denoising.batch(l.s.set.Train, l.orderAt(l.order, min(l.step, l.Train.Steps-1)), sample, l.Train.Sequence, ids, labels, l.trainer.Seen)
	})
	if err != nil {
		return err
	}
	all, err := everybody(ctx, r, sketches)
	if err != nil {
		return err
	}
	h.last = time.Now()
	bound := mostDeviation
	if l.Train.Precision != model.Float32 {
		bound = mostDeviationHalf
	}
	findings := disagreements(all, bound)
	if len(findings) == 0 {
		h.good = l.step
		return nil
	}
	return l.sick(ctx, findings)
}

// oddRank is what one rank has computed otherwise than most.
type oddRank struct {
	rank   int
	tensor string  // the bucket where it is furthest off
	by     float64 // as a part of its gradient
}

// disagreements are those ranks whose gradients are not those of most, by rank. Where there is no majority, as of two ranks, they are all
// ranks.
func disagreements(all [][]model.Sketch, bound float64) []oddRank {
	n := len(all)
	alike := func(a, b int) (worst oddRank) {
		worst.rank = a
		for k, s := range all[a] {
			if d := s.Deviation(all[b][k]); d > worst.by {
				worst.by, worst.tensor = d, s.Name
			}
		}
		return worst
	}
	friends, furthest := make([]int, n), make([]oddRank, n)
	for a := range n {
		for b := range n {
			d := alike(a, b)
			if d.by <= bound {
				friends[a]++
			}
			if d.by > furthest[a].by {
				furthest[a] = d
			}
		}
	}
	if slices.Min(friends) == n {
		return nil
	}
	var odd []oddRank
	for a := range n {
		if 2*friends[a] <= n {
			odd = append(odd, furthest[a])
		}
	}
	return odd
}

// sick is the end of a job whose devices do not agree; with cluster.elastic, where it is known who is wrong, the end of those alone.
func (l *loop) sick(ctx context.Context, findings []oddRank) error {
	r := l.s.ranks
	wrong, err := l.s.tuner.Recheck(ctx, l.trainer.Programs()...)
	if err != nil {
		return err
	}
	kernels, err := everybody(ctx, r, wrong)
	if err != nil {
		return err
	}
	culprits, words := diagnose(findings, kernels, func(rank int) string { return r.seats[rank].String() })
	text := fmt.Sprintf("%s: after step %d the ranks do not agree on the gradient of one microbatch: %s; they last agreed after step %d, and what was learned since, checkpoints too, may be wrong",
		l.label, l.step, words, r.health.good)
	if r.regroup != nil && len(culprits) > 0 && !slices.Contains(culprits, 0) && len(culprits) < r.size() {
		if !slices.Contains(culprits, r.rank()) {
			l.s.say("%s; the others go on", text)
			return nil
		}
		return fmt.Errorf("%s; this rank leaves, and the others go on", text)
	}
	return agreed{fmt.Errorf("%s. Remove the checkpoints after that step, and start again without that device", text)}
}

// diagnose says who is wrong, and words it: whose kernels fail the reference now, else who is alone with what it found. Nobody, if that is
// not known.
func diagnose(findings []oddRank, kernels []string, seat func(rank int) string) (culprits []int, words string) {
	var list []string
	for rank, k := range kernels {
		if k == "" {
			continue
		}
		culprits = append(culprits, rank)
		tensor := ""
		for _, f := range findings {
			if f.rank == rank {
				tensor = fmt.Sprintf(", by %.2g of it in %s", f.by, f.tensor)
			}
		}
		list = append(list, fmt.Sprintf("%s is wrong%s; its kernel fails the reference: %s", seat(rank), tensor, k))
	}
	if len(list) > 0 {
		return culprits, strings.Join(list, "; ")
	}
	known := 2*len(findings) < len(kernels)
	for _, f := range findings {
		if known {
			culprits = append(culprits, f.rank)
		}
		list = append(list, fmt.Sprintf("%s is off by %.2g of it in %s", seat(f.rank), f.by, f.tensor))
	}
	words = strings.Join(list, "; ") + "; every kernel alone agrees with the reference"
	if !known {
		words += ", so which rank is wrong is not known: saltern doctor on each may tell"
	}
	return culprits, words
}

// faultStep is the step from which on what this process computes is to be wrong, for trying out that a job notices; 0: never.
func (o IO) faultStep() int64 {
	if o.Env == nil {
		return 0
	}
	text, _ := o.Env("SALTERN_FAULT")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// spoil makes a gradient wrong that was read, from the step on that was asked for.
func (t *tracer) spoil(x string, data []float32) {
	if t.fault > 0 && t.now >= t.fault && strings.HasSuffix(x, ".layers.0.gradient") {
		for i := range data {
			data[i] *= 2
		}
	}
}
