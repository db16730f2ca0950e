package model

import "slices"

// Apportion says how many of n microbatches each rank takes, at least one, that a step is done earliest: seconds are what one takes on each
// rank. Microbatches go one by one to the rank that would be done with it first, which for things that are alike is the best there is; of
// ranks that would be done together to the first. n must be at least the number of ranks.
func Apportion(n int, seconds []float64) []int {
	counts := make([]int, len(seconds))
	for i := range counts {
		counts[i] = 1
	}
	for range n - len(seconds) {
		best := 0
		for i, s := range seconds {
			if float64(counts[i]+1)*s < float64(counts[best]+1)*seconds[best] {
				best = i
			}
		}
		counts[best]++
	}
	return counts
}

// StepSeconds is when the last rank is done that takes so many microbatches of so many seconds each.
func StepSeconds(counts []int, seconds []float64) (worst float64) {
	for i, s := range seconds {
		worst = max(worst, float64(counts[i])*s)
	}
	return worst
}

// IdealSeconds is when all would be done together, if microbatches could be cut anywhere.
func IdealSeconds(n int, seconds []float64) float64 {
	rate := 0.0
	for _, s := range seconds {
		rate += 1 / s
	}
	return float64(n) / rate
}

// Even are the counts of ranks that take n microbatches evenly, as Share has it.
func Even(n, ranks int) []int {
	counts := make([]int, ranks)
	for rank := range counts {
		first, end := Share(n, rank, ranks)
		counts[rank] = end - first
	}
	return counts
}

// ShareOf is the run of a rank, first to end (exclusive), where ranks take so many each.
func ShareOf(counts []int, rank int) (first, end int) {
	for _, c := range counts[:rank] {
		first += c
	}
	return first, first + counts[rank]
}

// share is the rank's run of n microbatches: by Counts, where they are of as many, else even.
func (r *Ranks) share(n int) (first, end int) {
	if r == nil {
		return 0, n
	}
	total := 0
	for _, c := range r.Counts {
		total += c
	}
	if len(r.Counts) != r.Size() || total != n || slices.Min(r.Counts) < 1 {
		return r.Share(n)
	}
	return ShareOf(r.Counts, r.Rank())
}
