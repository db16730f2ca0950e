package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"saltern/cluster/link"
)

// TestMain lets the test's own binary be a rank of its own process, or a NATS server of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("SALTERN_TEST_ROLE") {
	case "rank":
		os.Exit(rankProcess())
	case "server":
		os.Exit(serverProcess(os.Args[1]))
	}
	os.Exit(m.Run())
}

// rankProcess joins as the environment says, answers the other ranks, and does what stdin says: "reach" asks every rank for an
// answer, "leave REASON" and "close" leave. What happens goes to stdout, a line each.
func rankProcess() int {
	id, _, err := FromEnv(os.LookupEnv)
	var c Config
	if err == nil {
		err = json.Unmarshal([]byte(os.Getenv("SALTERN_TEST_CONFIG")), &c)
	}
	id.Host = os.Getenv("SALTERN_TEST_HOST")
	var me *Cluster
	if err == nil {
		me, err = Join(context.Background(), id, c, func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, time.Now().Format("05.000 ")+format+"\n", args...)
		})
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	if _, err := me.Conn().Subscribe(me.Subject(fmt.Sprintf("to.%d", id.Rank)), func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("joined")
	orders := make(chan string)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	for {
		select {
		case <-me.Context().Done():
			fmt.Fprintln(os.Stderr, time.Now().Format("05.000"), "lost")
			fmt.Println("lost:", context.Cause(me.Context()))
			_ = me.Leave(context.Cause(me.Context()))
			return 3
		case order := <-orders:
			verb, reason, _ := strings.Cut(order, " ")
			switch verb {
			case "reach":
				fmt.Println(reach(me))
			case "leave":
				_ = me.Leave(errors.New(reason))
				return 0
			case "close":
				fmt.Println("closed:", me.Close())
				return 0
			}
		}
	}
}

// reach sends a full chunk to every rank and back.
func reach(me *Cluster) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	data := strings.Repeat("saltern ", int(min(me.Conn().MaxPayload(), link.Chunk)-256)/8)
	for to := range me.Members() {
		for tries := 0; ; tries++ {
			m, err := me.Conn().RequestWithContext(ctx, me.Subject(fmt.Sprintf("to.%d", to)), []byte(data))
			if errors.Is(err, nats.ErrNoResponders) && sleep(ctx, pause(tries)) {
				continue // its subscription is not known here yet
			}
			if err != nil || string(m.Data) != data {
				return fmt.Sprintf("failed: rank %d: %v", to, err)
			}
			break
		}
	}
	return "reached all"
}

// serverProcess runs a NATS server by a configuration file, and writes its address to stdout.
func serverProcess(file string) int {
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		fmt.Println("failed: not ready")
		return 1
	}
	fmt.Println(s.Addr())
	s.WaitForShutdown()
	return 0
}

// process is one that a test has started. It ends with the test.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

// startProcess runs the test's binary in a role; before stands a command that runs it elsewhere.
func startProcess(t *testing.T, name string, before, env, args []string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(before, self), args...)
	p := &process{t: t, name: name, cmd: exec.Command(line[0], line[1:]...), lines: make(chan string, 100)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = writer(func(text []byte) { t.Logf("%s: %s", name, strings.TrimSpace(string(text))) })
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

type writer func([]byte)

func (w writer) Write(text []byte) (int, error) { w(text); return len(text), nil }

// say gives p an order.
func (p *process) say(order string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, order+"\n"); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// hear is p's next line, which must come within half a minute and contain want.
func (p *process) hear(want string) string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok || !strings.Contains(line, want) {
			p.t.Fatalf("%s says %q, want %q", p.name, line, want)
		}
		return line
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s does not say %q", p.name, want)
	}
	return ""
}

// signal sends p a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// startRanks runs each identity as a process, after a command that runs it elsewhere, and waits until all have joined.
func startRanks(t *testing.T, ids []Identity, c Config, before func(node int) []string) []*process {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var all []*process
	for _, id := range ids {
		env := []string{"SALTERN_TEST_ROLE=rank", "SALTERN_TEST_CONFIG=" + string(text), "SALTERN_TEST_HOST=" + id.Host,
			"SALTERN_JOB=" + id.Job, "SALTERN_RENDEZVOUS=" + id.Dir}
		for _, v := range []struct {
			name string
			n    int
		}{{"RANK", id.Rank}, {"WORLD_SIZE", id.Size}, {"NODE", id.Node}, {"NODES", id.Nodes}, {"LOCAL_RANK", id.LocalRank}, {"LOCAL_SIZE", id.LocalSize}} {
			env = append(env, fmt.Sprintf("SALTERN_%s=%d", v.name, v.n))
		}
		var in []string
		if before != nil {
			in = before(id.Node)
		}
		all = append(all, startProcess(t, fmt.Sprintf("rank %d", id.Rank), in, env, nil))
	}
	for _, p := range all {
		p.hear("joined")
	}
	return all
}

// lostProcess is a job that loses a rank.
type lostProcess struct {
	rank   int
	signal syscall.Signal
	all    []*process
}

// TestLostProcess stops or kills a rank of two nodes with two ranks each, once with its node's server in it and once without; the
// others must name it.
func TestLostProcess(t *testing.T) {
	var cases []lostProcess
	for _, test := range []struct {
		rank   int
		signal syscall.Signal
		ranks  []int
	}{
		{1, syscall.SIGSTOP, []int{3}},
		{0, syscall.SIGSTOP, []int{3}},
		{0, syscall.SIGKILL, []int{3}},
		{3, syscall.SIGKILL, []int{2, 2}},
		{2, syscall.SIGSTOP, []int{2, 2}},
		{2, syscall.SIGKILL, []int{2, 2}},
	} {
		cases = append(cases, lostProcess{test.rank, test.signal, startRanks(t, layout(t, test.ranks...), Config{JoinTimeout: 30, Heartbeat: 2}, nil)})
	}
	for _, l := range cases { // at once: most of it is waiting
		l.all[l.rank].signal(l.signal)
	}
	for _, l := range cases {
		for rank, p := range l.all {
			if rank != l.rank {
				p.hear(fmt.Sprintf("lost: rank %d ", l.rank))
			}
		}
	}
}

// TestProcesses runs the ranks of a job as processes, from the first to the last word, twice at once on one machine.
func TestProcesses(t *testing.T) {
	for _, job := range []string{"one", "other"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			all := startRanks(t, layout(t, 2, 1), quick(), nil)
			for _, order := range [][2]string{{"reach", "reached all"}, {"close", "closed: <nil>"}} {
				for _, p := range all {
					p.say(order[0])
				}
				for _, p := range all {
					p.hear(order[1])
				}
			}
		})
	}
}
