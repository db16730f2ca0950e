package jobs

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"saltern/model"
)

// TestDisagreements finds the rank that is not like most, and knows when it cannot know.
func TestDisagreements(t *testing.T) {
	good := []model.Sketch{{Name: "embed", Norm: 3, Dots: [4]float64{1, -2, 0, 3}}, {Name: "layers.0", Norm: 1, Dots: [4]float64{0.5, 1, 1, -1}}}
	near := []model.Sketch{{Name: "embed", Norm: 3.0001, Dots: [4]float64{1, -2.001, 0, 3}}, good[1]}
	bad := []model.Sketch{good[0], {Name: "layers.0", Norm: 1, Dots: [4]float64{0.5, 1.5, 1, -1}}}
	for _, test := range []struct {
		why   string
		ranks [][]model.Sketch
		want  []int
	}{
		{"all alike, but for rounding", [][]model.Sketch{good, near, good}, nil},
		{"one of three", [][]model.Sketch{good, bad, near}, []int{1}},
		{"the first of four", [][]model.Sketch{bad, near, good, good}, []int{0}},
		{"of two nobody knows", [][]model.Sketch{good, bad}, []int{0, 1}},
		{"two against two", [][]model.Sketch{good, bad, bad, good}, []int{0, 1, 2, 3}},
	} {
		var got []int
		for _, o := range disagreements(test.ranks, mostDeviation) {
			if got = append(got, o.rank); o.tensor != "layers.0" || o.by < 0.4 {
				t.Errorf("%s: %+v", test.why, o)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: ranks %v, want %v", test.why, got, test.want)
		}
	}
}

// TestDiagnose: a kernel that fails the reference tells more than a majority, and without either nobody is to blame.
func TestDiagnose(t *testing.T) {
	seat := func(rank int) string { return fmt.Sprint("rank ", rank) }
	odd := []oddRank{{0, "embed", 0.5}, {1, "layers.0", 0.5}}
	for _, test := range []struct {
		why     string
		odd     []oddRank
		kernels []string
		want    []int
		says    string
	}{
		{"a kernel of one of two", odd, []string{"", "matmul/tiled/seed=1: off"}, []int{1}, "rank 1 is wrong, by 0.5 of it in layers.0; its kernel fails the reference: matmul/tiled/seed=1: off"},
		{"one of three", odd[1:], []string{"", "", ""}, []int{1}, "rank 1 is off by 0.5 of it in layers.0; every kernel alone agrees"},
		{"one of two", odd, []string{"", ""}, nil, "so which rank is wrong is not known"},
	} {
		culprits, words := diagnose(test.odd, test.kernels, seat)
		if !slices.Equal(culprits, test.want) || !strings.Contains(words, test.says) {
			t.Errorf("%s: %v, %q", test.why, culprits, words)
		}
	}
}

// testSick: a rank that becomes wrong in the middle is found at the next comparison, and ends the job, or leaves those that go on.
func testSick(t *testing.T, saltern program) {
	args := []string{"launch", "-n", "3", "--env", "1:SALTERN_FAULT=12", "train", "--only", "slm", "--set", "cluster.check_every=5"}
	p := start(t, saltern, newJob(t, ranksJob), append(args, "job.toml")...)
	<-p.ended
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`SLM: after step 15 the ranks do not agree on the gradient of one microbatch: rank 1 \(` + regexp.QuoteMeta(host) +
		`, llvmpipe .*\) is off by [\d.]+ of it in slm\.layers\.0; every kernel alone agrees with the reference; they last agreed after step 10, .*\. Remove the checkpoints after that step`)
	if code := p.ProcessState.ExitCode(); code != int(Failed) || !want.MatchString(p.stderr.String()) {
		t.Errorf("%v\n%s", p.ProcessState, p.stderr.String())
	}
	p = start(t, saltern, newJob(t, ranksJob), append(args, "--set", "cluster.elastic=true", "job.toml")...)
	p.finish(t)
	for _, want := range []string{"last agreed after step 10, and what was learned since, checkpoints too, may be wrong; the others go on", "2 ranks go on from what is saved", "SLM: step 30/30"} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%q was not said:\n%s", want, p.stderr.String())
		}
	}
}
