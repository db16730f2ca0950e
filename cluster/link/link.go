package link

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	Chunk    = 1 << 20            // bytes at most in one NATS message, unless Options say otherwise
	Window   = 4                  // chunks of one stream that its receiver may leave unread, likewise
	UnderWay = 4 * Window * Chunk // bytes that one rank may have under way to another: servers that hold as much for each pair lose none
)

// Options of Open; the zero value is for gradients on a machine or between machines.
type Options struct {
	Chunk    int                 // bytes at most in one NATS message; zero means Chunk; never more than the server's max_payload
	Window   int                 // chunks of one stream that its receiver may leave unread; zero means Window
	Deadline time.Duration       // the longest wait without progress; zero means a minute
	Left     func(rank int) bool // says which ranks have left for good: nothing more comes from them; nil means none
	Rest     time.Duration       // how long a stream under way may have no news before its receiver is asked; zero means half a second, or an eighth of Deadline if that is less
}

const (
	short   = 4 << 10         // bytes: messages up to here are copied, so that Send need not wait for their arrival
	goodbye = 2 * time.Second // at most, for what was sent to arrive before Close
)

// Links are one rank's streams to and from all others. Safe for concurrent use; of one stream, one Send and one Receive at a time.
type Links struct {
	conn       *nats.Conn
	prefix     string
	rank, size int
	Options    // as they hold

	status chan nats.Status
	done   chan struct{} // closed by Close, and when the connection is closed for good
	closed sync.Once
	tended sync.WaitGroup

	mu    sync.Mutex
	out   map[end]*receiver
	in    map[end]*incoming
	sets  []*set               // that this rank sends to
	subs  []*nats.Subscription // of what is for this rank, and of sets that it is in
	peers []peer
}

// end is a stream as seen from this rank.
type end struct {
	peer   int
	stream string
}

// peer is what is known of a rank's life.
type peer struct {
	heard   atomic.Int64  // when, in Unix nanoseconds; of Open at first
	misses  atomic.Int64  // 1 + the rank that it misses, as of its last pong; 0: none
	missing atomic.Bool   // it has been waited for, and silent, for half the deadline
	since   time.Time     // it is waited for, as tend sees it; zero: it is not
	left    time.Time     // it was found to have left
	gone    chan struct{} // closed when it has left, and what it had sent has come
}

// Open makes the streams of rank, one of size ranks that all use the same prefix, over conn. The connection should reconnect for
// ever; it stays the caller's, and is to be closed after Close.
func Open(conn *nats.Conn, prefix string, rank, size int, o Options) (*Links, error) {
	if rank < 0 || rank >= size {
		return nil, fmt.Errorf("bug: rank %d of %d", rank, size)
	}
	most := int(conn.MaxPayload())
	if o.Chunk == 0 {
		o.Chunk = Chunk
	}
	if o.Window == 0 {
		o.Window = Window
	}
	if o.Deadline == 0 {
		o.Deadline = time.Minute
	}
	if o.Rest == 0 {
		o.Rest = min(time.Second/2, o.Deadline/8)
	}
	if o.Chunk = min(o.Chunk, most); o.Chunk < short || o.Window < 1 || o.Deadline < 0 || o.Rest <= 0 {
		return nil, fmt.Errorf("link: chunks of %d bytes (at least %d, and the server's max_payload is %d), window %d, deadline %s, rest %s", o.Chunk, short, most, o.Window, o.Deadline, o.Rest)
	}
	l := &Links{conn: conn, prefix: prefix + ".", rank: rank, size: size, Options: o, done: make(chan struct{}),
		status: conn.StatusChanged(nats.CONNECTED, nats.CLOSED), out: map[end]*receiver{}, in: map[end]*incoming{}, peers: make([]peer, size)}
	for i := range l.peers {
		l.peers[i].heard.Store(time.Now().UnixNano())
		l.peers[i].gone = make(chan struct{})
	}
	l.mu.Lock()
	err := l.hear(fmt.Sprintf("%s*.%d.>", l.prefix, rank))
	l.mu.Unlock()
	if err == nil {
		err = conn.FlushTimeout(o.Deadline)
	}
	if err != nil {
		_ = l.deafen()
		conn.RemoveStatusListener(l.status)
		return nil, fmt.Errorf("rank %d: subscribing to %s: %w", rank, l.prefix, err)
	}
	l.tended.Go(l.tend)
	return l, nil
}

// Close says what has arrived, waits a moment for what was sent to arrive, and ends every wait.
func (l *Links) Close() error {
	for _, i := range l.incomings() {
		i.tell(statusKind) // so that no other rank's Close waits for this one
	}
	until := time.Now().Add(min(goodbye, l.Deadline))
	for l.conn.IsConnected() && l.onTheWay() && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	l.stop()
	l.tended.Wait()
	l.conn.RemoveStatusListener(l.status)
	if err := l.deafen(); err != nil {
		return fmt.Errorf("rank %d: %w", l.rank, err)
	}
	return nil
}

func (l *Links) stop() { l.closed.Do(func() { close(l.done) }) }

// subject is that of what this rank says on a stream to another, or to one of its sets.
func (l *Links) subject(to, stream string) string {
	return l.prefix + strconv.Itoa(l.rank) + "." + to + "." + stream
}

// parse takes a subject apart. Only ranks can write it, but a wrong one must not crash this one.
func (l *Links) parse(subject string) (e end, ok bool) {
	rest, ok := strings.CutPrefix(subject, l.prefix)
	if !ok {
		return e, false
	}
	from, rest, _ := strings.Cut(rest, ".")
	_, stream, ok := strings.Cut(rest, ".")
	rank, err := strconv.Atoi(from)
	return end{rank, stream}, ok && err == nil && rank >= 0 && rank < l.size
}

// arrive is what each message from another rank comes to, one at a time of what is for this rank alone, and of each set. It never waits for a caller.
func (l *Links) arrive(m *nats.Msg) {
	e, ok := l.parse(m.Subject)
	h, fits := parseHeader(m.Reply)
	if !ok || !fits {
		return
	}
	l.peers[e.peer].heard.Store(time.Now().UnixNano())
	switch h.kind {
	case chunkKind, awaitKind:
		l.incoming(e).arrive(h, m.Data)
	case askKind:
		l.incoming(e).tell(answerKind)
	case statusKind, answerKind:
		if r := l.receiver(e); r != nil {
			r.learn(h, h.kind == answerKind)
		}
	case inviteKind:
		l.join(e, h.a)
	case joinedKind:
		if r := l.receiver(e); r != nil && r.set != nil && r.set.number == h.a {
			r.set.joined(e.peer)
		}
	case pingKind:
		l.say(e, header{kind: pongKind, a: uint64(1 + l.misses(e.peer))})
	case pongKind:
		l.peers[e.peer].misses.Store(int64(min(h.a, uint64(l.size))))
	}
}

// say sends a header without data. One that gets lost is said again in time.
func (l *Links) say(e end, h header) {
	if l.conn.IsConnected() {
		_ = l.conn.PublishRequest(l.subject(strconv.Itoa(e.peer), e.stream), h.String(), nil)
	}
}

func (l *Links) check(peer int, stream string) error {
	if peer < 0 || peer >= l.size || peer == l.rank {
		return fmt.Errorf("bug: rank %d of %d speaks to rank %d", l.rank, l.size, peer)
	}
	for i := range len(stream) {
		if c := stream[i]; c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("bug: %q names no stream: letters, digits, -, _, and . between them", stream)
		}
	}
	if stream == "" || strings.HasPrefix(stream, ".") || strings.HasSuffix(stream, ".") || strings.Contains(stream, "..") {
		return fmt.Errorf("bug: %q names no stream: letters, digits, -, _, and . between them", stream)
	}
	return nil
}
