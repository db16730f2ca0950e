package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"saltern/cluster/collective"
	"saltern/compute"
	"saltern/jobs/place"
)

// wholeRanks does something as each of so many ranks that know their seats.
func wholeRanks(t *testing.T, size int, do func(ctx context.Context, r *ranks) error) []error {
	t.Helper()
	return inRanks(t, size, func(ctx context.Context, r *ranks) error {
		r.whole = r.group.(*collective.Group)
		for rank := range size {
			r.seats = append(r.seats, place.Seat{Rank: rank, Kind: fmt.Sprint("kind ", rank/2)})
			r.devices = append(r.devices, deviceShare{Memory: int64(100 * (rank + 1)), Slowdown: 1})
		}
		return do(ctx, r)
	})
}

// TestArrange: ranks are numbered by their seats until they leave these, and what they gather is in the order of the seats.
func TestArrange(t *testing.T) {
	errs := wholeRanks(t, 4, func(ctx context.Context, r *ranks) error {
		own, order := r.rank(), []int{0, 2, 3, 1}
		back := r.arrange(order)
		if order[r.rank()] != own || r.seats[r.rank()].Rank != own {
			t.Errorf("rank %d sits at %d, by the name of %v", own, r.rank(), r.seats[r.rank()])
		}
		got, err := everybody(ctx, r, own)
		if !slices.Equal(got, order) {
			t.Errorf("gathered %v", got)
		}
		if r.leaves(2) && r.rank() < 2 {
			r.narrow(2)
			if list, failed := everybody(ctx, r, own); failed != nil || !slices.Equal(list, order[:2]) || r.mixed() != true {
				t.Errorf("the first two: %v, %v", list, failed)
			}
		}
		back()
		if r.rank() != own || r.seats[own].Rank != own {
			t.Errorf("rank %d is %d afterwards", own, r.rank())
		}
		all, failed := everybody(ctx, r, own)
		if !slices.Equal(all, []int{0, 1, 2, 3}) {
			t.Errorf("gathered %v afterwards", all)
		}
		return errors.Join(err, failed)
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	(*ranks)(nil).arrange([]int{0})()
}

// TestRest: who rests learns how the others' work went, and is heard when it is asked to stop.
func TestRest(t *testing.T) {
	for name, failure := range map[string]error{"goes well": nil, "fails": fail(DiskFull, "no room")} {
		t.Run(name, func(t *testing.T) {
			errs := wholeRanks(t, 3, func(ctx context.Context, r *ranks) error {
				if r.rank() == 2 {
					asked, ask := context.WithCancel(ctx)
					ask()
					tr := &training{label: "SALT", dir: t.TempDir(), ranks: 2}
					_, err := tr.rest(asked, &session{ranks: r, meter: newMeter(IO{}, 0)})
					return err
				}
				leave := r.enter(2)
				if r.size() != 2 || r.world() != 2 {
					t.Errorf("%d of %d ranks", r.size(), r.world())
				}
				for r.leads() && !r.asked.Load() && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				err := r.first(ctx, func() error { return failure })
				return leave(err)
			})
			for rank, err := range errs {
				if KindOf(err) != KindOf(failure) || failure != nil && !errors.As(err, new(agreed)) {
					t.Errorf("rank %d: %v", rank, err)
				}
			}
		})
	}
}

// TestCrew: those train a model that can hold it, from the first seats on, and settle its precision among them.
func TestCrew(t *testing.T) {
	job, err := readJob("job.toml", []byte(compareJob), []string{"cluster.teachers=2", "llm.train.precision=auto"})
	if err != nil {
		t.Fatal(err)
	}
	job.Config = job.withTokenizer(300, 0)
	need, err := job.need(crew{Ranks: 4}, false, false)
	if err != nil || need == 0 {
		t.Fatalf("%d, %v", need, err)
	}
	bf16 := []compute.DType{compute.BF16}
	for _, test := range []struct {
		why       string
		devices   []deviceShare // of ranks 0 to 3, of which the last two teach
		ranks     int
		order     []int
		precision string
	}{
		{"all hold it", []deviceShare{{Memory: need}, {Memory: need}, {Memory: need}, {Memory: need}}, 4, []int{0, 1, 2, 3}, "float32"},
		{"the last does not", []deviceShare{{Memory: need}, {Memory: need}, {Memory: need}, {Memory: need - 1}}, 3, []int{0, 1, 2, 3}, "float32"},
		{"the one before it does not", []deviceShare{{Memory: need}, {Memory: need}, {Memory: need - 1}, {Memory: need}}, 3, []int{0, 1, 3, 2}, "float32"},
		{"it has no matrix units either", []deviceShare{{Memory: 2 * need, Types: bf16}, {Memory: 2 * need, Types: bf16}, {Memory: need / 2}, {Memory: 2 * need, Types: bf16}}, 3, []int{0, 1, 3, 2}, "bfloat16"},
		{"a student does not: tooLarge tells", []deviceShare{{Memory: need}, {Memory: need - 1}, {Memory: need}, {Memory: need}}, 2, []int{0, 1, 2, 3}, "float32"},
	} {
		j := *job
		r := &ranks{group: collective.New(collective.Memory(4)[0], 0, 4), devices: test.devices, seats: make([]place.Seat, 4)}
		if err := (&session{ranks: r}).seat(&j, &j, nil); err != nil {
			t.Errorf("%s: %v", test.why, err)
			continue
		}
		j.settlePrecision(&compute.Limits{})
		if j.seating.LLM.Ranks != test.ranks || !slices.Equal(j.seating.Order, test.order) || j.LLM.Train.Precision != test.precision {
			t.Errorf("%s: %+v, %s", test.why, j.seating, j.LLM.Train.Precision)
		}
		if got := j.student("").ranks; got != test.ranks {
			t.Errorf("%s: %d ranks train the student", test.why, got)
		}
	}
	r := &ranks{group: collective.New(collective.Memory(3)[0], 0, 3)}
	job.Cluster.Roles, job.Cluster.Teachers = "5", 1
	if err := (&session{ranks: r}).seat(job, job, nil); KindOf(err) != BadConfig || !strings.Contains(fmt.Sprint(err), `cluster.roles = "5" has rank 5 teach, and the ranks are 0 to 2`) {
		t.Error(err)
	}
}
