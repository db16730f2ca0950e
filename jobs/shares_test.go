package jobs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"saltern/jobs/metrics"
)

// judged has shares judge so many steps, in which each rank takes its seconds for a microbatch, with noise and now and then an
// outlier, and gives the changes.
func judged(s *shares, from, steps int64, n int, seconds ...float64) (changes []shareChange, said []string) {
	for step := from; step < from+steps; step++ {
		x := slices.Clone(seconds)
		for i := range x {
			x[i] *= 1 + 0.02*math.Sin(float64(step*int64(i+1)))
			if step%7 == 3 {
				x[i] *= 5
			}
		}
		c, say := s.judge(step, n, x)
		if c != nil {
			changes = append(changes, *c)
		}
		if say != "" {
			said = append(said, say)
		}
	}
	return changes, said
}

// TestJudgeShares: shares follow speeds, rest where they are good, and what whole microbatches cost is said.
func TestJudgeShares(t *testing.T) {
	even := &shares{measure: true, next: 2, soon: true}
	if changes, said := judged(even, 0, 300, 8, 1, 1.02); len(changes) > 0 || len(said) > 0 {
		t.Errorf("ranks that are alike: %v, %v", changes, said)
	}
	slow := &shares{measure: true, next: 2, soon: true}
	changes, said := judged(slow, 0, 300, 12, 1, 2)
	if len(changes) != 1 || !slices.Equal(changes[0].Microbatches, []int{8, 4}) || changes[0].Step != 9+1+sharesDelay || len(said) != 1 || !strings.HasPrefix(said[0], "from step 19 on ranks take [8 4] of 12 microbatches") {
		t.Errorf("one takes twice as long: %v, %q", changes, said)
	}
	for step, want := range map[int64][]int{0: {6, 6}, 17: {6, 6}, 18: {8, 4}, 400: {8, 4}} {
		if got := slow.at(step, 12, 2); !slices.Equal(got, want) {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	if got := slow.at(400, 12, 3); !slices.Equal(got, []int{4, 4, 4}) {
		t.Errorf("other ranks: %v", got)
	}
	if changes, _ := judged(slow, 300, 300, 12, 2, 1); len(changes) != 1 || !slices.Equal(changes[0].Microbatches, []int{4, 8}) || changes[0].Step < 350 {
		t.Errorf("the other becomes the slow one: %v", changes)
	}
	few := &shares{measure: true, next: 2, soon: true}
	if changes, said := judged(few, 0, 300, 3, 1, 1, 3); len(changes) != 0 || len(said) != 1 || !strings.Contains(said[0], "3 microbatches are too few for ranks of such speeds: the best shares take 1") {
		t.Errorf("%v, %q", changes, said)
	}
	if changes, said := judged(&shares{next: 2}, 0, 300, 12, 1, 3); len(changes)+len(said) > 0 {
		t.Errorf("recorded: %v, %q", changes, said)
	}
}

// TestSharesFile: what is written is read again, and damage is an error.
func TestSharesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), sharesName)
	if list, err := readShares(path); err != nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
	want := []shareChange{{18, []int{8, 4}, []float64{0.1, 0.2}}, {90, []int{7, 5}, nil}}
	if err := writeShares(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readShares(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{\"step\":3,\"microbatches\":[4,0]}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readShares(path); KindOf(err) != BadData || !strings.Contains(err.Error(), "line 1 is no change") {
		t.Error(err)
	}
}

// testShares: a rank that is slow gets less, the losses are those of even shares, and a run that follows the record has its bits.
func testShares(t *testing.T, saltern program) {
	args := func(shares string) []string {
		return []string{"launch", "-n", "2", "--env", "1:SALTERN_SLOWDOWN=4", "train", "--only", "slm", "--set", "slm.train.microbatch=1", "--set", "slm.train.steps=60",
			"--set", "distill.transition=step", "--set", "cluster.shares=" + shares, "job.toml"}
	}
	even, speed, again := newJob(t, ranksJob), newJob(t, ranksJob), newJob(t, ranksJob)
	start(t, saltern, even, args("even")...).finish(t)
	p := start(t, saltern, speed, args("speed")...)
	p.finish(t)
	sameLosses(t, even, speed, "slm")
	record := filepath.Join("runs", "job", "slm", sharesName)
	changes, err := readShares(filepath.Join(speed, record))
	if err != nil || len(changes) == 0 || changes[0].Microbatches[0] <= changes[0].Microbatches[1] || changes[0].Seconds[1] <= changes[0].Seconds[0] {
		t.Fatalf("%v, %v\n%s", changes, err, p.stderr.String())
	}
	if !strings.Contains(p.stderr.String(), fmt.Sprintf("SLM: from step %d on ranks take %v of 8 microbatches", changes[0].Step+1, changes[0].Microbatches)) {
		t.Errorf("not said:\n%s", p.stderr.String())
	}
	q := start(t, saltern, again, args("recorded")...)
	<-q.ended
	if code := q.ProcessState.ExitCode(); code != int(BadConfig) || !strings.Contains(q.stderr.String(), "has no shares; copy that of the run to be repeated there") {
		t.Errorf("%v\n%s", q.ProcessState, q.stderr.String())
	}
	text, err := os.ReadFile(filepath.Join(speed, record))
	if err == nil {
		err = os.WriteFile(filepath.Join(again, record), text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	start(t, saltern, again, args("recorded")...).finish(t)
	want, got := measured(t, filepath.Join(speed, "runs", "job", "slm")), measured(t, filepath.Join(again, "runs", "job", "slm"))
	for _, r := range append(want, got...) {
		delete(r.Values, metrics.SentBytes)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the metrics differ:\n%v\n%v", got, want)
	}
}
