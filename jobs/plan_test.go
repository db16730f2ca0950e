package jobs

import (
	"math"
	"os"
	"testing"

	"saltern/distill"
	"saltern/model"
)

// TestPlanAddsUp holds the parts of the memory against the whole, and the arithmetic against the rule of the method's cost.
func TestPlanAddsUp(t *testing.T) {
	job, err := readJob("job.toml", []byte(smallJob), []string{"distill.weight=0.5", "distill.kd_steps=40"})
	if err != nil {
		t.Fatal(err)
	}
	plans, err := planJob(job, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) != 3 || plans[0].label != "SLM" || plans[1].label != "BASELINE" || plans[2].label != "SALT" {
		t.Fatalf("planned %+v", plans)
	}
	for _, p := range plans {
		if parts := p.weights + p.gradients + p.optimizer + p.teacher; parts != p.memory.State {
			t.Errorf("%s: the parts add up to %d, the programs' state is %d", p.label, parts, p.memory.State)
		}
		if p.weights < 4*p.params || p.weights > 4*p.params+1<<16 || p.checkpoint() != 12*p.params {
			t.Errorf("%s: %d parameters, %d bytes of weights, %d of a checkpoint", p.label, p.params, p.weights, p.checkpoint())
		}
		if p.memory.Arena == 0 || p.memory.Host == 0 || p.executed <= 0 || !p.fits() {
			t.Errorf("%s: incomplete: %+v", p.label, p)
		}
	}
	slm, baseline, salt := plans[0], plans[1], plans[2]
	if salt.withKD != 40 || baseline.withKD != 0 || salt.teacher != slm.weights {
		t.Errorf("the teacher is asked in %d steps and has %d bytes, of %d", salt.withKD, salt.teacher, slm.weights)
	}
	// cost / baseline = 1 + n_KD/n * (teacher's forward) / (student's step), at the student's sequence length
	teacher := job.SLM.Model.FLOPsPerToken(job.LLM.Train.Sequence) / 3
	want := 1 + 0.4*teacher/baseline.perToken
	if got := salt.flops() / baseline.flops(); math.Abs(got-want) > 1e-12 {
		t.Errorf("SALT costs %g of BASELINE, want %g", got, want)
	}
}

// TestPlanCountsScoring: SALT_DS costs what SALT costs, and the SLM's forward pass over all candidates.
func TestPlanCountsScoring(t *testing.T) {
	flops := map[string]float64{}
	for _, method := range []string{"salt", "salt-ds"} {
		job, err := readJob("job.toml", []byte(smallJob), []string{"distill.weight=0.5", "distill.kd_steps=40", "distill.method=" + method, "select.candidates=5000"})
		if err != nil {
			t.Fatal(err)
		}
		plans, err := planJob(job, 0)
		if err != nil {
			t.Fatal(err)
		}
		flops[method] = plans[2].flops()
		if method == "salt-ds" {
			tokens := 5000 * float64(job.LLM.Train.Sequence)
			if got, want := flops["salt-ds"]-flops["salt"], tokens*job.SLM.Model.FLOPsPerToken(job.LLM.Train.Sequence)/3; math.Abs(got/want-1) > 1e-9 {
				t.Errorf("scoring is planned at %g FLOP, want %g", got, want)
			}
			if plans[2].label != "SALT_DS" || plans[2].withKD != 40 {
				t.Errorf("planned %+v", plans[2])
			}
		}
	}
}

// TestPlanChoosesMicrobatch narrows the memory until a smaller microbatch, and then none, fits.
func TestPlanChoosesMicrobatch(t *testing.T) {
	job, err := readJob("job.toml", []byte(smallJob), []string{"distill.method=baseline"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(memory int64) plan {
		plans, err := planJob(job, memory)
		if err != nil {
			t.Fatal(err)
		}
		return plans[0]
	}
	free := at(0)
	tight := at(free.memory.Total() - 1)
	if tight.train.Microbatch >= free.train.Microbatch || !tight.fits() || tooLarge([]plan{tight}) != nil {
		t.Errorf("with less than %d bytes the microbatch is %d, without a limit %d", free.memory.Total(), tight.train.Microbatch, free.train.Microbatch)
	}
	none := at(1 << 20)
	if none.train.Microbatch != 1 || none.fits() || KindOf(tooLarge([]plan{none})) != NoMemory {
		t.Errorf("with 1 MiB: %+v", none)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "1024": 1024, "24GiB": 24 << 30, "24G": 24 << 30, "24 gib": 24 << 30, "24GB": 24e9, "1.5TiB": 3 << 39, "10MB": 1e7, "7B": 7,
		"GiB": -1, "24Gi B": -1, "-1GiB": -1, "24GiBB": -1, "0": -1, "x": -1, "1e30GiB": -1, "NaN": -1,
	} {
		got, err := parseBytes(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
}

// TestPlanIsWhatIsAllocated loads a planned training, teacher and all, and asks the device what it gave.
func TestPlanIsWhatIsAllocated(t *testing.T) {
	job, err := readJob("job.toml", []byte(smallJob), []string{"distill.weight=0.5", "llm.train.microbatch=4", "llm.train.sequence=128"})
	if err != nil {
		t.Fatal(err)
	}
	plans, err := planJob(job, 0)
	if err != nil {
		t.Fatal(err)
	}
	device, err := openDevice(IO{Env: os.LookupEnv}, "")
	if err != nil {
		t.Fatal(err)
	}
	student, teacher := model.New(job.LLM.Model, "llm", true), model.New(job.SLM.Model, "teacher", false)
	trainer, err := model.Programs(student, plans[2].train, model.Plain, distill.Objective(distill.Online{Teacher: teacher}))
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Load(device); err != nil {
		t.Fatal(err)
	}
	planned, given := plans[2].memory.Total(), device.Allocated()
	if math.Abs(float64(given-planned)) > 0.02*float64(planned) {
		t.Errorf("planned %d bytes, the device gave %d", planned, given)
	}
	t.Logf("planned %d bytes, the device gave %d", planned, given)
	trainer.Close()
	if err := device.CloseChecked(); err != nil {
		t.Error(err)
	}
}
