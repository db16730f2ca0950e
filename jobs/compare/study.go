package compare

import (
	"time"

	"saltern/jobs/report"
)

// Point is one evaluation of a run. Loss is in nats per token on held-out data; what was spent is counted from the run's
// beginning, FLOPs with the teacher's forward passes and those of scoring.
type Point struct {
	Step, Tokens         int64
	FLOPs, Seconds, Loss float64
}

// Run is one training: one arm with one seed.
type Run struct {
	Seed   int64
	Points []Point // by rising step, the last of them at the end

	Loss, Accuracy, BitsPerByte float64    // at the end, on held-out data
	Slices                      [3]float64 // nats per token of the easy, medium and hard third by the SLM's loss; NaN where unknown

	Steps, Tokens  int64
	FLOPs, Seconds float64 // of the whole run
	Params         int64
}

// Setting is a key of the job file and an arm's value of it.
type Setting struct{ Key, Value string }

// Arm is one way to train, with every seed that it was run with.
type Arm struct {
	Name     string    // unique and stable, such as "salt" or "salt distill.kd_steps=80"; the first word is the method
	Label    string    // for people: "SALT"
	Note     string    // one sentence: what it is for
	Settings []Setting // the keys in which it differs from the job file
	Runs     []Run     // by seed
}

// Study is a comparison: arms that were run from one job file with several seeds.
type Study struct {
	Title          string
	Job            string // the job file
	Device, Driver string
	Baseline       int  // index of the arm BASELINE, -1 for none
	Teacher        *Arm // the SLM itself, nil for none
	Arms           []Arm
	Reproduce      string // the commands that make the study again, one a line
	Config         []report.Row
	When           time.Time
}
