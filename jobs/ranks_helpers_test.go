package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"saltern/cluster/collective"
	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/compute/vk"
	"saltern/model"
)

// inRanks does something as each of so many ranks in this process, two to a node, and gives their errors.
func inRanks(t *testing.T, size int, do func(ctx context.Context, r *ranks) error) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs := make([]error, size)
	var all sync.WaitGroup
	for rank, transport := range collective.Memory(size) {
		r := &ranks{group: collective.New(transport, rank, size), node: rank / 2, local: rank % 2, all: ctx, leave: func(error) error { return nil }}
		all.Go(func() { errs[rank] = do(ctx, r) })
	}
	all.Wait()
	return errs
}

// TestFirst: what the first rank does is done once, when all are there, and its failure is everybody's.
func TestFirst(t *testing.T) {
	var mu sync.Mutex
	var did []int
	arrived := 0
	errs := inRanks(t, 3, func(ctx context.Context, r *ranks) error {
		mu.Lock()
		arrived++
		mu.Unlock()
		return r.first(ctx, func() error {
			mu.Lock()
			defer mu.Unlock()
			if did = append(did, r.rank()); arrived != 3 {
				t.Errorf("only %d ranks are there", arrived)
			}
			return nil
		})
	})
	if err := errors.Join(errs...); err != nil || !slices.Equal(did, []int{0}) {
		t.Errorf("%v did it; %v", did, err)
	}
	errs = inRanks(t, 3, func(ctx context.Context, r *ranks) error {
		err := r.first(ctx, func() error { return fail(DiskFull, "no room") })
		if !errors.As(err, new(agreed)) {
			t.Errorf("rank %d would tell the others what they know", r.rank())
		}
		return err
	})
	for rank, err := range errs {
		want := "rank 0: no room"
		if rank == 0 {
			want = "no room"
		}
		if KindOf(err) != DiskFull || err.Error() != want {
			t.Errorf("rank %d: %v, of kind %v", rank, err, KindOf(err))
		}
	}
	if err := (*ranks)(nil).first(context.Background(), func() error { return fail(DiskFull, "no room") }); KindOf(err) != DiskFull {
		t.Error(err)
	}
}

// TestHelpersAreLetGo: who helps the first rank, and waits for it within that, learns why it failed.
func TestHelpersAreLetGo(t *testing.T) {
	lost, lose := context.WithCancelCause(context.Background())
	errs := inRanks(t, 3, func(ctx context.Context, r *ranks) error {
		r.all = lost
		r.leave = func(cause error) error {
			if cause != nil && r.leads() {
				lose(fmt.Errorf("rank 0 is lost: %w", cause))
			}
			return nil
		}
		err := r.helped(ctx, func() error { return fail(DiskFull, "no room") }, func() error {
			select {
			case <-r.all.Done():
				return errors.New("a sum that was never made")
			case <-ctx.Done():
				return errors.New("nobody has told this rank")
			}
		})
		return errors.Join(err, r.close(err))
	})
	for rank, err := range errs {
		want := "rank 0 is lost: no room"
		if rank == 0 {
			want = "no room"
		}
		if err == nil || err.Error() != want {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// TestWaitsEnd: a wait for other ranks ends with this one's signal, and with the loss of a rank.
func TestWaitsEnd(t *testing.T) {
	nothing := func() error { return nil }
	alone := func(all context.Context) *ranks {
		return &ranks{group: collective.New(collective.Memory(2)[0], 0, 2), all: all}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(context.Canceled)
	if err := alone(context.Background()).first(ctx, nothing); KindOf(err) != Interrupted || !strings.Contains(err.Error(), "stopped while waiting for the other ranks") {
		t.Errorf("%v, of kind %v", err, KindOf(err))
	}
	lost, lose := context.WithCancelCause(context.Background())
	lose(errors.New("rank 1 is lost"))
	if err := alone(lost).first(context.Background(), nothing); err == nil || err.Error() != "rank 1 is lost" {
		t.Error(err)
	}
	if _, err := everybody(context.Background(), alone(lost), 1); err == nil || err.Error() != "rank 1 is lost" {
		t.Error(err)
	}
}

// TestFirstOfNode: the first rank of a node has done it before any other begins.
func TestFirstOfNode(t *testing.T) {
	var mu sync.Mutex
	var order []string
	errs := inRanks(t, 4, func(ctx context.Context, r *ranks) error {
		return r.firstOfNode(ctx, func() error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(r.local))
			return nil
		})
	})
	if err := errors.Join(errs...); err != nil || strings.Join(order, "") != "0011" {
		t.Errorf("%v, %v", order, err)
	}
}

// TestEverybody: all ranks learn what each has, and who has something else.
func TestEverybody(t *testing.T) {
	errs := inRanks(t, 3, func(ctx context.Context, r *ranks) error {
		got, err := everybody(ctx, r, fmt.Sprint("rank ", r.rank()))
		if err != nil || !slices.Equal(got, []string{"rank 0", "rank 1", "rank 2"}) {
			t.Errorf("rank %d: %v, %v", r.rank(), got, err)
		}
		if err := r.same(ctx, "the step", "7"); err != nil {
			t.Error(err)
		}
		return r.same(ctx, "the step", []string{"7", "8", "7"}[r.rank()])
	})
	for rank, err := range errs {
		if err == nil || !strings.Contains(err.Error(), `the step: rank 1 sees "8", rank 0 "7"; the run folder must be the same`) {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// TestCommon: ranks that share a device share its memory, the smallest counts, and a precision that one would not choose is nobody's.
func TestCommon(t *testing.T) {
	errs := inRanks(t, 3, func(ctx context.Context, r *ranks) error { // the first two on one node
		own := compute.Limits{Memory: []int64{30, 30, 20}[r.rank()], Matrices: []compute.Matrix{{In: compute.F16}}}
		got, err := r.common(ctx, own, vk.Info{UUID: "the same", Memory: own.Memory}, 1)
		if err != nil || got.Memory != 15 || (model.TrainConfig{Precision: model.Auto}).OnDevice(&got).Precision != model.Float16 {
			t.Errorf("rank %d: %+v, %v", r.rank(), got, err)
		}
		if r.rank() > 0 {
			own.Matrices = append(own.Matrices, compute.Matrix{In: compute.BF16})
		}
		if got, err = r.common(ctx, own, vk.Info{UUID: fmt.Sprint(r.rank()), Memory: own.Memory}, 1); err != nil || (model.TrainConfig{Precision: model.Auto}).OnDevice(&got).Precision != model.Float16 {
			t.Errorf("rank %d, some with both types: %+v, %v", r.rank(), got, err)
		}
		if r.rank() == 2 {
			own.Matrices = nil
		}
		if got, err = r.common(ctx, own, vk.Info{UUID: fmt.Sprint(r.rank()), Memory: own.Memory}, 1); err != nil || got.Memory != 20 || (model.TrainConfig{Precision: model.Auto}).OnDevice(&got).Precision != model.Float32 {
			t.Errorf("rank %d: %+v, %v", r.rank(), got, err)
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// TestMicrobatchesOfRanks: together the ranks ask for each microbatch of each step once, and each in the order of its steps.
func TestMicrobatchesOfRanks(t *testing.T) {
	c := model.TrainConfig{Batch: 8, Microbatch: 2}
	var mu sync.Mutex
	list := map[int][]int64{}
	errs := inRanks(t, 3, func(_ context.Context, r *ranks) error {
		r.training(nil)
		firsts := slices.Collect(r.microbatches(c, 5, 7))
		mu.Lock()
		defer mu.Unlock()
		list[r.rank()] = firsts
		return nil
	})
	if want := map[int][]int64{0: {40, 42, 48, 50}, 1: {44, 52}, 2: {46, 54}}; errors.Join(errs...) != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%v, want %v", list, want)
	}
	if got := slices.Collect((*ranks)(nil).microbatches(c, 5, 6)); !slices.Equal(got, []int64{40, 42, 44, 46}) {
		t.Errorf("alone: %v", got)
	}
}

// TestTraceOfRanks: the exchange has a track of its own in the trace, within the step, bucket by bucket, and tracing changes no bit.
func TestTraceOfRanks(t *testing.T) {
	c := tracedConfig(t)
	devices := []*compute.Device{computetest.Device(t), computetest.Device(t)}
	var tr *tracer
	losses := make([][]float64, 2)
	errs := inRanks(t, 2, func(_ context.Context, r *ranks) error {
		device := devices[r.rank()]
		m := model.New(c.Model, "traced", true)
		defer device.Free(m.Storages()...)
		trainer, err := model.Programs(m, c.Train, model.Plain)
		if err != nil {
			return err
		}
		own := &tracer{Device: device}
		if err := errors.Join(trainer.Across(r.training(own)), trainer.Load(own), m.Init(device, 1)); err != nil {
			return err
		}
		defer trainer.Close()
		for i := range int64(3) {
			step := func() error {
				s, err := trainer.Step(i, 0, 0, 1, func(first int, ids, labels []uint32) error {
					for k := range ids {
						ids[k], labels[k] = uint32(first+k)%512, uint32(first+k+1)%512
					}
					return nil
				})
				losses[r.rank()] = append(losses[r.rank()], s.NLL, s.Norm)
				return err
			}
			if r.rank() == 0 && i == 1 {
				tr = own
				if traced, err := own.step(step); err != nil || !traced {
					return errors.Join(err, fmt.Errorf("traced: %v", traced))
				}
			} else if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(losses[0], losses[1]) {
		t.Errorf("%v and %v", losses[0], losses[1])
	}
	text, err := tr.file(tr.Device.Info(), "a test")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TraceEvents []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	var names []string
	var step event
	segments := 0
	for _, e := range f.TraceEvents {
		switch {
		case e.Name == "step":
			step = e
		case e.Phase == "X" && e.TID == ranksTrack:
			names = append(names, e.Name)
			if e.Start < step.Start || e.Start+e.Took > step.Start+step.Took+1 {
				t.Errorf("%s lies outside the step", e.Name)
			}
		case strings.HasPrefix(e.Name, "submit and wait: forward"):
			segments++
		}
	}
	if want := []string{"all-reduce traced.output", "all-reduce traced.layers.1", "all-reduce traced.layers.0", "all-reduce traced.embed"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if segments != len(names) {
		t.Errorf("the backward pass runs in %d segments, and %d buckets leave", segments, len(names))
	}
}
