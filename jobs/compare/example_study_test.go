package compare

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"saltern/jobs/report"
)

var pages = flag.String("pages", "", "write the pages of the invented studies into this folder, to look at")

// invented is a study with invented numbers: that many seeds, curves that fall as such curves do, noise that the arms of a seed
// share and noise of their own.
func invented(seeds int) Study {
	const n = 800
	s := Study{
		Title: "SALT against plain training: a 5.9M student, a 0.36M teacher", Job: "compare.toml", Device: "llvmpipe (LLVM 15.0.6, 256 bits)",
		Driver: "Mesa 22.3.6", When: time.Date(2026, 11, 28, 22, 0, 0, 0, time.UTC), Reproduce: "saltern compare compare.toml --seeds 3",
		Config: []report.Row{{Name: "name", Value: "go-source"}, {Name: "llm.train.steps", Value: "800"}, {Name: "distill.method", Value: "salt"},
			{Name: "distill.kd_steps", Value: "200"}, {Name: "distill.weight", Value: "0.5"}, {Name: "corpus.sources", Value: "[$GOROOT/src/**/*.go]"}},
	}
	arm := func(name, label, note string, gain, early float64, kd int64, steps int64, settings ...Setting) {
		method, _, _ := strings.Cut(name, " ")
		a := Arm{Name: name, Label: label, Note: note, Settings: append([]Setting{{"distill.method", method}}, settings...)}
		for seed := range seeds {
			a.Runs = append(a.Runs, inventedRun(int64(seed+1), steps, kd, gain, early, uint64(len(s.Arms))))
		}
		s.Arms = append(s.Arms, a)
	}
	set := func(key string, value any) Setting { return Setting{key, fmt.Sprint(value)} }
	arm("baseline", "BASELINE", "Plain training.", 0, 0, 0, n)
	arm("salt", "SALT", "The teacher helps in the first quarter of the steps.", 0.045, 0.08, 200, n)
	arm("rkd", "RKD", "The teacher helps to the end.", 0.03, 0.08, n, n)
	arm("salt-ds", "SALT_DS", "The same on challenging, learnable text.", -0.012, -0.05, 200, n)
	arm("baseline llm.train.steps=560", "BASELINE to step 560", "A learning rate that comes to its end at 70% of the steps.", -0.04, 0, 0, 560, set("llm.train.steps", 560))
	for _, kd := range []int64{50, 100, 400, 600} {
		arm(fmt.Sprintf("salt distill.kd_steps=%d", kd), fmt.Sprintf("SALT, n_KD %d", kd), "", 0.045-0.015*math.Abs(math.Log2(float64(kd)/250)), 0.08, kd, n, set("distill.kd_steps", kd))
	}
	for _, w := range []float64{0.25, 0.75} {
		arm(fmt.Sprintf("salt distill.weight=%g", w), fmt.Sprintf("SALT, w %g", w), "", 0.035, 0.08, 200, n, set("distill.weight", w))
	}
	teacher := inventedRun(1, 1500, 0, -0.06, 0, 99)
	teacher.Params = 360_000
	s.Teacher = &Arm{Name: "slm", Label: "SLM", Runs: []Run{teacher}}
	return s
}

func inventedRun(seed, steps, kd int64, gain, early float64, arm uint64) Run {
	shared, own := rand.New(rand.NewPCG(uint64(seed), 7)), rand.New(rand.NewPCG(uint64(seed), 100+arm))
	shift := 0.014*shared.NormFloat64() + 0.005*own.NormFloat64()
	r := Run{Seed: seed, Params: 5_900_000, Steps: steps, Tokens: steps * 4096}
	for step := int64(25); step < steps+25; step += 25 {
		step := min(step, steps)
		t := float64(step) / float64(steps)
		loss := 2.27 + shift - gain*t - early*4*t*(1-t)*math.Exp(-2*t) + 1.4*(1-t)*math.Exp(-2.2*t) + 4*math.Exp(-25*t) + 0.003*own.NormFloat64()*(1-t)
		cost := float64(step)*1.45e11 + float64(min(step, kd))*0.03e11
		r.Points = append(r.Points, Point{Step: step, Tokens: step * 4096, FLOPs: cost, Seconds: cost / 1.5e11 * (1 + 0.02*own.Float64()), Loss: loss})
	}
	end := r.end()
	r.Loss, r.FLOPs, r.Seconds = end.Loss, end.FLOPs, end.Seconds
	r.Accuracy, r.BitsPerByte = 0.92-0.19*r.Loss, 0.437*r.Loss
	r.Slices = [3]float64{0.45*r.Loss - 0.3*gain, r.Loss, 1.55*r.Loss + 1.2*gain}
	return r
}

// odd has what goes wrong: seeds that are missing, not finite, there twice, without evaluations; labels that are shared.
func odd() Study {
	s, inf := invented(3), math.Inf(1)
	s.Arms[1].Runs[1].Loss = nan
	s.Arms[1].Runs[1].Points[20].Loss = inf
	s.Arms[2].Runs = s.Arms[2].Runs[1:]
	s.Arms[2].Runs[0].Points = nil
	s.Arms[3].Runs = nil
	s.Arms[4].Label = "BASELINE"
	s.Arms[5].Runs = append(s.Arms[5].Runs, s.Arms[5].Runs[0])
	for i := range s.Arms[6].Runs {
		s.Arms[6].Runs[i] = Run{Seed: int64(i + 1), Loss: nan, Accuracy: inf, FLOPs: nan, Seconds: -inf, Slices: [3]float64{nan, nan, nan}, Points: []Point{{Loss: nan}, {Step: 3, FLOPs: nan, Loss: 1}}}
	}
	s.Arms[7].Runs[0].Params = 1
	s.Arms[0].Runs[2].Slices = [3]float64{nan, nan, nan}
	s.Arms[8].Settings = []Setting{{"distill.kd_steps", "NaN"}, {"distill.teacher", "uniform"}}
	return s
}

// write puts a study's page and numbers where -pages says.
func write(t *testing.T, name string, s Study) {
	if *pages == "" {
		return
	}
	r := Report(s)
	for ending, write := range map[string]func(*os.File) error{
		".html": func(f *os.File) error { return r.WriteHTML(f) }, ".json": func(f *os.File) error { return r.WriteJSON(f) },
	} {
		f, err := os.Create(filepath.Join(*pages, name+ending))
		if err != nil {
			t.Fatal(err)
		}
		if err := write(f); err != nil {
			t.Error(err)
		}
		f.Close()
	}
}
