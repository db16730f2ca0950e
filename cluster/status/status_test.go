package status

import (
	"encoding/json"
	"math"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// recorder keeps what is published.
type recorder struct {
	mu   sync.Mutex
	sent []Report
}

func (c *recorder) Publish(subject string, data []byte) error {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, r)
	return nil
}

// A rank that makes a step every 10 ms for 5 s sends five messages, each the newest of its time.
func TestOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &recorder{}
		p := NewPublisher(c, "s")
		for step := range 500 {
			p.Say(Report{Step: int64(step)})
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Millisecond)
		p.Close()
		if len(c.sent) != 5 {
			t.Fatalf("%d messages in 5 s", len(c.sent))
		}
		for i, r := range c.sent {
			if r.Step < int64(100*i+98) || i > 0 && r.Time.Sub(c.sent[i-1].Time) != interval {
				t.Errorf("message %d: step %d at %v", i, r.Step, r.Time)
			}
		}
	})
}

func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &recorder{}
		p := NewPublisher(c, "s")
		time.Sleep(3*time.Second + time.Millisecond) // nothing to say yet, nor at the moment of a beat
		p.Say(Report{Step: 7})
		time.Sleep(10 * time.Second)
		p.Close()
		if n := len(c.sent); n != 10 {
			t.Errorf("%d messages in a step of 10 s", n)
		}
		time.Sleep(time.Minute)
		if n := len(c.sent); n != 10 {
			t.Errorf("%d messages after the publisher was closed", n)
		}
	})
}

func TestNilPublisher(t *testing.T) {
	var p *Publisher
	p.Say(Report{})
	p.Close()
}

// A report goes through a server as it is, but for numbers that JSON does not know; what is no report is passed over.
func TestThroughServer(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heard := make(chan Report, 8)
	if _, err := Subscribe(conn, "saltern.job.x.status.*", func(r Report) { heard <- r }); err != nil {
		t.Fatal(err)
	}
	tau := 0.75
	r := Report{Rank: 3, Host: "node2", Role: Teacher, Training: "SALT", Device: "a GPU", Step: 17, Total: 400, TokensPerSec: 6600.5, StepMS: 312, WaitMS: 20,
		SentBytes: 1 << 60, ReceivedBytes: 5, Loss: 4.5, W: 0.5, Tau: &tau}
	odd := r
	odd.Loss, odd.W = math.NaN(), math.Inf(1)
	for _, text := range []string{"", "nonsense", `{"rank":-1}`, `{"rank":1}`} {
		if err := conn.Publish("saltern.job.x.status.3", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	p := &Publisher{}
	for _, say := range []Report{r, odd} {
		p.Say(say)
		p.send(conn, "saltern.job.x.status.3", time.Unix(1, 0))
	}
	r.Time = time.Unix(1, 0).UTC()
	odd = r
	odd.Loss, odd.W = 0, 0
	for _, want := range []Report{r, odd} {
		if got := <-heard; !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}
