package jobs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"saltern/cluster/wire"
	"saltern/compute"
	"saltern/compute/vk"
	"saltern/jobs/place"
)

// A mixed job is one whose ranks have devices of several kinds: another vendor's, another driver, or the same driver with other vectors.
// Its ranks have the same gradients, bit by bit, as these are summed by the ranks and not by devices; but AdamW divides and takes roots,
// which devices round differently, and the norm of the gradient is summed in each kernel's own order. If each rank updated its own
// weights, these would part in their last bits from the first step on. So each weight is updated by one rank alone, which gives it to the
// others: its segment's, as with cluster.shard_optimizer; or where ranks change their roles in the middle, rank 0.

// seated learns the seats of all ranks.
func (s *session) seated(ctx context.Context) error {
	return s.ranks.sit(ctx, s.device.Info(), s.job.ShareDevice)
}

// sit tells the others on which device this rank is, and learns of theirs. Two ranks on one GPU are an error, unless the job wants that.
func (r *ranks) sit(ctx context.Context, own vk.Info, shared bool) (err error) {
	if r == nil {
		return nil
	}
	if r.seats, err = everybody(ctx, r, place.NewSeat(r.rank(), r.node, own)); err != nil || shared {
		return err
	}
	if err := place.Shared(r.seats); err != nil {
		return &Error{BadConfig, err}
	}
	return nil
}

// mixed says that not all ranks of the group have devices of one kind.
func (r *ranks) mixed() bool {
	return r != nil && kindsDiffer(r.seats[:min(r.size(), len(r.seats))])
}

func kindsDiffer(seats []place.Seat) bool {
	return slices.ContainsFunc(seats, func(s place.Seat) bool { return s.Kind != seats[0].Kind })
}

// settleMixed decides who updates the weights of a mixed job.
func (s *session) settleMixed(j *Job, say func(line string)) {
	train := s.ranks.whoTrain(j.seating)
	mixed := kindsDiffer(train)
	j.settleShares(mixed)
	if !mixed || j.Cluster.Local() { // ranks that train apart come together on the host
		return
	}
	how := "so each updates its part of the weights and gives it to the others"
	if j.Cluster.Teachers > 0 {
		how = "so rank 0 updates the weights and gives them to the others"
	} else {
		j.Cluster.ShardOptimizer = true
	}
	if s.ranks.leads() {
		say(fmt.Sprintf("devices differ, %s: their bits would part else. %s", how, place.Kinds(train)))
	}
}

// follows makes a trainer's ranks take their weights from the first one where a mixed job's optimizer is not sharded.
func (r *ranks) follows(shard bool) {
	if !r.mixed() || shard {
		return
	}
	r.now.Follow = func(x []float32) error {
		if err := r.Broadcast(r.all, 0, wire.Bytes(x)); err != nil {
			return r.waited(r.all, err)
		}
		return nil
	}
}

// kernelsFile is where a rank keeps its choices of kernels in a training's folder: the first one's are those of all ranks that have
// its kind of device.
func (s *session) kernelsFile(dir string) (path string, keep bool) {
	r := s.ranks
	if !r.mixed() || r.seats[r.rank()].Kind == r.seats[0].Kind {
		return filepath.Join(dir, "kernels.json"), r.leads()
	}
	kind := r.seats[r.rank()].Kind
	first := slices.IndexFunc(r.seats, func(o place.Seat) bool { return o.Kind == kind })
	return filepath.Join(dir, fmt.Sprintf("kernels_rank_%d.json", r.seats[first].Rank)), first == r.rank()
}

// sameKernels has ranks with one kind of device run the same kernels, those of the first of them: two that tune by themselves may choose
// otherwise, and then sum in another order. A kernel that is right there and wrong here is a device that is not to be trusted.
func (s *session) sameKernels(ctx context.Context, programs []*compute.Program) error {
	r := s.ranks
	if r == nil || len(r.seats) < r.size() {
		return nil
	}
	all, err := everybody(ctx, r, s.tuner.Choices())
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return nil
	}
	first := slices.IndexFunc(r.seats, func(o place.Seat) bool { return o.Kind == r.seats[r.rank()].Kind })
	if err := s.tuner.Adopt(ctx, all[first], programs...); err != nil {
		return err
	}
	for class, name := range s.tuner.Choices().Kernels {
		if want := all[first].Kernels[class]; want != "" && want != name {
			return fmt.Errorf("%v: for %s kernel %s is wrong here and right on %v, a device of the same kind; run saltern doctor here, and do without this device", r.seats[r.rank()], class, want, r.seats[first])
		}
	}
	return nil
}
