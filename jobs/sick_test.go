package jobs

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testSick has the kernels of an operation become wrong on one rank's device in the middle of a training, in each kind of job: the next check names
// rank, host, device, tensor and kernel; what was learned since the check before is set aside; and who goes on, be it the same command or the
// other ranks, ends where one ends whose device was never wrong.
func testSick(t *testing.T, saltern program) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	slm := []string{"train", "--only", "slm", "--set=cluster.check_every=5", "job.toml"}
	method := []string{"train", "--set=cluster.check_every=4", "--set=cluster.teachers=1", "--set=cluster.prefetch=1", "--set=cluster.keep_labels=true", "job.toml"}
	apart := strings.Replace(apartJob, "local_steps = 6", "local_steps = 6\nouter_delay = 2", 1)
	never := func(job string, command []string) string { // a device was wrong
		dir := newJob(t, job)
		start(t, saltern, dir, append([]string{"launch", "-n", "2"}, command...)...).finish(t)
		return dir
	}
	neverSLM, neverApart, neverTaught := never(ranksJob, slm), never(apart, slm), never(rolesJob, method)
	device := regexp.QuoteMeta(host) + `, llvmpipe [^;]*\) `
	gradient := `is off by [\d.e+]+ of the gradient of one microbatch in (slm|llm-salt)\.\w[\w.]*, and `
	kernel := `has a kernel that fails the reference: matmul/\w+/\w+/[^;]*seed=\d+: output \d+ of shape [^;]*, the reference says [^;]*; `
	for _, test := range []struct {
		name, why       string
		launch          []string // nothing: a process alone
		fault           string   // of rank R, R:operation@step
		command         []string
		training, never string
		want            string
		survives        bool   // the others go on
		back            string // what the same command says without a fault; empty: it is not run
		aside           string // what of the run's folder is out of it
		sameBits        bool
	}{
		{
			name: "two", why: "without a majority the reference decides",
			launch: []string{"-n", "2"}, fault: "1:matmul@12", command: slm, training: "slm", never: neverSLM, sameBits: true,
			want: `SLM: step 5: 2 ranks agree with each other, and their kernels with the reference; the check took [\d.e+-]+ s, and is done again every 5 steps
(?s:.*)SLM: after step 15 rank 1 \(` + device + gradient + kernel + `all was right after step 10, and what was learned since may not be\. The same command goes back to step 7, and checkpoints after step 10 are set aside`,
			back: "SLM: going on from step 7\n", aside: "slm/checkpoints/suspect_00000014",
		},
		{
			name: "alone", why: "there is nobody to compare with",
			fault: "0:rms_norm_grad@12", command: slm, training: "slm", never: neverSLM,
			want: `SLM: step 5: each kernel agrees with the reference; (?s:.*)SLM: after step 15 this process \(` + device +
				`has a kernel that fails the reference: rms_norm_grad/[^;]*; all was right after step 10, .*\. The same command goes back to step 7`,
			back: "SLM: going on from step 7\n", aside: "slm/checkpoints/suspect_00000014",
		},
		{
			name: "apart", why: "weights are the same only where rounds end, and with a delay only the outer parameters are",
			launch: []string{"-n", "2"}, fault: "1:matmul@13", command: slm, training: "slm", never: neverApart, sameBits: true,
			want: `SLM: after step 18 rank 1 \(` + device + gradient + kernel + `all was right after step 12, .*\. The same command goes back to step 12`,
			back: "SLM: going on from step 12\n",
		},
		{
			name: "weights", why: "an update that is wrong parts them, which is seen before an evaluation, however long the next check is away",
			launch: []string{"-n", "2"}, fault: "1:adamw@12", command: append(slices.Clone(slm), "--set=cluster.check_every=0"), training: "slm", never: neverSLM,
			want:  `SLM: after step 20 rank 1 \(` + device + `has other weights, first in slm\.\w[\w.]*, and has a kernel that fails the reference: adamw/[^;]*; all was right after step 0, .*\. The same command goes back to step 0`,
			aside: "slm/checkpoints/suspect_00000007",
		},
		{
			name: "skipped", why: "no finite loss may be one device's fault",
			launch: []string{"-n", "2"}, fault: "1:adamw@12", command: append(slices.Clone(slm), "--set=cluster.check_every=0", "--set=slm.train.max_skipped_steps=4"), training: "slm", never: neverSLM,
			want:  `SLM: after step 17 rank 1 \(` + device + `has a kernel that fails the reference: adamw/[^;]*; all was right after step 0, .*\. The same command goes back to step 0`,
			aside: "slm/checkpoints/suspect_00000007",
		},
		{
			name: "elastic", why: "the others go on, and a rank that is sick has no successor",
			launch: []string{"-n", "3", "--restarts", "1"}, fault: "1:matmul@12", command: append(slices.Clone(slm), "--set=cluster.elastic=true"), training: "slm", never: neverSLM,
			want: `SLM: after step 15 rank 1 \(` + device + gradient + kernel + `all was right after step 10, and what was learned since may not be; the others go back to step 7
(?s:.*)rank 1 \(` + regexp.QuoteMeta(host) + `\) is lost: its device computes wrongly, as was found after step 15; SLM stopped at step 15 of 30, and goes back to step 7; 2 ranks go on from what is saved
SLM: going on from step 7`,
			survives: true, aside: "slm/checkpoints/suspect_00000014",
		},
		{
			name: "teacher", why: "it computes no gradient, and its labels are kept",
			launch: []string{"-n", "2"}, fault: "1:matmul@12", command: method, training: "llm-salt", never: neverTaught, sameBits: true,
			want: `SALT: after step 12 rank 1 \(` + device + kernel + `all was right after step 8, .*\. The same command goes back to step 7`,
			back: "SALT: going on from step 7\n", aside: "labels/*/" + labelsName + ".suspect",
		},
		{
			name: "labels", why: "a pass that is no training has a device too",
			fault: "0:matmul@6", command: []string{"label", "--set=cluster.check_every=4", "job.toml"}, never: neverTaught,
			want: `labels: after batch 8 this process \(` + device + kernel + `all was right after batch 4\. The file is set aside as .*\.suspect, and the same command begins anew`,
			back: "labels: ", aside: "labels/*/" + labelsName + ".suspect",
		},
		{
			name: "teacher that trains", why: "in stage 2 it is one of all, and the reference does not decide alone",
			launch: []string{"-n", "3"}, fault: "2:matmul@17", command: method, training: "llm-salt", never: neverTaught,
			want: `SALT: after step 20 rank 2 \(` + device + gradient + kernel + `all was right after step 16, .*\. The same command goes back to step 14`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(test.never)); err != nil {
				t.Fatal(err)
			}
			run := func(dir string) string { return filepath.Join(dir, "runs", "job") }
			for _, made := range []string{cmp.Or(test.training, "labels"), "labels"} {
				if err := os.RemoveAll(filepath.Join(run(dir), made)); err != nil {
					t.Fatal(err)
				}
			}
			command := func(fault string) *process {
				rank, what, _ := strings.Cut(fault, ":")
				if test.launch == nil {
					return start(t, program{"env", saltern.cache}, dir, append([]string{"SALTERN_FAULT=" + what, saltern.path}, test.command...)...)
				}
				return start(t, saltern, dir, slices.Concat([]string{"launch", "--env", rank + ":SALTERN_FAULT=" + what}, test.launch, test.command)...)
			}
			p := command(test.fault)
			<-p.ended
			code := SickDevice
			if test.survives {
				code = OK
			}
			if Kind(p.ProcessState.ExitCode()) != code || !regexp.MustCompile(test.want).MatchString(p.stderr.String()) || strings.Contains(p.stderr.String(), "in its place") {
				t.Fatalf("%s: %v, want %s\n%s", test.why, p.ProcessState, test.want, p.stderr.String())
			}
			if found, _ := filepath.Glob(filepath.Join(run(dir), test.aside)); len(found) != 1 {
				t.Errorf("set aside are %v", found)
			}
			switch {
			case test.back != "":
				again := command("0:")
				if again.finish(t); !strings.Contains(again.stderr.String(), test.back) {
					t.Errorf("it did not go back:\n%s", again.stderr.String())
				}
			case !test.survives:
				return
			}
			if test.training == "" {
				sameLabels(t, test.never, dir)
			} else if test.sameBits {
				sameRuns(t, test.never, dir, test.training)
			} else {
				nearSteps(t, measured(t, filepath.Join(run(test.never), test.training)), measured(t, filepath.Join(run(dir), test.training)))
			}
		})
	}
}
