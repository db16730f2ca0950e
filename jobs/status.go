package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster"
	"saltern/cluster/status"
	"saltern/jobs/metrics"
	"saltern/model"
)

// voice is how a rank tells whoever watches how it is doing.
type voice struct {
	*status.Publisher
	rank  int // the job's, which it keeps when the ranks regroup
	host  string
	bytes func() nats.Statistics
	waits waits
}

// speak begins to tell, and leaves in the run folder what "saltern watch" needs to hear it.
func speak(c *cluster.Cluster, runDir string, logf func(string, ...any)) *voice {
	err := os.MkdirAll(runDir, 0o777)
	if err == nil {
		err = c.Invite(runDir)
	}
	if err != nil { // the job can do without
		logf("saltern watch will not hear the ranks: %v", err)
	}
	rank := c.Identity().Rank
	return &voice{
		Publisher: status.NewPublisher(c.Conn(), c.Subject(fmt.Sprintf("%s.%d", cluster.Status, rank))),
		rank:      rank, host: c.Members()[rank].Host, bytes: c.Conn().Stats,
	}
}

// report tells how the step that was done went for this rank. w is the weight of the teacher in it, values are those of its record that a
// window of "auto" has added.
func (l *loop) report(step model.Step, w float64, took time.Duration, values map[string]float64) {
	r := l.s.ranks
	if r == nil || r.voice == nil {
		return
	}
	v, c := r.voice, l.Train
	if tau, ok := values[metrics.Tau]; ok {
		l.tau = &tau
	}
	first, end := r.now.Share(c.Batch / c.Microbatch)
	sent := v.bytes()
	v.Say(status.Report{
		Rank: v.rank, Host: v.host, Role: status.Student, Training: filepath.Base(l.dir), Device: l.s.device.Info().Name, Step: l.step, Total: c.Steps,
		TokensPerSec: float64((end-first)*c.Microbatch*c.Sequence) / took.Seconds(), StepMS: milliseconds(took), WaitMS: min(milliseconds(v.waits.take()), milliseconds(took)),
		SentBytes: sent.OutBytes, ReceivedBytes: sent.InBytes, Loss: step.NLL, W: w, Tau: l.tau,
	})
}

// teaches tells that this rank runs the teacher of a training.
func (v *voice) teaches(l *loop, from int64) {
	if v != nil {
		v.Say(status.Report{Rank: v.rank, Host: v.host, Role: status.Teacher, Training: filepath.Base(l.dir), Device: l.s.device.Info().Name, Step: from, Total: l.Train.Steps})
	}
}

// rests tells that this rank has no part in a training.
func (v *voice) rests(t *training, s *session) {
	if v != nil {
		v.Say(status.Report{Rank: v.rank, Host: v.host, Role: status.Resting, Training: filepath.Base(t.dir), Device: s.device.Info().Name, Total: t.Train.Steps})
	}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// waits adds up the time spent in what ranks do together, most of which is waiting for the slowest of them.
type waits struct{ total atomic.Int64 }

func (w *waits) since(start time.Time) { w.total.Add(int64(time.Since(start))) }

// take is the time since the last take.
func (w *waits) take() time.Duration { return time.Duration(w.total.Swap(0)) }

// timed is an exchange whose time is added up.
type timed struct {
	model.Exchange
	*waits
}

// AllReduce is [model.Exchange]'s, as are the others.
func (t timed) AllReduce(ctx context.Context, x []float32) error {
	defer t.since(time.Now())
	return t.Exchange.AllReduce(ctx, x)
}

// AllReduce64 is timed.
func (t timed) AllReduce64(ctx context.Context, x []float64) error {
	defer t.since(time.Now())
	return t.Exchange.AllReduce64(ctx, x)
}

// ReduceScatter is timed.
func (t timed) ReduceScatter(ctx context.Context, x []float32) (first, n int, err error) {
	defer t.since(time.Now())
	return t.Exchange.ReduceScatter(ctx, x)
}

// AllGather is timed.
func (t timed) AllGather(ctx context.Context, x []float32) error {
	defer t.since(time.Now())
	return t.Exchange.AllGather(ctx, x)
}
