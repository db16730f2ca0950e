package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// RankLost is why Cluster.Context has ended: a rank is silent, or has said that it cannot go on.
type RankLost struct {
	Rank   int    `json:"rank"`
	Host   string `json:"host"` // the host name of its node
	Reason string `json:"reason"`
	Failed bool   `json:"failed,omitempty"` // it has said so itself, in the words of Reason; else nobody has heard of it
}

func (l *RankLost) Error() string {
	return fmt.Sprintf("rank %d (%s) is lost: %s", l.Rank, l.Host, l.Reason)
}

// pulse is who was heard of when: values in, values out, time as an argument.
type pulse struct {
	members []Member
	self    int
	embed   bool          // nodes have servers of this job, each in the process of its first rank
	limit   time.Duration // of silence
	heard   []time.Time   // by rank; this one hears itself too, through the server
	left    []bool        // by rank
	looked  time.Time
}

func newPulse(members []Member, self int, embed bool, limit time.Duration, now time.Time) *pulse {
	p := &pulse{members: members, self: self, embed: embed, limit: limit, looked: now,
		heard: make([]time.Time, len(members)), left: make([]bool, len(members))}
	p.forgive(now)
	return p
}

func (p *pulse) beat(rank int, now time.Time) {
	if rank >= 0 && rank < len(p.heard) {
		p.heard[rank] = now
	}
}

// forgive begins all silences anew: nothing could be heard until now.
func (p *pulse) forgive(now time.Time) {
	for i := range p.heard {
		p.heard[i] = now
	}
}

// alone says that all others have left.
func (p *pulse) alone() bool {
	for rank, left := range p.left {
		if !left && rank != p.self {
			return false
		}
	}
	return true
}

// look returns the rank that is to blame for the silence, if there is one that is too long. It must be called, and
// beats be sent, about four times within the limit: where it was not, this process was stopped itself, and knows nothing of the others.
func (p *pulse) look(now time.Time) *RankLost {
	stopped := now.Sub(p.looked) > p.limit/2
	p.looked = now
	if stopped {
		p.forgive(now)
	}
	var silent []int
	for rank, at := range p.heard {
		if !p.left[rank] && now.Sub(at) > p.limit {
			silent = append(silent, rank)
		}
	}
	if len(silent) == 0 {
		return nil
	}
	if now.Sub(p.heard[p.self]) > p.limit/2 { // nothing comes through, not even one's own: it is the server, not the others
		lost := p.members[p.server(p.self)]
		return &RankLost{Rank: lost.Rank, Host: lost.Host, Reason: fmt.Sprintf("the NATS server has passed nothing on for %v", p.silence(p.self, now))}
	}
	lost := p.members[silent[0]]
	for _, rank := range silent { // a node's first rank takes its server along, and may have been heard a beat later than others
		if s := p.server(rank); !p.left[s] && now.Sub(p.heard[s]) > p.limit/2 {
			lost = p.members[s]
			break
		}
	}
	reason := fmt.Sprintf("it was silent for %v", p.silence(lost.Rank, now))
	var others []string
	for _, rank := range silent {
		if rank != lost.Rank {
			others = append(others, strconv.Itoa(rank))
		}
	}
	if len(others) > 0 {
		reason += ", and so was rank " + list(others)
	}
	return &RankLost{Rank: lost.Rank, Host: lost.Host, Reason: reason}
}

// server is the rank that runs the server of a rank's node; with Config.URL the rank itself.
func (p *pulse) server(rank int) int {
	for _, m := range p.members {
		if p.embed && m.Node == p.members[rank].Node && m.LocalRank == 0 {
			return m.Rank
		}
	}
	return rank
}

func (p *pulse) silence(rank int, now time.Time) time.Duration {
	return now.Sub(p.heard[rank]).Round(10 * time.Millisecond)
}

// watch keeps a Cluster's pulse, and ends its context when a rank is lost.
type watch struct {
	conn     *nats.Conn
	subjects [2]string // of beats and of farewells
	every    time.Duration
	stop     chan struct{} // closed by farewell: no more beats

	mu    sync.Mutex
	pulse *pulse
	alone chan struct{} // closed when all others have left
	lose  func(cause error)

	view    View // of which this rank is, or on rank 0 the one that it forms without a rank that is lost
	forming bool // this rank is in Regroup or Admit, or waits to be let in
	came    map[int]bool

	begun      sync.Once
	waits      bool              // this rank is not in yet
	applicants map[int]applicant // on rank 0, by rank
	seated     map[int]string    // likewise, of those who were let in; their instances
	servers    []string          // likewise, of the nodes
}

// farewell is what a rank says when it leaves.
type farewell struct {
	Rank int       `json:"rank"`
	PID  int       `json:"pid"`            // tells it from who has had the number before
	Lost *RankLost `json:"lost,omitempty"` // why it cannot go on: itself, or another rank; nil when it has done its part
}

// startWatch begins to send beats and to listen to the others'. A rank is lost before heartbeat has passed since its last beat.
func (c *Cluster) startWatch() (*watch, error) {
	heartbeat := c.config.heartbeat()
	w := &watch{
		conn: c.conn, subjects: [2]string{c.Subject("beat"), c.Subject("farewell")},
		every: heartbeat / 5, stop: make(chan struct{}), alone: make(chan struct{}), lose: c.end,
		applicants: map[int]applicant{}, seated: map[int]string{},
		pulse: newPulse(c.members, c.id.Rank, !c.config.external(), heartbeat*4/5, time.Now()),
	}
	if w.pulse.alone() {
		close(w.alone)
	}
	for rank := range c.members {
		w.view.Ranks = append(w.view.Ranks, rank)
	}
	if c.id.Rank == 0 {
		if _, err := c.conn.Subscribe(c.Subject("regroup"), w.hearComing); err != nil {
			return nil, err
		}
	}
	for i, hear := range []func(*nats.Msg){w.hearBeat, w.hearFarewell} {
		if _, err := c.conn.Subscribe(w.subjects[i], hear); err != nil {
			return nil, err
		}
	}
	c.conn.SetReconnectHandler(func(conn *nats.Conn) {
		w.mu.Lock()
		w.pulse.forgive(time.Now())
		w.mu.Unlock()
		c.logf("connected to NATS again, at %s", conn.ConnectedAddr())
	})
	return w, c.conn.Flush()
}

// begin has run begin, once.
func (w *watch) begin() { w.begun.Do(func() { go w.run() }) }

// run sends beats and looks for silence until stop. It begins once all are connected: beats that come before count too.
func (w *watch) run() {
	again := time.NewTicker(w.every)
	defer again.Stop()
	for {
		w.mu.Lock()
		beat := fmt.Appendf(nil, "%d %d", w.pulse.self, w.view.Number)
		w.mu.Unlock()
		_ = w.conn.Publish(w.subjects[0], beat) // a connection that is lost shows as silence
		select {
		case <-w.stop:
			return
		case <-again.C:
		}
		w.mu.Lock()
		if lost := w.pulse.look(time.Now()); lost != nil {
			w.gone(lost.Rank)
			w.lose(lost)
		}
		w.mu.Unlock()
	}
}

func (w *watch) hearBeat(m *nats.Msg) {
	var rank, view int
	if _, err := fmt.Sscan(string(m.Data), &rank, &view); err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pulse.beat(rank, time.Now())
	if rank == 0 && view > w.view.Number && !w.forming { // whether this one is in it, Regroup tells
		w.lose(w.lost(w.pulse.self, "rank 0 goes on without it, or without another"))
	}
}

// lost is the loss of a rank, for that reason.
func (w *watch) lost(rank int, reason string) *RankLost {
	return &RankLost{Rank: rank, Host: w.pulse.members[rank].Host, Reason: reason}
}

func (w *watch) hearFarewell(m *nats.Msg) {
	var f farewell
	if json.Unmarshal(m.Data, &f) != nil || f.Rank < 0 || f.Rank >= len(w.pulse.members) || f.Rank == w.pulse.self {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pulse.left[f.Rank] || w.pulse.members[f.Rank].PID != f.PID { // the others have gone on without it
		return
	}
	w.gone(f.Rank)
	switch {
	case f.Lost != nil:
		w.lose(f.Lost)
	case w.waits && f.Rank == 0:
		w.lose(w.lost(0, "the job is over"))
	}
}

// gone strikes a rank off, with w.mu held.
func (w *watch) gone(rank int) {
	before := w.pulse.alone()
	w.pulse.left[rank] = true
	if !before && w.pulse.alone() {
		close(w.alone)
	}
}

// farewell ends the beats and tells the others why, nil when this rank has done its part.
func (w *watch) farewell(cause error) error {
	close(w.stop)
	if !w.conn.IsConnected() { // and whoever could hear it will notice the silence
		return nats.ErrDisconnected
	}
	f := farewell{Rank: w.pulse.self, PID: w.pulse.members[w.pulse.self].PID}
	if cause != nil && !errors.As(cause, &f.Lost) {
		f.Lost = &RankLost{f.Rank, w.pulse.members[f.Rank].Host, cause.Error(), true}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := w.conn.Publish(w.subjects[1], text); err != nil {
		return err
	}
	return w.conn.FlushTimeout(time.Second)
}

// outlast waits until all others have left, at most for so long.
func (w *watch) outlast(limit time.Duration) {
	w.mu.Lock()
	alone := w.alone
	w.mu.Unlock()
	select {
	case <-alone:
	case <-time.After(limit):
	}
}
