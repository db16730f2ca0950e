package jobs

import (
	"context"
	"fmt"
	"slices"

	"saltern/cluster"
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
	Party    int   // so many, in the first seats, have a part in the student's training; 0: all
	SLM, LLM crew
	Teaching int64 // bytes that each device of those has that teach; 0: unknown, or nobody does
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

// numbers are those from 0 to n (exclusive).
func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
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

// seat seats a job's ranks where some are to teach, or may be. A job without teachers sits as another of the same comparison, like. What
// people are to be told goes to say.
func (s *session) seat(j, like *Job, say func(line string)) error {
	r := s.ranks
	if r == nil {
		return nil
	}
	n, pinned := r.size(), j.Cluster.Pinned()
	if j.Cluster.Roles == cluster.RolesAuto {
		c, err := s.chooseRoles(j, j == like, say)
		if err != nil {
			return err
		}
		if j.Cluster.Teachers = len(c.Teachers); len(c.Students) == n {
			return nil
		}
		return s.man(j, c)
	}
	if j.Cluster.Teachers == 0 && like != nil {
		pinned, n = like.Cluster.Pinned(), n-like.Cluster.Teachers
	} else {
		n -= j.Cluster.Teachers
	}
	if n == r.size() || n < 1 { // which enoughStudents tells
		return nil
	}
	order := numbers(r.size())
	if pinned != nil {
		if last := pinned[len(pinned)-1]; last >= r.size() {
			return fail(BadConfig, "%s: cluster.roles = %q has rank %d teach, and the ranks are 0 to %d; name others, or start more (saltern launch -n)", j.File, j.Cluster.Roles, last, r.size()-1)
		}
		order = append(without(order, pinned), pinned...)
	}
	teachers := order[n:]
	slices.SortStableFunc(teachers, func(a, b int) int { return -compareMemory(r.devices[a].Memory, r.devices[b].Memory) })
	return s.man(j, &cast{Students: order[:n], Teachers: teachers, LLM: r.size(), SLM: r.size()})
}

// man finds the crews of a job that is cast so.
func (s *session) man(j *Job, c *cast) (err error) {
	order := c.order()
	j.seating = seating{Order: order, Party: len(c.Students) + len(c.Teachers)}
	if len(c.Teachers) > 0 {
		j.seating.Teaching = s.ranks.commonOf(c.Teachers).Memory
	}
	if j.seating.SLM, err = s.crew(j, order[:c.SLM], len(c.Students), true); err == nil {
		j.seating.LLM, err = s.crew(j, order[:c.LLM], len(c.Students), false)
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
	type form struct {
		precision string
		parts     int // of the optimizer's state
	}
	needs := map[form]int64{}
	for n := len(order); ; n-- {
		c := crew{n, s.ranks.commonOf(order[:n])}
		f, shard := form{j.LLM.Train.OnDevice(&c.Limits).Precision + j.SLM.Train.OnDevice(&c.Limits).Precision, 1}, s.ranks.shards(j, order[:n])
		if shard {
			f.parts = n
		}
		need, known := needs[f]
		if !known {
			var err error
			if need, err = j.need(c, shard, slm); err != nil {
				return c, err
			}
			needs[f] = need
		}
		if n == least || c.Limits.Memory == 0 || need <= c.Limits.Memory {
			return c, nil
		}
	}
}

// shards says that some of a job's ranks would share the optimizer's state: see settleMixed.
func (r *ranks) shards(j *Job, some []int) bool {
	return j.Cluster.ShardOptimizer || j.Cluster.Teachers == 0 && kindsDiffer(seated(r.seats, some))
}

// need is the least memory that the devices of such a crew must have to train the model, whoever helps.
func (j *Job) need(by crew, shard, slm bool) (most int64, err error) {
	c := *j
	c.seating, c.ranks, c.Cluster.ShardOptimizer = seating{}, by.Ranks, shard
	c.settlePrecision(&by.Limits)
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

	Slowdown float64 // see IO.slowdown
}

// survey learns what all ranks have of their devices: where several share one their part of it, and of that as much as a rank may take.
func (r *ranks) survey(ctx context.Context, own compute.Limits, i vk.Info, slow float64) (err error) {
	if r.devices, err = everybody(ctx, r, deviceShare{fmt.Sprint(place.Identity(i), " on node ", r.node), matrixTypes(own), own.Memory, i.Memory, slow}); err != nil {
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
