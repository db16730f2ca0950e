package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"saltern/cluster/collective"
)

// plain moves messages by plain publishing, in pieces that a server takes. What the connection loses is lost.
type plain struct {
	c    *Cluster
	mu   sync.Mutex
	come map[string]chan []byte // by subject
}

// Group is this rank's part in what all do together.
func (c *Cluster) Group() (*collective.Group, error) {
	t := &plain{c: c, come: map[string]chan []byte{}}
	s, err := c.conn.Subscribe(c.Subject(fmt.Sprintf("plain.%d.>", c.id.Rank)), func(m *nats.Msg) { t.queue(m.Subject) <- m.Data })
	if err == nil {
		err = s.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = c.conn.Flush()
	}
	time.Sleep(300 * time.Millisecond) // until the others have subscribed
	return collective.New(t, c.id.Rank, c.id.Size), err
}

func (t *plain) queue(subject string) chan []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.come[subject] == nil {
		t.come[subject] = make(chan []byte, 4096)
	}
	return t.come[subject]
}

// Send publishes pieces, each after a byte that says whether it is the last.
func (t *plain) Send(_ context.Context, to int, stream string, data []byte) error {
	subject := t.c.Subject(fmt.Sprintf("plain.%d.%d.%s", to, t.c.id.Rank, stream))
	for {
		n, last := min(len(data), 1<<19), byte(0)
		if n == len(data) {
			last = 1
		}
		if err := t.c.conn.Publish(subject, append([]byte{last}, data[:n]...)); err != nil {
			return err
		}
		if data = data[n:]; last == 1 {
			return t.c.conn.Flush()
		}
	}
}

// Receive puts the pieces together.
func (t *plain) Receive(ctx context.Context, from int, stream string, into []byte) (n int, err error) {
	q := t.queue(t.c.Subject(fmt.Sprintf("plain.%d.%d.%s", t.c.id.Rank, from, stream)))
	for {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case m := <-q:
			n += copy(into[n:], m[1:])
			if m[0] == 1 {
				return n, nil
			}
		}
	}
}
