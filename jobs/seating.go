package jobs

import (
	"context"
	"fmt"
	"slices"

	"saltern/compute"
	"saltern/compute/vk"
	"saltern/jobs/place"
)

// Seats. Ranks are numbered by who starts them, which need not be the order in which their devices suit a job. So for each training
// the ranks take seats: those that train come before those that do not, and students before teachers. Everything else in this
// package counts in seats, and whoever trains, or is in stage 1 a student, is one of the first. Rank 0 has seat 0: it runs the
// server that the others speak to, and writes what is written once. People are told ranks.

// seating is who sits where in the trainings of a job, and how far these reach.
type seating struct {
	Order    []int // by seat: the rank; nil: each rank its own number
	SLM, LLM crew
}

// crew are the ranks that train a model, in the first seats; a device that cannot hold it is not among them.
type crew struct {
	Ranks  int            // 0: all
	Limits compute.Limits // what their devices have in common
}

// limits are the crew's, or those of all ranks.
func (c crew) limits(all *compute.Limits) *compute.Limits {
	if c.Ranks == 0 {
		return all
	}
	return &c.Limits
}

// of is the crew of the training of that name.
func (s *seating) of(name string) crew {
	if name == "slm" {
		return s.SLM
	}
	return s.LLM
}

// arrange has all ranks take their seats, until back is called.
func (r *ranks) arrange(order []int) (back func()) {
	if r == nil || order == nil {
		return func() {}
	}
	whole, seats := r.whole, r.seats
	r.whole, r.seats = whole.Ordered(order), seated(seats, order)
	r.widen()
	return func() {
		r.whole, r.seats = whole, seats
		r.widen()
	}
}

// seated are the seats in that order.
func seated(seats []place.Seat, order []int) []place.Seat {
	if order == nil {
		return seats
	}
	var list []place.Seat
	for _, rank := range order {
		list = append(list, seats[rank])
	}
	return list
}

// whoTrain are the seats of those that train something.
func (r *ranks) whoTrain(s seating) []place.Seat {
	if r == nil {
		return nil
	}
	list := seated(r.seats, s.Order)
	if s.SLM.Ranks > 0 {
		list = list[:max(s.SLM.Ranks, s.LLM.Ranks)]
	}
	return list
}

// seat seats a job's ranks where some are to teach. A job without teachers sits as another of the same comparison, if that is given.
func (s *session) seat(j, like *Job) error {
	r := s.ranks
	if r == nil {
		return nil
	}
	n := r.size()
	order, students := []int(nil), n-j.Cluster.Teachers
	switch pinned := j.Cluster.Pinned(); {
	case j.Cluster.Teachers == 0 && like != nil:
		order, students = like.seating.Order, n-like.Cluster.Teachers
	case pinned != nil && slices.Max(pinned) >= n:
		return fail(BadConfig, "%s: cluster.roles = %q has rank %d teach, and the ranks are 0 to %d; name others, or start more (saltern launch -n)", j.File, j.Cluster.Roles, slices.Max(pinned), n-1)
	case pinned != nil:
		for rank := range n {
			if !slices.Contains(pinned, rank) {
				order = append(order, rank)
			}
		}
		order = append(order, pinned...)
	}
	if students == n || students < 1 { // which enoughStudents tells
		return nil
	}
	return s.man(j, order, students)
}

// man finds the crews of a job whose students sit first. Behind them those with most memory come first.
func (s *session) man(j *Job, order []int, students int) (err error) {
	r := s.ranks
	if order == nil {
		for rank := range r.size() {
			order = append(order, rank)
		}
	}
	order = slices.Clone(order)
	slices.SortStableFunc(order[students:], func(a, b int) int { return -compareMemory(r.devices[a].Memory, r.devices[b].Memory) })
	j.seating.Order = order
	if j.seating.SLM, err = s.crew(j, order, students, true); err == nil {
		j.seating.LLM, err = s.crew(j, order, students, false)
	}
	return err
}

// compareMemory orders sizes of memory, of which 0 is unknown and taken for large.
func compareMemory(a, b int64) int {
	switch {
	case a == b:
		return 0
	case b == 0 || a != 0 && a < b:
		return -1
	}
	return 1
}

// crew are those of an order that train a model, at least so many: as many as all can hold it.
func (s *session) crew(j *Job, order []int, least int, slm bool) (crew, error) {
	needs := map[string]int64{} // of memory, by precision
	for n := len(order); ; n-- {
		c := crew{n, s.ranks.commonOf(order[:n])}
		precision := j.LLM.Train.OnDevice(&c.Limits).Precision
		if slm {
			precision = j.SLM.Train.OnDevice(&c.Limits).Precision
		}
		need, known := needs[precision]
		if !known {
			var err error
			if need, err = j.need(&c.Limits, slm); err != nil {
				return c, err
			}
			needs[precision] = need
		}
		if n == least || c.Limits.Memory == 0 || need <= c.Limits.Memory {
			return c, nil
		}
	}
}

// need is the least memory that a device must have to train the model, whoever helps.
func (j *Job) need(l *compute.Limits, slm bool) (most int64, err error) {
	c := *j
	c.seating = seating{}
	c.settlePrecision(l)
	for _, t := range trainings(&c, "") {
		if (t.name == "slm") == slm {
			p, err := t.plan(1) // which nothing fits
			if err != nil {
				return 0, fmt.Errorf("%s: %w", t.label, err)
			}
			most = max(most, p.memory.Total())
		}
	}
	return most, nil
}

// deviceShare is what a rank has of its device.
type deviceShare struct {
	ID     string
	Types  []compute.DType // of its matrix units, as far as they pay
	Memory int64           // bytes that it may take; 0: unknown
	All    int64           // that the device has
}

// survey learns what all ranks have of their devices: where several share one their part of it, and of that as much as a rank may take.
func (r *ranks) survey(ctx context.Context, own compute.Limits, i vk.Info) (err error) {
	if r.devices, err = everybody(ctx, r, deviceShare{fmt.Sprint(i.UUID, " on node ", r.node), matrixTypes(own), own.Memory, i.Memory}); err != nil {
		return err
	}
	users := map[string]int64{}
	for _, d := range r.devices {
		users[d.ID]++
	}
	for i := range r.devices {
		d := &r.devices[i]
		if part := d.All / users[d.ID]; compareMemory(part, d.Memory) < 0 {
			d.Memory = part
		}
	}
	return nil
}

// commonOf is what the devices of some ranks have in common, as far as a job is settled by it: the smallest memory, and of matrix units the
// types that all have, from which each rank then chooses the same precision for "auto".
func (r *ranks) commonOf(some []int) (c compute.Limits) {
	for i, rank := range some {
		d := r.devices[rank]
		if i == 0 || compareMemory(d.Memory, c.Memory) < 0 {
			c.Memory = d.Memory
		}
		if i == 0 {
			for _, t := range d.Types {
				c.Matrices = append(c.Matrices, compute.Matrix{In: t})
			}
		}
		c.Matrices = slices.DeleteFunc(c.Matrices, func(m compute.Matrix) bool { return !slices.Contains(d.Types, m.In) })
	}
	return c
}
