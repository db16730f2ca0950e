package watch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"saltern/cluster/status"
	"saltern/jobs/progress"
)

// Rank is what is known of a rank from what it says.
type Rank struct {
	status.Report
	Heard          time.Time // when it was heard last, by the listener's clock
	SentPerSec     float64   // bytes over the network, lately; NaN where that is not known yet
	ReceivedPerSec float64
	Own            float64 // milliseconds of a step that it did not wait for others in, lately: it is the slow rank that waits least

	counted status.Report // of when the counters last grew
}

// board keeps the newest of each rank.
type board map[int]Rank

// idle is after how long without anything sent a rank counts as sending nothing, where no step takes longer.
const idle = 10 * time.Second

// hear takes a report in. Ranks count what they send when a step ends, so a rate is one between two ends of steps.
func (b board) hear(r status.Report, now time.Time) {
	n := Rank{Report: r, Heard: now, SentPerSec: math.NaN(), ReceivedPerSec: math.NaN(), Own: max(0, r.StepMS-r.WaitMS), counted: r}
	was, known := b[r.Rank]
	switch {
	case !known:
	case !r.Time.After(was.Time):
		return // overtaken by a newer one
	case r.Step == was.Step && r.Training == was.Training:
		n.SentPerSec, n.ReceivedPerSec, n.Own, n.counted = was.SentPerSec, was.ReceivedPerSec, was.Own, was.counted
		if r.Time.Sub(was.counted.Time) > max(idle, time.Duration(3e6*r.StepMS)) {
			n.SentPerSec, n.ReceivedPerSec = 0, 0
		}
	default:
		over := r.Time.Sub(was.counted.Time).Seconds()
		n.SentPerSec = rate(was.SentPerSec, was.counted.SentBytes, r.SentBytes, over)
		n.ReceivedPerSec = rate(was.ReceivedPerSec, was.counted.ReceivedBytes, r.ReceivedBytes, over)
		n.Own = (was.Own + n.Own) / 2 // one slow step is no slow rank
	}
	b[r.Rank] = n
}

// rate is how fast a counter grows, averaged with what it was before: ranks send in bursts.
func rate(before float64, from, to uint64, seconds float64) float64 {
	if to < from { // the rank has started again
		return math.NaN()
	}
	now := float64(to-from) / seconds
	if before > 0 {
		return (before + now) / 2
	}
	return now
}

// counted says that what all ranks send is known.
func (b board) counted() bool {
	for _, r := range b {
		if math.IsNaN(r.SentPerSec) {
			return false
		}
	}
	return len(b) > 0
}

// ranks lists them by number.
func (b board) ranks() (list []Rank) {
	for _, rank := range slices.Sorted(maps.Keys(b)) {
		list = append(list, b[rank])
	}
	return list
}

// When a rank stands out: its own part of the step takes so much longer than the median of its like, or it has been silent for that
// long, of messages that come every second.
const (
	slowFrom  = 1.25
	slowByMS  = 5
	silentFor = 5 * time.Second
)

// silent says that nothing is heard of the rank.
func (r Rank) silent(now time.Time) bool { return now.Sub(r.Heard) > silentFor }

// straggles says why a rank of ranks stands out; empty where it does not.
func straggles(r Rank, ranks []Rank, now time.Time) string {
	if r.silent(now) {
		return "silent for " + progress.Span(now.Sub(r.Heard).Truncate(time.Second))
	}
	if r.Total > 0 && r.Step >= r.Total {
		return ""
	}
	var like []float64
	steps := r.Step
	for _, o := range ranks {
		if o.Role == r.Role && o.Training == r.Training && !o.silent(now) {
			like = append(like, o.Own)
			steps = max(steps, o.Step)
		}
	}
	m := median(like)
	switch {
	case len(like) > 1 && r.Own > slowFrom*m && r.Own > m+slowByMS:
		return fmt.Sprintf("slow: %.1fx the median", r.Own/m)
	case steps > r.Step+1 && r.Role == status.Student:
		return fmt.Sprintf("%d steps behind", steps-r.Step)
	}
	return ""
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n == 0 {
		return 0
	}
	return (list[(n-1)/2] + list[n/2]) / 2
}

// students are the ranks that train t and are heard.
func (s *State) students(t *Training) (list []Rank) {
	for _, r := range s.Ranks {
		if r.Role == status.Student && r.Training == t.Folder && !r.silent(s.Now) {
			list = append(list, r)
		}
	}
	return list
}
