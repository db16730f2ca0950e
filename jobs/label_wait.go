package jobs

import (
	"fmt"
	"math"
	"time"

	"saltern/distill"
)

// labelWait watches how long students wait for the soft labels of teachers on other ranks, and now and then says what would be better.
type labelWait struct {
	distill.Roles
	begun        bool
	steps, judge int     // seen, and to be seen before the next word
	waited, took float64 // seconds, in these steps
}

// judgeWait gives how many seconds students waited in the step that took so long, and says now and then what would be better.
func (l *loop) judgeWait(took time.Duration) float64 {
	waited := l.s.ranks.waitedForLabels()
	if words := l.stage.wait.add(waited, took.Seconds()); words != "" && l.s.ranks.leads() {
		l.s.say("%s: step %d: %s", l.label, l.step, words)
	}
	return waited
}

// nextStep begins to count what a step waits for.
func (h *teaching) nextStep() {
	if h != nil {
		h.waited = 0
	}
}

// A first word comes after so many steps, the next after twice as many, and so on; and only where students wait for more than that part of
// their time.
const (
	firstWord   = 8
	worthSaying = 0.1
)

func newLabelWait(r distill.Roles) labelWait { return labelWait{Roles: r, judge: firstWord} }

// add takes a step: how long students waited, on average, and how long it took. It gives what there is to be said, which is mostly nothing.
// The first step is not counted, as the teachers begin with it.
func (w *labelWait) add(waited, took float64) string {
	if !w.begun {
		w.begun = true
		return ""
	}
	w.steps++
	w.waited += waited
	w.took += took
	if w.steps < w.judge {
		return ""
	}
	part := min(w.waited/w.took, 0.999)
	w.steps, w.waited, w.took, w.judge = 0, 0, 0, 2*w.judge
	if part < worthSaying {
		return ""
	}
	// The teachers are at work all the time, the students but for the wait.
	enough := int(math.Ceil(float64(w.Teachers) / (1 - part)))
	return fmt.Sprintf("the students waited %.0f%% of their time for soft labels: use %d teachers for %d students, or a smaller SLM", 100*part, enough, w.Students)
}
