package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"saltern/jobs/place"
	"saltern/model"
	"saltern/model/checkpoint"
)

// sickness is what the ranks' findings come to.
type sickness struct {
	words    string // empty: all are right
	culprits []int  // by rank; none where it is not known who they are
}

// diagnose says who is wrong: whose kernels fail the reference, and who is alone with what it has. odd are those that are not like most of so many ranks;
// kernels, of these and of those that teach after them, is the first check that each fails.
func diagnose(odd []oddRank, of int, kernels []string, seat func(rank int) string) (d sickness) {
	known, off := 2*len(odd) < of, map[int]string{}
	for _, o := range odd {
		off[o.rank] = o.String()
	}
	var list []string
	for rank, k := range kernels {
		text := seat(rank) + off[rank]
		switch {
		case k != "" && off[rank] != "":
			text += ", and has a kernel that fails the reference: " + k
		case k != "":
			text += " has a kernel that fails the reference: " + k
		case off[rank] != "" && known:
			text += ", and each of its kernels alone agrees with the reference"
		default:
			continue
		}
		d.culprits, list = append(d.culprits, rank), append(list, text)
	}
	if len(list) == 0 && len(odd) > 0 {
		for _, o := range odd {
			list = append(list, seat(o.rank)+o.String())
		}
		list = append(list, "every kernel alone agrees with the reference, so which rank is wrong is not known: saltern doctor on each may tell")
	}
	d.words = strings.Join(list, "; ")
	return d
}

// oddRank is a rank that has something else than most.
type oddRank struct {
	rank   int
	tensor string  // the bucket where its gradient is furthest off; the first where its weights are other ones
	by     float64 // as a part of the gradient; 0 of weights
}

func (o oddRank) String() string {
	if o.by == 0 {
		return " has other weights, first in " + o.tensor
	}
	return fmt.Sprintf(" is off by %.2g of the gradient of one microbatch in %s", o.by, o.tensor)
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

// unlike are those ranks whose weights are not those of most, likewise.
func unlike(all [][]model.Checksum) (odd []oddRank) {
	votes := map[string]int{}
	key := func(c []model.Checksum) string { return fmt.Sprint(c) }
	for _, c := range all {
		votes[key(c)]++
	}
	for rank, c := range all {
		if n := votes[key(c)]; 2*n > len(all) {
			continue
		}
		other := slices.IndexFunc(all, func(o []model.Checksum) bool { return key(o) != key(c) && votes[key(o)] >= votes[key(c)] })
		first := slices.IndexFunc(c, func(x model.Checksum) bool { return !slices.Contains(all[other], x) })
		odd = append(odd, oddRank{rank: rank, tensor: c[first].Name})
	}
	return odd
}

// seatOf words a rank, its host and its device.
func (s *session) seatOf(rank int) string {
	if s.ranks == nil {
		own := place.NewSeat(0, 0, s.device.Info())
		return fmt.Sprintf("this process (%s, %s)", own.Host, own.Device)
	}
	return s.ranks.seats[rank].String()
}

// sick is the end of a training with a device that is wrong. What was learned since all were right is set aside, so that whoever goes on, the same command or,
// with cluster.elastic, the ranks whose devices are right, goes back to before that.
func (l *loop) sick(ctx context.Context, d sickness) error {
	r, good := l.s.ranks, l.state.Good
	text := fmt.Sprintf("%s: after step %d %s; all was right after step %d, and what was learned since may not be", l.label, l.step, d.words, good)
	if err := r.first(ctx, func() error { return l.setAside(d) }); err != nil {
		return err
	}
	from := l.lastSaved()
	if r == nil || r.regroup == nil || len(d.culprits) == 0 || slices.Contains(d.culprits, 0) || len(d.culprits) == r.size() {
		remedy := "start it without that device"
		if len(d.culprits) == 0 {
			remedy = "find the device first"
		}
		return agreed{fail(SickDevice, "%s. The same command goes back to step %d, and checkpoints after step %d are set aside as suspect_* in %s; %s", text, from, good, l.checkpoints(), remedy)}
	}
	l.s.say("%s; the others go back to step %d", text, from)
	if slices.Contains(d.culprits, r.rank()) {
		return fail(SickDevice, "its device computes wrongly, as was found after step %d", l.step)
	}
	l.goesBack = true
	<-r.all.Done() // they leave
	return context.Cause(r.all)
}

// setAside is what the first rank does with what may be wrong: checkpoints, and soft labels of a teacher that is.
func (l *loop) setAside(d sickness) error {
	if l.stage != nil && l.stage.keeper != nil && slices.ContainsFunc(d.culprits, func(rank int) bool { return rank >= l.stage.Students }) {
		l.stage.keeper.end(l.step)
		work, err := l.labeling(l.s)
		if err == nil {
			_, err = fileAside(work.path())
		}
		if err != nil {
			return err
		}
	}
	_, _, err := checkpoint.SetAside(l.checkpoints(), int(l.state.Good))
	return err
}
