package jobs

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"saltern/compute"
	"saltern/jobs/place"
	"saltern/model"
)

// Roles that follow the hardware. A device that is too small for the student, or so slow that all would wait for it, teaches; of the others the
// slowest do while the teacher helps, as far as the training is done sooner by that. All is decided by numbers: bytes and arithmetic as
// planned, rates as measured.

// roleWork is what the training of a student asks of devices.
type roleWork struct {
	Name         string
	Online       int64   // bytes to train, with the teacher on the same device
	Student      int64   // to train, from soft labels that others make
	Teacher      int64   // to make them
	Train, Label float64 // FLOPs of a step's batch: the student's, and the teacher's for its labels; 0: nobody is to teach
	Microbatches int     // of the batch
	Steps        int64
	Helped       int64 // of these, those in which the teacher helps, at most
	BySpeed      bool  // ranks that all train take microbatches by their speed
	Begun        begun
	Precision    string // of the rates; empty: none are needed
}

// begun is how a training that is to be gone on with gets its soft labels, as its settings have it.
type begun int

const (
	notBegun    begun = iota
	withTeacher       // on the students' devices
	withRanks         // from ranks that teach
)

// roleDevice is a rank's device.
type roleDevice struct {
	place.Seat
	Memory int64   // bytes that the rank may take; 0: unknown, taken for enough
	Rate   float64 // FLOP/s; 0: unknown
}

func (d roleDevice) holds(bytes int64) bool { return d.Memory == 0 || bytes <= d.Memory }

// cast is who does what, in the order of their seats.
type cast struct {
	Students, Teachers, Resting []int
	LLM, SLM                    int     // so many at most train these in the end: the first
	Step1, Step2, All           float64 // seconds, as predicted: of a step while the teacher helps, of one after that, and of all
	Other                       *cast   `json:"-"` // the next best; nil: there is none
}

// order are the seats.
func (c *cast) order() []int { return slices.Concat(c.Students, c.Teachers, c.Resting) }

// assign decides the roles; devices are by rank. Those train that can hold the student and are not so slow that the others would be done sooner
// without them. Of the rest, the fastest teach, and of those that train the slowest, as many as make the whole training shortest, as it
// is predicted for each number of both; but what is no better by worthwhile than to have all those teach that cannot train, and nobody
// else, does not count.
func (w roleWork) assign(devices []roleDevice) (*cast, error) {
	devices = knownRates(devices)
	if err := w.tooSmall(devices); err != nil {
		return nil, err
	}
	train, helpers := w.trainers(devices)
	var list []*cast
	if w.Label > 0 && w.Begun != withTeacher {
		for k := range train {
			for j := len(helpers); j >= 0; j-- {
				if k+j > 0 {
					list = append(list, w.predict(devices, train, k, helpers, j))
				}
			}
		}
	}
	online := slices.DeleteFunc(slices.Clone(train), func(i int) bool { return !devices[i].holds(w.Online) })
	if slices.Contains(online, 0) && w.Begun != withRanks {
		at := 0
		if len(helpers) > 0 {
			at = len(list)
		}
		list = slices.Insert(list, at, w.predict(devices, online, 0, without(numbers(len(devices)), online), 0))
	}
	if len(list) == 0 {
		return nil, w.nobody(devices)
	}
	best := slices.MinFunc(list, func(a, b *cast) int { return cmp.Compare(a.All, b.All) })
	if best.All > worthwhile*list[0].All {
		best = list[0]
	}
	if others := slices.DeleteFunc(list, func(c *cast) bool { return c == best }); len(others) > 0 {
		best.Other = slices.MinFunc(others, func(a, b *cast) int { return cmp.Compare(a.All, b.All) })
	}
	return best, nil
}

// trainers are those that train in the end, and the others: rank 0, then the fastest first.
func (w roleWork) trainers(devices []roleDevice) (train, others []int) {
	fastest := func(a, b int) int { return cmp.Or(-cmp.Compare(devices[a].Rate, devices[b].Rate), a-b) }
	holders := slices.DeleteFunc(numbers(len(devices)), func(i int) bool { return !devices[i].holds(w.Student) })
	slices.SortFunc(holders[1:], fastest)
	seconds := func(m int) float64 { return w.step(devices, holders[:m], w.Train, w.BySpeed) }
	n := len(holders)
	for m := n - 1; m > 0; m-- {
		if seconds(m) < seconds(n) {
			n = m
		}
	}
	if seconds(n) > worthwhile*seconds(len(holders)) {
		n = len(holders)
	}
	train, others = holders[:n], without(numbers(len(devices)), holders[:n])
	slices.SortFunc(others, fastest)
	return train, others
}

// predict says how long the training takes if the last k of those that train in the end teach first, and the first j of the others too.
func (w roleWork) predict(devices []roleDevice, train []int, k int, others []int, j int) *cast {
	n := len(train)
	c := &cast{
		Students: slices.Sorted(slices.Values(train[:n-k])), Teachers: slices.Sorted(slices.Values(train[n-k:])), Resting: slices.Sorted(slices.Values(others[j:])),
		LLM: n, SLM: n, Step2: w.step(devices, train, w.Train, w.BySpeed),
	}
	for _, small := range []bool{true, false} { // these train the SLM, and the others would hold it up
		for _, i := range others[:j] {
			if small != devices[i].holds(w.Student) {
				c.Teachers = append(c.Teachers, i)
				if small {
					c.SLM++
				}
			}
		}
	}
	c.Step1 = w.stepOne(devices, c.Students, c.Teachers)
	c.All = float64(w.Helped)*c.Step1 + float64(w.Steps-w.Helped)*c.Step2
	return c
}

// stepOne is how long a step takes in which the teacher helps. Teachers take turns, and their students have even shares.
func (w roleWork) stepOne(devices []roleDevice, students, teachers []int) float64 {
	if len(teachers) == 0 {
		return w.step(devices, students, w.Train+w.Label, w.BySpeed)
	}
	slowest := math.Inf(1)
	for _, i := range teachers {
		slowest = min(slowest, devices[i].Rate)
	}
	return max(w.step(devices, students, w.Train, false), w.Label/float64(len(teachers))/slowest)
}

// step is how long ranks take for a step of so many FLOPs.
func (w roleWork) step(devices []roleDevice, ranks []int, flops float64, bySpeed bool) float64 {
	if len(ranks) == 0 {
		return math.Inf(1)
	}
	var seconds []float64 // for a microbatch
	for _, i := range ranks {
		seconds = append(seconds, flops/float64(w.Microbatches)/devices[i].Rate)
	}
	counts := model.Even(w.Microbatches, len(ranks))
	if bySpeed {
		counts = model.Apportion(w.Microbatches, seconds)
	}
	return model.StepSeconds(counts, seconds)
}

// knownRates gives devices of unknown rate that of the slowest.
func knownRates(devices []roleDevice) []roleDevice {
	slowest := 0.0
	for _, d := range devices {
		if d.Rate > 0 && (slowest == 0 || d.Rate < slowest) {
			slowest = d.Rate
		}
	}
	devices = slices.Clone(devices)
	for i := range devices {
		if devices[i].Rate <= 0 {
			devices[i].Rate = cmp.Or(slowest, 1)
		}
	}
	return devices
}

func without(list, some []int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(i int) bool { return slices.Contains(some, i) })
}

// tooSmall is an error where a device can do nothing, or where that of rank 0 cannot train.
func (w roleWork) tooSmall(devices []roleDevice) error {
	if first := devices[0]; !first.holds(w.Student) {
		remedy := "shorten the sequence, lower the microbatch, or take a smaller model"
		if i := slices.IndexFunc(devices, func(d roleDevice) bool { return d.holds(w.Student) }); i > 0 {
			remedy = fmt.Sprintf("%v could: start the job so that its device is rank 0's, with saltern launch --env 0:SALTERN_DEVICE=..., under Slurm with its nodes first", devices[i])
		}
		return fail(NoMemory, "%s: %v leads, so it must train, and %s are too few for that, which takes %s; %s", w.Name, first, compute.Bytes(first.Memory), compute.Bytes(w.Student), remedy)
	}
	for _, d := range devices {
		if w.Label > 0 && !d.holds(w.Student) && !d.holds(w.Teacher) {
			return fail(NoMemory, "%s: %v has %s, which are too few both to train, which takes %s, and to run the teacher, which takes %s; start the job without it, give it more (SALTERN_MEMORY, fewer ranks on one device), or take a smaller SLM",
				w.Name, d, compute.Bytes(d.Memory), compute.Bytes(w.Student), compute.Bytes(w.Teacher))
		}
	}
	return nil
}

// nobody is the error where how the training was begun leaves no cast.
func (w roleWork) nobody(devices []roleDevice) error {
	if w.Begun == withRanks {
		return fail(BadConfig, "%s was begun with soft labels of ranks that teach, and there is no rank to teach now; start 2 ranks or more (saltern launch -n), or begin anew with --fresh", w.Name)
	}
	return fail(NoMemory, "%s: %v cannot hold model and teacher, which take %s, and there is no other rank to teach; start 2 ranks or more (saltern launch -n), or take a smaller model", w.Name, devices[0], compute.Bytes(w.Online))
}

// why says of each rank what it does, and for what reason, as assign has found it.
func (w roleWork) why(devices []roleDevice, c *cast) (list []string) {
	for i, d := range devices {
		list = append(list, fmt.Sprintf("%v %s", d, w.reason(devices, c, i)))
	}
	return list
}

func (w roleWork) reason(devices []roleDevice, c *cast, i int) string {
	d, known := devices[i], knownRates(devices)
	seat := slices.Index(c.order(), i)
	cannot := fmt.Sprintf("%s are too few to train, which takes %s", compute.Bytes(d.Memory), compute.Bytes(w.Student))
	if d.holds(w.Student) {
		with := slices.Concat(c.order()[:c.LLM], []int{i})
		cannot = fmt.Sprintf("%s; a step takes about %.3g s where those train that do, and would take %.3g s with this rank", d.figures(), c.Step2, w.step(known, with, w.Train, w.BySpeed))
	}
	switch {
	case seat < len(c.Students) && w.Label > 0 && len(c.Teachers) == 0:
		return "trains, and runs the teacher itself: " + d.figures()
	case seat < len(c.Students):
		return "trains: " + d.figures()
	case seat < c.LLM:
		own := []int{i}
		other := w.stepOne(known, slices.Concat(c.Students, own), without(c.Teachers, own))
		return fmt.Sprintf("teaches, and then trains: %s; a step of stage 1 takes about %.3g s so, and would take %.3g s if it trained from the beginning", d.figures(), c.Step1, other)
	case seat < len(c.Students)+len(c.Teachers):
		return fmt.Sprintf("teaches, and then rests: %s; to teach takes %s", cannot, compute.Bytes(w.Teacher))
	case w.Label == 0:
		return "rests: " + cannot + ", and there is nothing to teach"
	case d.holds(w.Student) && !d.holds(w.Online):
		return fmt.Sprintf("rests: %s are too few to train with the teacher on the device, which takes %s", compute.Bytes(d.Memory), compute.Bytes(w.Online))
	}
	return fmt.Sprintf("rests: %s, and its soft labels for a step would take %.3g s", cannot, w.Label/known[i].Rate)
}

// figures are what a device has.
func (d roleDevice) figures() string {
	text := "memory of unknown size"
	if d.Memory > 0 {
		text = compute.Bytes(d.Memory)
	}
	if d.Rate > 0 {
		text += fmt.Sprintf(", %sFLOP/s", siPrefix(d.Rate))
	}
	return text
}
