package watch

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"saltern/cluster/status"
	"saltern/jobs/metrics"
)

var rewrite = flag.Bool("rewrite", false, "write the pictures in testdata anew")

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// wave is noise that is the same in every run.
func wave(step int, size float64) float64 {
	x := float64(step)
	return size * (math.Sin(1.7*x) + math.Sin(2.9*x+1) + math.Sin(7.3*x))
}

// training makes up one: n steps of 400, a loss that falls from 7.6 to about 4.5, evaluated every 25 steps.
func training(folder, method string, n int, gain float64) Training {
	t := Training{Folder: folder, Changed: noon.Add(-2 * time.Second)}
	t.Settings.Train.Steps, t.Settings.Train.Batch, t.Settings.Train.Sequence = 400, 8, 128
	t.Settings.Distill.Method = method
	if method != "baseline" {
		t.Settings.Distill.KDSteps, t.Settings.Distill.Transition = 120, "step"
	}
	for step := 0; step <= n; step += 5 {
		x := float64(step)
		loss := 4.3 + 3.3*math.Exp(-x/70) - gain*(1-math.Exp(-x/40))
		r := metrics.Record{Step: step, Values: map[string]float64{}}
		if step > 0 {
			w := 0.0
			if step <= 120 {
				w = 0.5
			}
			r.Values = map[string]float64{metrics.TrainLoss: loss + wave(step, 0.03), metrics.LR: 2.5e-3, metrics.Seconds: 0.15 * x,
				metrics.TokensPerSec: 6600, metrics.MFU: 0.231}
			if method != "baseline" {
				r.Values[metrics.KDWeight] = w
				if w > 0 {
					r.Values[metrics.KDLoss] = 0.61
				}
			}
		}
		if step%25 == 0 {
			r.Values[metrics.ValLoss] = loss + 0.05
		}
		t.Records = append(t.Records, r)
	}
	return t
}

func finished(t Training, loss float64) Training {
	t.Outcome = &outcome{Seconds: 60, Finished: noon.Add(-time.Minute)}
	t.Outcome.HeldOut.NLL = loss
	return t
}

func rank(n int, role string, step int64, stepMS, waitMS float64) Rank {
	return Rank{
		Report: status.Report{Rank: n, Host: fmt.Sprintf("node%d", n/4), Role: role, Training: "llm-salt", Device: "Radeon RX 7900 XTX", Step: step, Total: 400, TokensPerSec: 1650,
			StepMS: stepMS, WaitMS: waitMS, Loss: 4.61, W: 0.5},
		Heard: noon.Add(-400 * time.Millisecond), Own: stepMS - waitMS, SentPerSec: 61e6 + 1e5*float64(n), ReceivedPerSec: 62e6,
	}
}

// states are what pictures are made of, by name.
func states() map[string]State {
	slm, base := finished(training("slm", "baseline", 400, -0.1), 4.3590), finished(training("llm-baseline", "baseline", 400, 0), 4.5600)
	slm.Settings.Model.Layers = 1
	log := Log{"logs/rank_0.log", []string{
		"2026-01-01T11:58:30Z BASELINE: done, held-out loss 4.5600 after 400 steps, 60 s", "2026-01-01T11:59:10Z SALT: step 75/400  held-out loss 5.2102  accuracy 15.1%",
		"2026-01-01T11:59:58Z SALT: step 100/400  held-out loss 4.9031  accuracy 17.3%",
	}}
	auto := training("llm-salt", "salt", 95, 0.08)
	auto.Settings.Distill.Transition = "auto"
	auto.Records[len(auto.Records)-2].Values[metrics.Tau], auto.Records[len(auto.Records)-2].Values[metrics.TauError] = 0.81, 0.03
	first := training("slm", "baseline", 35, 0)
	first.Records[6].Values[metrics.CheckSeconds] = 0.6
	list := map[string]State{
		"foreign":   {Name: "データ", Trainings: []Training{training("slm", "baseline", 35, 0)}, Log: Log{"log", []string{"数数数数数数数数数数数数数数数数数数数数数数数数é"}}},
		"alone":     {Name: "go-source", Trainings: []Training{slm, base, training("llm-salt", "salt", 215, 0.08)}, Log: log},
		"ended":     {Name: "go-source", Trainings: []Training{slm, base, finished(training("llm-salt", "salt", 400, 0.08), 4.4670)}, Log: log, Ended: true},
		"first":     {Name: "go-source", Trainings: []Training{first}},
		"nothing":   {Name: "go-source", Notes: []string{"from the files alone: connecting to the ranks at 10.1.0.7:4222: timeout"}},
		"ranks":     {Name: "go-source", Trainings: []Training{slm, base, auto}, Log: log},
		"ranks-old": {Name: "go-source", Trainings: []Training{base, training("llm-salt", "salt", 215, 0.08)}, Log: log},
	}
	ranks := list["ranks"]
	for n := range 5 {
		role := status.Student
		if n == 4 {
			role = status.Teacher
		}
		ranks.Ranks = append(ranks.Ranks, rank(n, role, 97, 620, 310))
	}
	ranks.Ranks[2].WaitMS, ranks.Ranks[2].Own = 12, 608
	list["ranks"] = ranks
	old := list["ranks-old"]
	for n := range 64 {
		old.Ranks = append(old.Ranks, rank(n, status.Student, 216, 620, 310))
	}
	for n := range old.Ranks {
		old.Ranks[n].W = 0
	}
	old.Ranks[37].Heard = noon.Add(-12 * time.Second)
	old.Notes = []string{"the connection to the ranks is lost; what is new comes from the files alone"}
	list["ranks-old"] = old
	for which, s := range list {
		s.Now = noon
		name(s.Trainings)
		list[which] = s
	}
	return list
}

func TestPictures(t *testing.T) {
	for name, s := range states() {
		if name == "foreign" {
			continue
		}
		for _, size := range [][2]int{{80, 24}, {120, 40}, {40, 15}} {
			for look, l := range map[string]Look{"": {}, "-color": {Color: true}, "-ascii": {ASCII: true}} {
				if look != "" && (size[0] != 80 || name != "ranks" && name != "alone") {
					continue
				}
				path := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d%s.txt", name, size[0], size[1], look))
				got := strings.Join(Picture(s, size[0], size[1], l), "\n") + "\n"
				if *rewrite {
					if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil || got != string(want) {
					t.Errorf("%s is another picture now (%v); look at it, and if it is right, run: go test ./jobs/watch -rewrite\n%s", path, err, got)
				}
			}
		}
	}
}

// At any size a picture has no more lines and columns than there are.
func TestAnySize(t *testing.T) {
	for name, s := range states() {
		for w := 0; w < 130; w += 1 + w/5 {
			for h := 0; h < 50; h += 1 + h/5 {
				for _, look := range []Look{{}, {ASCII: true}} {
					lines := Picture(s, w, h, look)
					if len(lines) > h {
						t.Fatalf("%s at %dx%d has %d lines", name, w, h, len(lines))
					}
					for _, l := range lines {
						if width(l) > w {
							t.Fatalf("%s at %dx%d has a line of %d columns: %s", name, w, h, width(l), l)
						}
						for _, r := range l {
							if look.ASCII && r > unicode.MaxASCII {
								t.Fatalf("%s at %dx%d in ASCII has %q: %s", name, w, h, r, l)
							}
						}
					}
				}
			}
		}
	}
}
