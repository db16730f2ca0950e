package collective

import (
	"context"
	"fmt"
	"sync"
)

// Memory is a Transport for each of n ranks in this process, for tests: nothing is lost, and a wait lasts as long as its context.
func Memory(n int) []Transport {
	m := &memory{queues: map[address]chan []byte{}}
	ranks := make([]Transport, n)
	for rank := range ranks {
		ranks[rank] = &memoryRank{m, rank}
	}
	return ranks
}

type address struct {
	from, to int
	stream   string
}

type memory struct {
	mu     sync.Mutex
	queues map[address]chan []byte
}

func (m *memory) queue(a address) chan []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queues[a] == nil {
		m.queues[a] = make(chan []byte, 4)
	}
	return m.queues[a]
}

type memoryRank struct {
	*memory
	rank int
}

func (m *memoryRank) Send(ctx context.Context, to []int, stream string, data []byte) error {
	for _, rank := range to {
		select {
		case m.queue(address{m.rank, rank, stream}) <- append([]byte(nil), data...):
		case <-ctx.Done():
			return fmt.Errorf("sending to rank %d, stream %s: %w", rank, stream, context.Cause(ctx))
		}
	}
	return nil
}

func (m *memoryRank) Receive(ctx context.Context, from int, stream string, into []byte) (int, error) {
	select {
	case data := <-m.queue(address{from, m.rank, stream}):
		if len(data) > len(into) {
			return 0, fmt.Errorf("rank %d sent %d bytes on stream %s, there is room for %d", from, len(data), stream, len(into))
		}
		return copy(into, data), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("receiving from rank %d, stream %s: %w", from, stream, context.Cause(ctx))
	}
}
