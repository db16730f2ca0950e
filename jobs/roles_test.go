package jobs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"saltern/distill"
	"saltern/distill/labels"
	"saltern/jobs/metrics"
)

// TestLabelWait: a word comes after 8 steps but the first, after 16 more, and so on, where there is something to say.
func TestLabelWait(t *testing.T) {
	w := newLabelWait(distill.Roles{Students: 2, Teachers: 1})
	said := map[int]string{}
	for step := range 100 {
		waited := 0.38
		if step < 1 {
			waited = 1 // with the first labels
		}
		if step > 24 {
			waited = 0.05
		}
		if words := w.add(waited, 1); words != "" {
			said[step] = words
		}
	}
	want := "the students waited 38% of their time for soft labels: use 2 teachers for 2 students, or a smaller SLM"
	if len(said) != 2 || said[8] != want || said[24] != want {
		t.Errorf("%v", said)
	}
	w = newLabelWait(distill.Roles{Students: 3, Teachers: 2})
	for range 9 {
		said[0] = w.add(1, 1)
	}
	if !strings.Contains(said[0], "waited 100% of their time for soft labels: use 2000 teachers for 3 students") {
		t.Errorf("students that do nothing but wait: %q", said[0])
	}
}

// TestRolesAreChecked refuses teachers without anything to do.
func TestRolesAreChecked(t *testing.T) {
	for sets, want := range map[string]string{
		"cluster.teachers=-1":                              "teachers = -1 must not be negative",
		"cluster.prefetch=-1":                              "prefetch = -1 is out of bounds; use 1 to 1000 steps",
		"cluster.teachers=1 distill.method=baseline":       `teachers = 1 have nobody to teach: distill.method = "baseline" has no teacher`,
		"cluster.teachers=2 distill.teacher=uniform":       `teachers = 2 have no model to run: distill.teacher = "uniform" knows its answer without one`,
		"cluster.teachers=2 distill.teacher=equal-entropy": "have no model to run",
		"cluster.teachers=1 cluster.shard_optimizer=true":  "cluster.teachers = 1 begin to train in the middle; leave out one of the two",
		"cluster.teachers=1 distill.labels=offline":        `distill.labels = "offline" reads them from a file; leave out one of the two`,
		"cluster.teachers=1 distill.label_form=top-k":      "",
		"cluster.roles=3,1":                                "",
		"cluster.roles=2 cluster.teachers=1":               "",
		"cluster.roles=2 cluster.teachers=2":               `teachers = 2, but roles = "2" names 1; leave out teachers`,
		"cluster.roles=0,2":                                `roles = "0,2" has rank 0 teach, which leads, and must train`,
		"cluster.roles=2,2":                                `roles = "2,2" is unknown; use "last", "auto", or the numbers of the ranks that teach, each once, as "1,3"`,
		"cluster.roles=auto":                               "",
		"cluster.roles=auto distill.method=baseline":       "",
		"cluster.roles=auto cluster.teachers=1":            `teachers = 1, but roles = "auto" finds out how many by itself; leave out teachers`,
		"cluster.roles=auto cluster.elastic=true":          `roles = "auto" may have ranks that teach, and elastic = true`,
		"cluster.roles=auto cluster.shard_optimizer=true":  `roles = "auto" may have ranks that teach, and shard_optimizer = true`,
		"cluster.roles=auto cluster.sync=local":            `roles = "auto" may have ranks that teach, and sync = "local"`,
		"cluster.roles=first":                              `roles = "first" is unknown`,
		"cluster.roles=2 distill.method=baseline":          `have nobody to teach`,
	} {
		_, err := readJob("job.toml", []byte(compareJob), strings.Fields(sets))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sets, err, want)
		}
	}
	job, err := readJob("job.toml", []byte(compareJob), []string{"cluster.teachers=2"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{job: job}
	for _, student := range trainings(job, "corpus") {
		err := enoughStudents(s, []*training{student})
		if want := student.name == "llm-salt"; want != (err != nil) {
			t.Errorf("%s: %v", student.label, err)
		} else if want && !strings.Contains(err.Error(), "cluster.teachers = 2 of a process that is alone leaves no student for SALT; start 3 ranks or more (saltern launch -n)") {
			t.Error(err)
		}
	}
	file, err := readJob("job.toml", []byte(compareJob), []string{"distill.labels=offline"})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := addressOf(t, job.student("corpus")), addressOf(t, file.student("corpus")); a != b {
		t.Errorf("labels of other ranks make another training, %s, than those of a file, %s", a, b)
	}
	if _, err := job.arms(); err != nil {
		t.Error(err)
	}
	arms, _ := job.arms()
	for _, a := range arms {
		j, err := a.job(job)
		if err != nil {
			t.Errorf("%s: %v", a.name, err)
		} else if alone := strings.HasPrefix(a.name, "baseline") || a.name == "smoothing"; alone != (j.student("corpus").teachers == 0) {
			t.Errorf("%s has %d teachers", a.name, j.student("corpus").teachers)
		}
	}
}

// running says that the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// rolesJob has a stage 1 of 14 steps and, with label_form "sample", labels that are the same in whatever order they are made.
var rolesJob = strings.Replace(ranksJob, `transition = "auto"
window = 5
kd_steps = 28
`, `kd_steps = 14
label_count = 20
`, 1)

// testRoles holds jobs with teachers on ranks of their own against those that read the same labels from a file.
func testRoles(t *testing.T, saltern program) {
	launch := func(n int, more ...string) []string {
		return append([]string{"launch", "-n", fmt.Sprint(n), "--", "train", "--only", "method"}, append(more, "job.toml")...)
	}
	begin := newJob(t, rolesJob)
	start(t, saltern, begin, "train", "--only", "slm", "job.toml").finish(t)
	trained := func(t *testing.T) string { // a job whose SLM is there
		t.Helper()
		dir := newJob(t, rolesJob)
		if err := os.CopyFS(filepath.Join(dir, "runs"), os.DirFS(filepath.Join(begin, "runs"))); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	teachers := "--set=cluster.teachers=1"
	file, undisturbed := trained(t), trained(t)
	start(t, saltern, file, launch(2, "--set=distill.labels=offline")...).finish(t)
	first := start(t, saltern, undisturbed, launch(3, teachers, "--set=cluster.keep_labels=true")...)
	first.finish(t)
	if want := "SALT: step 14: the teacher helps no more, and its ranks train as well: 3 in all\n"; !strings.Contains(first.stderr.String(), want) {
		t.Errorf("%s\nwant %s", first.stderr.String(), want)
	}
	t.Run("as from a file", func(t *testing.T) {
		a, b := measuredLosses(t, file), measuredLosses(t, undisturbed)
		nearLosses(t, a, b)
		for i := range 15 { // by as many students
			if x, y := fmt.Sprint(a[i].Values), fmt.Sprint(b[i].Values); x != y {
				t.Errorf("step %d: %s with teachers on other ranks, %s from a file", a[i].Step, y, x)
			}
		}
		var spent []float64 // the same arithmetic, though labels of a file are made before the first step
		var records []metrics.Record
		for _, dir := range []string{file, undisturbed} {
			var err error
			if records, err = metrics.Read(filepath.Join(dir, "runs", "job", "llm-salt")); err != nil {
				t.Fatal(err)
			}
			spent = append(spent, records[30].Value(metrics.FLOPs))
		}
		sameLabels(t, file, undisturbed)
		if spent[0] != spent[1] {
			t.Errorf("%g FLOPs, from a file %g", spent[1], spent[0])
		}
		for _, r := range records {
			if _, ok := r.Values[metrics.LabelWait]; ok != (r.Step >= 1 && r.Step <= 14) {
				t.Errorf("step %d: a wait for labels: %v", r.Step, ok)
			}
		}
	})
	t.Run("pinned", func(t *testing.T) {
		dir := trained(t)
		p := start(t, saltern, dir, launch(3, "--set=cluster.roles=1", "--set=cluster.keep_labels=true")...)
		p.finish(t)
		if log := rankSays(t, dir, 1); !strings.Contains(log, "SALT: this rank runs the teacher from step 0 on, for 2 students\n") {
			t.Errorf("rank 1 does not teach:\n%s", log)
		}
		sameTraining(t, undisturbed, dir, "llm-salt") // on devices that are alike it does not matter who teaches
		sameLabels(t, file, dir)
	})
	// asFile wants the losses of two students that read a file, from the first step to the last.
	asFile := func(t *testing.T, dir string) {
		t.Helper()
		a, b := measuredLosses(t, file), measuredLosses(t, dir)
		if len(a) != len(b) {
			t.Fatalf("%d measurements, from a file %d", len(b), len(a))
		}
		for i := range a {
			if x, y := fmt.Sprint(a[i].Values), fmt.Sprint(b[i].Values); x != y {
				t.Errorf("step %d: %s, from a file %s", a[i].Step, y, x)
			}
		}
	}
	t.Run("small", func(t *testing.T) { // a device that holds the SLM and not the LLM
		dir := trained(t)
		small := []string{"launch", "-n", "3", "--env", "1:SALTERN_MEMORY=1200KiB", "--"}
		roles := []string{"--set=cluster.roles=auto", "job.toml"}
		p := start(t, saltern, dir, slices.Concat(small, []string{"train"}, roles)...)
		if !p.at(t, after("llm-salt", 20), 0) { // in stage 2
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		if err := syscall.Kill(child(t, p, 1), syscall.SIGTERM); err != nil { // the one that rests: the others stop for it
			t.Fatal(err)
		}
		<-p.ended
		if code := p.ProcessState.ExitCode(); code != int(Interrupted) {
			t.Fatalf("%v\n%s", p.ProcessState, p.stderr.String())
		}
		start(t, saltern, dir, slices.Concat(small, []string{"run"}, roles)...).finish(t)
		start(t, saltern, dir, slices.Concat(launch(3), roles[:1])...).finish(t) // on three alike
		for i, list := range [][]string{{
			`SALT: rank 1 \(.+\) teaches, and then rests: 1.2 MiB are too few to train, which takes 1.3 MiB; to teach takes \S+ KiB`,
			`SALT: step 14: the teacher helps no more, and its ranks, too small or too slow to train, wait for the 2 that do`,
			`SALT: the roles are those of before, as the ranks are`,
			`SALT: the ranks are not those of before, so the roles are decided anew`,
			`SALT: rank 2 \(.+\) teaches, and then trains: .+`, // as the training was begun with teachers
		}, {
			`SALT: this rank runs the teacher from step 0 on, for 2 students`,
			`SALT: this rank waits for the 2 of 3 that train`,
			`BASELINE: this rank waits for the 2 of 3 that train`,
		}} {
			log := rankSays(t, dir, i)
			for _, want := range list {
				if !regexp.MustCompile(`(?m)^(\S+Z )?` + want + `$`).MatchString(log) {
					t.Errorf("%s\nwant %s", log, want)
				}
			}
		}
		asFile(t, dir)
		if page, err := os.ReadFile(filepath.Join(dir, "runs", "job", "report.html")); err != nil || !strings.Contains(string(page), "teaches, and then rests: 1.2 MiB are too few to train") {
			t.Errorf("the report does not say who taught (%v)", err)
		}
	})
	t.Run("shares", func(t *testing.T) { // even while some teach, by speed when all train
		dir := trained(t)
		p := start(t, saltern, dir, "launch", "-n", "3", "--env", "1:SALTERN_SLOWDOWN=4", "--", "train", "--only", "method", "--set=cluster.roles=1", "--set=cluster.shares=speed",
			"--set=llm.train.microbatch=1", "--set=llm.train.steps=45", "job.toml")
		p.finish(t)
		changes, err := readShares(filepath.Join(dir, "runs", "job", "llm-salt", sharesName))
		if err != nil || len(changes) == 0 || changes[0].Step < 14+firstWindow || len(changes[0].Microbatches) != 3 || changes[0].Microbatches[2] >= changes[0].Microbatches[0] {
			t.Errorf("%+v, %v\n%s", changes, err, p.stderr.String())
		}
	})
	t.Run("small and slow", func(t *testing.T) { // and one that is good for nothing
		dir := trained(t)
		start(t, saltern, dir, "launch", "-n", "4", "--env", "1:SALTERN_SLOWDOWN=1000", "--env", "2:SALTERN_MEMORY=1200KiB", "--", "train", "--only", "method", "--set=cluster.roles=auto", "job.toml").finish(t)
		for rank, want := range []string{"SALT: rank 1 (", "SALT: this rank waits for the 2 of 4 that train", "SALT: this rank runs the teacher from step 0 on, for 2 students"} {
			if log := rankSays(t, dir, rank); !strings.Contains(log, want) {
				t.Errorf("%s\nwant %s", log, want)
			}
		}
		asFile(t, dir)
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel() // most of it waits
		dir := trained(t)
		for _, lines := range []int{6, 20} {
			p := start(t, saltern, dir, launch(3, teachers, "--set=cluster.keep_labels=true")...)
			if !p.at(t, after("llm-salt", lines), 0) {
				t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
			}
			signaled := p.Process.Pid
			if lines == 6 {
				signaled = child(t, p, 2) // the teacher alone: the students stop for it
			}
			if err := syscall.Kill(signaled, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			said := regexp.MustCompile(`(?m)^saltern: SALT stopped at step \d+ of 30, saved in \S+; the same command goes on from there: `)
			if code := p.ProcessState.ExitCode(); code != int(Interrupted) || !said.MatchString(p.stderr.String()) {
				t.Fatalf("at line %d: %v, want exit code %d\n%s", lines, p.ProcessState, Interrupted, p.stderr.String())
			}
		}
		start(t, saltern, dir, launch(3, teachers)...).finish(t)
		sameTraining(t, undisturbed, dir, "llm-salt")
		sameLabels(t, file, dir)
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel() // most of it waits
		dir := trained(t)
		p := start(t, saltern, dir, launch(3, teachers)...)
		if !p.at(t, after("llm-salt", 9), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		victim := child(t, p, 2)
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		want := regexp.MustCompile(fmt.Sprintf(`\nsaltern: rank 2 \(\S+\) is lost: .+; the same command goes on from what is saved\nsaltern: process %d was ended by a signal: killed; the other ranks have stopped, and the same command goes on\n$`, victim))
		if code := p.ProcessState.ExitCode(); code != int(Requeue) || !want.MatchString(p.stderr.String()) {
			t.Fatalf("%v\n%s\nwant %s", p.ProcessState, p.stderr.String(), want)
		}
		start(t, saltern, dir, launch(3, teachers)...).finish(t)
		sameTraining(t, undisturbed, dir, "llm-salt")
	})
	t.Run("kept", func(t *testing.T) {
		t.Parallel() // most of it waits
		keep := launch(3, teachers, "--set=cluster.keep_labels=true")
		said := regexp.MustCompile(`(?m)^SALT: the soft labels of \d+ microbatches are kept from before, and not made again$`)
		var dir string
		for tries := 1; ; tries++ {
			dir = trained(t)
			for _, lines := range []int{6, 9} {
				p := start(t, saltern, dir, keep...)
				ranks := []int{child(t, p, 0), child(t, p, 1), child(t, p, 2)}
				if !p.at(t, after("llm-salt", lines), 0) {
					t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
				}
				_ = p.Process.Kill() // and with it all ranks
				<-p.ended
				for _, pid := range ranks {
					for limit := time.Now().Add(time.Minute); running(pid) && time.Now().Before(limit); time.Sleep(time.Millisecond) {
					}
				}
			}
			p := start(t, saltern, dir, keep...)
			p.finish(t)
			if said.MatchString(p.stderr.String()) {
				break
			}
			if tries == 3 || !strings.Contains(p.stderr.String(), "SALT: going on from step 14\n") { // where stage 1 has ended
				t.Fatalf("nothing was kept:\n%s", p.stderr.String())
			}
		}
		sameTraining(t, undisturbed, dir, "llm-salt")
		sameLabels(t, file, dir)
	})
	t.Run("slow", func(t *testing.T) {
		p := start(t, saltern, trained(t), launch(3, teachers, "--trace=trace.json", "--set=distill.method=rkd", "--set=cluster.prefetch=1", "--set=cluster.heartbeat=60")...)
		if !p.at(t, after("llm-rkd", 2), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		slow := child(t, p, 2)
		said := regexp.MustCompile(`(?m)^RKD: step 9: the students waited \d+% of their time for soft labels: use \d+ teachers for 2 students, or a smaller SLM$`)
		for enough := after("llm-rkd", 11); !enough.here(filepath.Join(p.Dir, "runs", "job")) && p.running(); {
			_ = syscall.Kill(slow, syscall.SIGSTOP) // an error says that it has ended
			time.Sleep(200 * time.Millisecond)
			_ = syscall.Kill(slow, syscall.SIGCONT)
			time.Sleep(5 * time.Millisecond)
		}
		p.finish(t)
		if !said.MatchString(p.stderr.String()) {
			t.Errorf("nobody speaks of the wait:\n%s", p.stderr.String())
		}
		if trace, err := os.ReadFile(filepath.Join(p.Dir, "trace.json")); err != nil || !strings.Contains(string(trace), `"wait for soft labels"`) {
			t.Errorf("the trace does not show the wait (%v)", err)
		}
	})
	t.Run("auto", func(t *testing.T) {
		t.Parallel() // most of it waits
		weak := []string{"--set=slm.train.steps=4", "--set=distill.transition=auto", "--set=distill.window=3", "--set=distill.kd_steps=28"}
		a, b := newJob(t, rolesJob), newJob(t, rolesJob)
		start(t, saltern, a, append(append([]string{"train"}, weak...), "--set=distill.labels=offline", "job.toml")...).finish(t)
		p := start(t, saltern, b, append(append([]string{"launch", "-n", "4", "--", "train", "--set=cluster.teachers=2"}, weak...), "job.toml")...)
		p.finish(t)
		if !regexp.MustCompile(`(?m)^SALT: step \d+: the teacher helps no more, and its ranks train as well: 4 in all$`).MatchString(p.stderr.String()) {
			t.Errorf("the teachers never train:\n%s", p.stderr.String())
		}
		nearLosses(t, measuredLosses(t, a), measuredLosses(t, b))
	})
}

// rankSays is what a rank has said.
func rankSays(t *testing.T, dir string, rank int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "runs", "job", "logs", fmt.Sprintf("rank_%d.log", rank)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameLabels wants two jobs to have files of the same soft labels, in whatever order.
func sameLabels(t *testing.T, wantDir, gotDir string) {
	t.Helper()
	var files []*labels.File
	for _, dir := range []string{wantDir, gotDir} {
		found, _ := filepath.Glob(filepath.Join(dir, "runs", "job", "labels", "*", labelsName)) // the pattern is a good one
		f, err := labels.Open(strings.Join(found, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	want, got := files[0], files[1]
	if want.Settings != got.Settings || want.Len() != got.Len() || want.Len() != 14*8 {
		t.Fatalf("%d sequences of %+v, want %d of %+v", got.Len(), got.Settings, want.Len(), want.Settings)
	}
	a, b := labels.New(want.Settings.Sequence, want.Count), labels.New(want.Settings.Sequence, want.Count)
	for sequence := range int64(1 << 20) {
		if !want.Has(sequence) {
			continue
		}
		if err := errors.Join(want.Sequence(sequence, a), got.Sequence(sequence, b)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.Q, b.Q) || !slices.Equal(a.Stats, b.Stats) {
			t.Fatalf("sequence %d has other labels", sequence)
		}
	}
}

// measuredLosses are SALT's measurements but for its arithmetic, which soft labels of a file take before the first step.
func measuredLosses(t *testing.T, dir string) []metrics.Record {
	t.Helper()
	records := measured(t, filepath.Join(dir, "runs", "job", "llm-salt"))
	for _, r := range records {
		delete(r.Values, metrics.FLOPs)
		delete(r.Values, metrics.SentBytes) // another number of ranks sends other parts
	}
	return records
}
