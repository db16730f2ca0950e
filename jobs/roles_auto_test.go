package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"saltern/jobs/place"
)

// TestAssign: who teaches, by what devices hold and how fast they are.
func TestAssign(t *testing.T) {
	type device struct {
		memory int64
		rate   float64
	}
	work := roleWork{Name: "SALT", Online: 110, Student: 100, Teacher: 20, Train: 80, Label: 8, Microbatches: 8, Steps: 100, Helped: 20, BySpeed: true}
	with := func(change func(w *roleWork)) roleWork {
		w := work
		change(&w)
		return w
	}
	for _, test := range []struct {
		why     string
		work    roleWork
		devices []device
		want    string // students, teachers, resting; or a part of the error
		says    string // of the last rank
	}{
		{"alike: dedicated teachers only cost", work, []device{{200, 10}, {200, 10}, {200, 10}}, "[0 1 2] [] []", "trains, and runs the teacher itself: 200 B, 10 FLOP/s"},
		{"memory that nobody knows is enough", work, []device{{0, 10}, {0, 10}}, "[0 1] [] []", "memory of unknown size"},
		{"one cannot hold the student", work, []device{{200, 10}, {200, 10}, {50, 10}}, "[0 1] [2] []", "teaches, and then rests: 50 B are too few to train, which takes 100 B; to teach takes 20 B"},
		{"it is not the last", work, []device{{200, 10}, {50, 10}, {200, 10}}, "[0 2] [1] []", "trains: 200 B, 10 FLOP/s"},
		{"several cannot", work, []device{{200, 10}, {50, 2}, {30, 2}}, "[0] [1 2] []", "teaches, and then rests"},
		{"twice as slow: it takes half as many microbatches", work, []device{{200, 10}, {200, 5}}, "[0 1] [] []", "trains"},
		{"so slow that one microbatch holds all up", with(func(w *roleWork) { w.Label = 0.5 }), []device{{200, 100}, {200, 1}}, "[0] [1] []", "teaches, and then rests: 200 B, 1 FLOP/s; a step takes about 0.8 s where those train that do, and would take 10 s with this rank; to teach takes 20 B"},
		{"and so do its soft labels", work, []device{{200, 100}, {200, 1}}, "[0] [] [1]", "rests: 200 B, 1 FLOP/s; a step takes about 0.8 s where those train that do, and would take 10 s with this rank, and its soft labels for a step would take 8 s"},
		{"few microbatches for ranks that are alike", with(func(w *roleWork) { w.Microbatches, w.Helped, w.Label = 3, 100, 20 }), []device{{200, 10}, {200, 10}}, "[0 1] [] []", "trains"},
		{"three ranks for four microbatches of the same speed", with(func(w *roleWork) { w.Microbatches, w.Helped, w.Label = 4, 100, 20 }), []device{{200, 10}, {200, 10}, {200, 10}}, "[0 1] [2] []", "teaches, and then trains: 200 B, 10 FLOP/s; a step of stage 1 takes about 4 s so, and would take 5 s if it trained from the beginning"},
		{"even shares wait for the slowest", with(func(w *roleWork) { w.BySpeed, w.Label = false, 1 }), []device{{200, 10}, {200, 10}, {200, 1}}, "[0 1] [2] []", "teaches, and then rests: 200 B, 1 FLOP/s; a step takes about 4 s"},
		{"small and slow ones: the small one trains the SLM, and sits before", with(func(w *roleWork) { w.BySpeed, w.Label = false, 1 }), []device{{200, 10}, {200, 1}, {50, 1}, {200, 10}}, "[0 3] [2 1] []", "trains"},
		{"only the faster of two teaches, as they would take turns", with(func(w *roleWork) { w.BySpeed, w.Label = false, 4 }), []device{{200, 10}, {200, 10}, {50, 2}, {50, 0.1}}, "[0 1] [2] [3]", "rests: 50 B are too few to train, which takes 100 B, and its soft labels for a step would take 40 s"},
		{"one slow teacher is not enough, two are", with(func(w *roleWork) { w.BySpeed, w.Label, w.Helped = false, 20, 100 }), []device{{200, 10}, {200, 10}, {200, 2}, {200, 2}}, "[0 1] [2 3] []", "teaches"},
		{"rank 0 trains, however slow", with(func(w *roleWork) { w.BySpeed = false }), []device{{200, 1}, {200, 10}}, "[0 1] [] []", "trains"},
		{"as a teacher it would hold all up", work, []device{{200, 100}, {200, 100}, {50, 0.01}}, "[0 1] [] [2]", "rests: 50 B are too few to train, which takes 100 B, and its soft labels for a step would take 800 s"},
		{"the teacher beside the student is too much for one", work, []device{{200, 10}, {105, 10}}, "[0] [1] []", "teaches, and then trains"},
		{"or for each", work, []device{{105, 10}, {105, 10}, {105, 10}}, "[0 1] [2] []", "teaches, and then trains"},
		{"little to choose between: no clock decides", with(func(w *roleWork) { w.BySpeed = false }), []device{{200, 10}, {200, 9.9}, {200, 9.8}}, "[0 1 2] [] []", "trains"},
		{"unknown rates", work, []device{{200, 0}, {50, 0}}, "[0] [1] []", "teaches"},
		{"nothing to teach", with(func(w *roleWork) { w.Label, w.Online = 0, 100 }), []device{{200, 10}, {50, 10}}, "[0] [] [1]", "rests: 50 B are too few to train, which takes 100 B, and there is nothing to teach"},
		{"begun with teachers", with(func(w *roleWork) { w.Begun = withRanks }), []device{{200, 10}, {200, 10}, {200, 10}}, "[0 1] [2] []", "teaches"},
		{"begun without", with(func(w *roleWork) { w.Begun = withTeacher }), []device{{200, 10}, {200, 10}, {50, 10}}, "[0 1] [] [2]", "rests"},

		{"rank 0 is too small", work, []device{{50, 10}, {200, 10}}, "rank 0 (a, A) leads, so it must train, and 50 B are too few for that, which takes 100 B; rank 1 (a, A) could: start the job so that its device is rank 0's", ""},
		{"as all are", work, []device{{50, 10}, {60, 10}}, "which takes 100 B; shorten the sequence, lower the microbatch, or take a smaller model", ""},
		{"good for nothing", work, []device{{200, 10}, {200, 10}, {10, 10}}, "SALT: rank 2 (a, A) has 10 B, which are too few both to train, which takes 100 B, and to run the teacher, which takes 20 B", ""},
		{"nobody is left to teach", with(func(w *roleWork) { w.Begun = withRanks }), []device{{200, 10}}, "SALT was begun with soft labels of ranks that teach, and there is no rank to teach now", ""},
		{"alone and too small for both", work, []device{{105, 10}}, "cannot hold model and teacher, which take 110 B, and there is no other rank to teach", ""},
	} {
		var devices []roleDevice
		for rank, d := range test.devices {
			devices = append(devices, roleDevice{place.Seat{Rank: rank, Host: "a", Device: "A"}, d.memory, d.rate})
		}
		c, err := test.work.assign(devices)
		if err != nil {
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.why, err, test.want)
			}
			continue
		}
		if got := fmt.Sprint(c.Students, c.Teachers, c.Resting); got != test.want {
			t.Errorf("%s: %s, want %s: %+v", test.why, got, test.want, c)
			continue
		}
		if why := test.work.why(devices, c); !strings.Contains(why[len(why)-1], test.says) {
			t.Errorf("%s: %q, want %q", test.why, why[len(why)-1], test.says)
		}
		order := c.order()
		if order[0] != 0 || !slices.Equal(slices.Sorted(slices.Values(order)), numbers(len(devices))) {
			t.Errorf("%s: not all have a seat, or rank 0 not the first: %v", test.why, order)
		}
		for seat, i := range order[:c.LLM] {
			if !devices[i].holds(test.work.Student) || seat >= len(c.Students)+len(c.Teachers) {
				t.Errorf("%s: rank %d is to train: %+v", test.why, i, c)
			}
		}
		if c.SLM < c.LLM || c.SLM > len(c.Students)+len(c.Teachers) {
			t.Errorf("%s: %+v", test.why, c)
		}
	}
}
