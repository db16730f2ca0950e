// Package status is how the ranks of a job say how they are doing to whoever watches it: one small message a second from each,
// which nobody has to hear and nothing depends on.
//
// What is kept of a training is in jobs/metrics, and what is shown in jobs/watch. A rank holds a [Publisher] and says after each
// step how it is; a watcher calls [Subscribe] on a connection that need not be able to do anything else (cluster.Attach):
//
//	p := status.NewPublisher(c.Conn(), c.Subject("status.3"))
//	defer p.Close()
//	p.Say(status.Report{Rank: 3, Role: status.Student, Step: 17, ...})   // as often as it likes
//
//	s, err := status.Subscribe(o.Conn(), o.Subject("status.*"), func(r status.Report) { ... })
//
// What holds: a publisher sends at most one message a second, whatever it is told (TestOncePerSecond); it repeats the last one, as
// long as it lives, so that silence means that the process or its network is gone and not that a step is long (TestBeats); and it
// never makes a rank wait.
package status

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// What a rank does in its job.
const (
	Student = "student" // trains the model
	Teacher = "teacher" // makes soft labels for those who train
	Resting = "resting" // has no part in the training
)

// Report is how a rank is doing. Counters count from when it joined.
type Report struct {
	Rank     int    `json:"rank"`
	Host     string `json:"host"`
	Role     string `json:"role"`     // Student, Teacher or Resting
	Training string `json:"training"` // folder of what is trained, within the run's: "llm-salt"
	Device   string `json:"device"`

	Step  int64 `json:"step"` // done, of Total
	Total int64 `json:"total"`

	TokensPerSec float64 `json:"tokens_per_sec"` // this rank's own share of the last step
	StepMS       float64 `json:"step_ms"`        // milliseconds that the last step took,
	WaitMS       float64 `json:"wait_ms"`        // and of these, waited for other ranks

	SentBytes     uint64 `json:"sent_bytes"` // to its server, which passes some of it on to several ranks
	ReceivedBytes uint64 `json:"received_bytes"`

	Loss float64  `json:"loss"`          // nats per token, of the last step's batch
	W    float64  `json:"w"`             // the teacher's weight in the loss
	Tau  *float64 `json:"tau,omitempty"` // of transition "auto", once a window has ended

	Time time.Time `json:"time"` // when it was sent, by the rank's clock
}

// interval is the time between two messages of a rank.
const interval = time.Second

// Conn is what a publisher needs of a *nats.Conn.
type Conn interface {
	Publish(subject string, data []byte) error
}

// Publisher sends a rank's reports. A nil Publisher is that of a process that is alone: it says nothing.
type Publisher struct {
	mu     sync.Mutex
	newest *Report
	close  chan struct{}
	closed sync.WaitGroup
}

// NewPublisher begins to publish on a subject. Close it.
func NewPublisher(conn Conn, subject string) *Publisher {
	p := &Publisher{close: make(chan struct{})}
	p.closed.Go(func() {
		beat := time.NewTicker(interval)
		defer beat.Stop()
		for {
			select {
			case now := <-beat.C:
				p.send(conn, subject, now)
			case <-p.close:
				return
			}
		}
	})
	return p
}

// Say makes r what the next message says.
func (p *Publisher) Say(r Report) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.newest = &r
	p.mu.Unlock()
}

// Close ends the messages. The connection is not the publisher's to close.
func (p *Publisher) Close() {
	if p == nil {
		return
	}
	close(p.close)
	p.closed.Wait()
}

// send sends the newest report, if there is one. Errors are not the rank's concern: who watches sees that it is silent.
func (p *Publisher) send(conn Conn, subject string, now time.Time) {
	p.mu.Lock()
	var r Report
	said := p.newest != nil
	if said {
		r = *p.newest
	}
	p.mu.Unlock()
	if !said {
		return
	}
	r.Time = now.UTC()
	if text, err := json.Marshal(r.finite()); err == nil {
		_ = conn.Publish(subject, text)
	}
}

// finite is r with 0 where JSON has no word for a number: a loss that is not finite is told by the metrics.
func (r Report) finite() Report {
	for _, v := range []*float64{&r.TokensPerSec, &r.StepMS, &r.WaitMS, &r.Loss, &r.W} {
		if *v-*v != 0 {
			*v = 0
		}
	}
	if r.Tau != nil && *r.Tau-*r.Tau != 0 {
		r.Tau = nil
	}
	return r
}

// Subscribe calls heard for each report on a subject, which may have wildcards, one after the other and never after the
// subscription has ended. What is no report is passed over: a newer version may say more there.
func Subscribe(conn *nats.Conn, subject string, heard func(Report)) (*nats.Subscription, error) {
	s, err := conn.Subscribe(subject, func(m *nats.Msg) {
		var r Report
		if json.Unmarshal(m.Data, &r) == nil && r.Rank >= 0 && !r.Time.IsZero() {
			heard(r)
		}
	})
	if err == nil {
		err = conn.Flush() // so that a refusal by the server is known now
	}
	if err != nil {
		return nil, fmt.Errorf("listening to %s: %w", subject, err)
	}
	return s, nil
}
