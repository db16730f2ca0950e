package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"saltern/compute/vk"
	"saltern/jobs/metrics"
	"saltern/model"
)

// TestMixedKinds: ranks know that their devices differ, who then updates the weights, and who keeps which choices of kernels.
func TestMixedKinds(t *testing.T) {
	devices := []vk.Info{{Name: "Radeon", Driver: "RADV 25"}, {Name: "Arc", Driver: "ANV 25"}, {Name: "Radeon", Driver: "RADV 25"}, {Name: "Arc", Driver: "ANV 25"}}
	for i := range devices {
		devices[i].UUID = fmt.Sprint(i)
	}
	var mu sync.Mutex
	files, said := map[string][]int{}, ""
	errs := inRanks(t, 4, func(ctx context.Context, r *ranks) error {
		if r.mixed() {
			t.Error("mixed before anybody knows")
		}
		if err := r.sit(ctx, devices[r.rank()], false); err != nil {
			return err
		}
		s := &session{ranks: r}
		path, keep := s.kernelsFile("dir")
		mu.Lock()
		defer mu.Unlock()
		if !r.mixed() {
			t.Errorf("rank %d does not know", r.rank())
		}
		if keep {
			files[path] = append(files[path], r.rank())
		}
		for _, test := range []struct {
			teachers int
			sync     string
			shard    bool
			says     string
		}{
			{0, "", true, "so each updates its part"}, {1, "", false, "so rank 0 updates the weights"}, {0, "local", false, ""},
		} {
			j, line := &Job{}, ""
			j.Cluster.Teachers, j.Cluster.Sync = test.teachers, test.sync
			s.settleMixed(j, func(l string) { line = l })
			if j.Cluster.ShardOptimizer != test.shard || r.leads() && !strings.Contains(line, test.says) || (line != "") != (r.leads() && test.says != "") {
				t.Errorf("rank %d, %+v: %v, %q", r.rank(), test, j.Cluster.ShardOptimizer, line)
			}
			if r.leads() && line != "" {
				said = line
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if want := "Radeon (RADV 25): rank 0, 2; Arc (ANV 25): rank 1, 3"; !strings.HasSuffix(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	if want := map[string][]int{filepath.Join("dir", "kernels.json"): {0}, filepath.Join("dir", "kernels_rank_1.json"): {1}}; fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", files, want)
	}
}

// TestUnlike finds the ranks whose weights are not those of most, and the first tensor that differs; without a majority they are all ranks.
func TestUnlike(t *testing.T) {
	good := []model.Checksum{{Name: "llm.embed", Sum: 1}, {Name: "llm.layers.0", Sum: 2}}
	bad := []model.Checksum{{Name: "llm.embed", Sum: 1}, {Name: "llm.layers.0", Sum: 3}}
	other := []model.Checksum{{Name: "llm.embed", Sum: 4}, {Name: "llm.layers.0", Sum: 2}}
	embed, layers := "llm.embed", "llm.layers.0"
	for _, test := range []struct {
		why   string
		ranks [][]model.Checksum
		want  []oddRank
	}{
		{"all alike", [][]model.Checksum{good, good, good}, nil},
		{"one of three", [][]model.Checksum{good, bad, good}, []oddRank{{rank: 1, tensor: layers}}},
		{"each of three another", [][]model.Checksum{good, bad, other}, []oddRank{{rank: 0, tensor: layers}, {rank: 1, tensor: layers}, {rank: 2, tensor: embed}}},
		{"of two nobody knows", [][]model.Checksum{other, good}, []oddRank{{rank: 0, tensor: embed}, {rank: 1, tensor: embed}}},
		{"two against two", [][]model.Checksum{good, bad, bad, good}, []oddRank{{rank: 0, tensor: layers}, {rank: 1, tensor: layers}, {rank: 2, tensor: layers}, {rank: 3, tensor: layers}}},
		{"one against two pairs", [][]model.Checksum{other, good, good, bad, bad}, []oddRank{{rank: 0, tensor: embed}, {rank: 1, tensor: layers}, {rank: 2, tensor: layers}, {rank: 3, tensor: layers}, {rank: 4, tensor: layers}}},
	} {
		if got := unlike(test.ranks); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.why, got, test.want)
		}
	}
}

// mixedBound is by how much the held-out loss of ranks whose devices differ may lie beside that of one device with the same batch, in nats. See
// docs/NUMERICS.md.
const mixedBound = 1e-3

// testMixed trains among ranks whose drivers make other machine code, with vectors of other lengths, and holds the losses against
// those of one process. That the ranks have the same weights the program checks itself, before each evaluation.
func testMixed(t *testing.T, saltern program) {
	alone, two := newJob(t, ranksJob), newJob(t, ranksJob)
	start(t, saltern, alone, "train", "--only", "slm", "job.toml").finish(t)
	launch := []string{"launch", "-n", "2", "--env", "1:LP_NATIVE_VECTOR_WIDTH=128", "--"}
	even := []string{"--set", "cluster.shares=even", "job.toml"} // those by speed follow the clock
	p := start(t, saltern, two, append(append(launch, "train", "--only", "slm"), even...)...)
	p.finish(t)
	if !strings.Contains(p.stderr.String(), "devices differ, so each updates its part of the weights and gives it to the others") {
		t.Fatalf("the drivers are alike, or it was not noticed:\n%s", p.stderr.String())
	}
	nearHeldOut(t, alone, two, "slm")
	t.Run("resumed", func(t *testing.T) {
		dir := newJob(t, ranksJob)
		p := start(t, saltern, dir, append(append(launch, "train", "--only", "slm"), even...)...)
		if !p.at(t, after("slm", 9), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		start(t, saltern, dir, append(append(launch, "train", "--only", "slm"), even...)...).finish(t)
		want, got := measured(t, filepath.Join(two, "runs", "job", "slm")), measured(t, filepath.Join(dir, "runs", "job", "slm"))
		for _, r := range append(want, got...) {
			delete(r.Values, metrics.SentBytes) // the killed one sent its part of a checkpoint once more, or less
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the metrics differ:\n%v\n%v", got, want)
		}
	})
	t.Run("teachers", func(t *testing.T) {
		dir := newJob(t, ranksJob)
		p := start(t, saltern, dir, append(launch, "run", "--set", "cluster.teachers=1", "job.toml")...)
		p.finish(t)
		if !strings.Contains(p.stderr.String(), "so rank 0 updates the weights and gives them to the others") {
			t.Errorf("not said:\n%s", p.stderr.String())
		}
		nearHeldOut(t, alone, dir, "slm")
	})
}

// nearHeldOut wants a training's last held-out loss within mixedBound of another run's, and lower than before the first step.
func nearHeldOut(t *testing.T, wantDir, gotDir, training string) {
	t.Helper()
	want, got := measured(t, filepath.Join(wantDir, "runs", "job", training)), measured(t, filepath.Join(gotDir, "runs", "job", training))
	w, g := want[len(want)-1].Values[metrics.ValLoss], got[len(got)-1].Values[metrics.ValLoss]
	t.Logf("%s: held-out loss %.6f, on one device %.6f", training, g, w)
	if !(w-mixedBound < g && g < w+mixedBound) || g >= got[0].Values[metrics.ValLoss] {
		t.Errorf("%s: held-out loss %.6f, on one device %.6f, want them within %g", training, g, w, mixedBound)
	}
}
