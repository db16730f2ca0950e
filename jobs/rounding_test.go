package jobs

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"saltern/jobs/metrics"
)

// testRounding holds jobs whose ranks round every gradient that they send against one whose ranks send them as they are.
func testRounding(t *testing.T, saltern program) {
	launch := func(n string, more ...string) []string {
		return append([]string{"launch", "-n", n, "--", "train", "--only", "baseline", "--set", "cluster.wire=int8"}, append(more, "job.toml")...)
	}
	exact, whole, dir := newJob(t, ranksJob), newJob(t, ranksJob), newJob(t, ranksJob)
	start(t, saltern, exact, launch("2", "--set", "cluster.wire=float32")...).finish(t)
	start(t, saltern, whole, launch("2")...).finish(t)
	want, got := measured(t, filepath.Join(exact, "runs", "job", "llm-baseline")), measured(t, filepath.Join(whole, "runs", "job", "llm-baseline"))
	if w, g := want[30].Value(metrics.SentBytes), got[30].Value(metrics.SentBytes); !(g > 0 && g < w/3.9) {
		t.Errorf("%v bytes were sent, want at most a quarter of %v, and scales", g, w)
	}
	down := want[0].Value(metrics.ValLoss) - want[30].Value(metrics.ValLoss)
	if w, g := want[30].Value(metrics.ValLoss), got[30].Value(metrics.ValLoss); w == g || math.Abs(w-g) > 0.02*down {
		t.Errorf("the held-out loss is %v, and %v where nothing is rounded", g, w)
	}
	t.Logf("held-out loss %.4f, unrounded %.4f; %.2f of the bytes", got[30].Value(metrics.ValLoss), want[30].Value(metrics.ValLoss), got[30].Value(metrics.SentBytes)/want[30].Value(metrics.SentBytes))

	for i, lines := range []int{10, 17} {
		p := start(t, saltern, dir, launch("2")...)
		if !p.at(t, after("llm-baseline", lines), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		_ = p.Process.Signal([]os.Signal{os.Interrupt, os.Kill}[i])
		<-p.ended
	}
	p := start(t, saltern, dir, launch("2")...)
	for strings.Contains(p.stderr.String(), "another process") { // the ranks of the one that was killed may still be ending
		<-p.ended
		p = start(t, saltern, dir, launch("2")...)
	}
	p.finish(t)
	sameApart(t, whole, dir, "llm-baseline")

	p = start(t, saltern, whole, launch("2", "--set", "cluster.wire=float32")...)
	<-p.ended
	if code := p.ProcessState.ExitCode(); code != int(BadConfig) || !strings.Contains(p.stderr.String(), "wire was int8, now float32; set them back") {
		t.Errorf("%v, want exit code %d\n%s", p.ProcessState, BadConfig, p.stderr.String())
	}
}
