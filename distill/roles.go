package distill

import (
	"iter"

	"saltern/model"
)

// Roles says who does what where ranks are students or teachers: the first Students of them train, each on its share of every batch, and
// the next Teachers label it for them. A function of its fields alone, so that all ranks know the same without a word.
type Roles struct {
	Students, Teachers int // ranks
	Batch, Microbatch  int // sequences of a step, and of one of its microbatches
}

// Duty is a microbatch: its first sample, who trains on it, and who labels it.
type Duty struct {
	First            int64
	Student, Teacher int
}

// Step lists the microbatches of a step, in the order in which they are labeled: the first of each student, then the second of each, and
// so on, so that none waits for all of another's. The teachers take turns through all steps.
func (r Roles) Step(step int64) []Duty {
	m := r.Batch / r.Microbatch
	list := make([]Duty, 0, m)
	for turn := 0; len(list) < m; turn++ {
		for student := range r.Students {
			first, end := model.Share(m, student, r.Students)
			if i := first + turn; i < end {
				at := step*int64(m) + int64(len(list))
				list = append(list, Duty{step*int64(r.Batch) + int64(i*r.Microbatch), student, r.Students + int(at%int64(r.Teachers))})
			}
		}
	}
	return list
}

// duties are the microbatches of the steps from to end (exclusive) that concern someone, in order.
func (r Roles) duties(from, end int64, concern func(Duty) bool) iter.Seq[Duty] {
	return func(yield func(Duty) bool) {
		for step := from; step < end; step++ {
			for _, d := range r.Step(step) {
				if concern(d) && !yield(d) {
					return
				}
			}
		}
	}
}

// firsts are the microbatches' first samples.
func firsts(duties iter.Seq[Duty]) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for d := range duties {
			if !yield(d.First) {
				return
			}
		}
	}
}

// teacherOf is who labels the microbatch that begins with a sample.
func (r Roles) teacherOf(first int64) int {
	for _, d := range r.Step(first / int64(r.Batch)) {
		if d.First == first {
			return d.Teacher
		}
	}
	return -1 // no microbatch begins there
}

// queue is how many microbatches of one teacher a student has room for that is to be ahead by so many steps.
func (r Roles) queue(steps int) int {
	each := (r.Batch/r.Microbatch + r.Students - 1) / r.Students
	return max(1, (steps*each+r.Teachers-1)/r.Teachers)
}
