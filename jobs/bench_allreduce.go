package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"saltern/cluster"
	"saltern/cluster/wire"
)

// reduceBench is what "saltern bench allreduce" measures, as its ranks are told.
type reduceBench struct {
	Sizes      []int // world sizes
	Bytes      int   // of the vector, in float32
	Wires      []wire.Format
	Chunk      int  // bytes; 0: as cluster/link has it
	Window     int  // chunks; 0: likewise
	Mesh       bool // a server for each rank instead of one in rank 0
	Runs       int
	Rank, Size int    // of who reads it
	Dir        string // where the ranks meet
}

// wiresFlag is a list of formats, "float32,int8".
type wiresFlag []wire.Format

func (w *wiresFlag) String() string {
	var words []string
	for _, f := range *w {
		words = append(words, f.String())
	}
	return strings.Join(words, ",")
}

// Set replaces the list.
func (w *wiresFlag) Set(text string) error {
	*w = nil
	for name := range strings.SplitSeq(text, ",") {
		var f wire.Format
		if err := f.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		*w = append(*w, f)
	}
	return nil
}

// sizesFlag is a list of world sizes, "2,4".
type sizesFlag []int

func (s *sizesFlag) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*s), " ", ","), "[]")
}

// Set replaces the list.
func (s *sizesFlag) Set(text string) error {
	*s = nil
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 2 || n > 64 {
			return fmt.Errorf("%q is no number of ranks from 2 to 64", word)
		}
		*s = append(*s, n)
	}
	return nil
}

// reduceRow is one way to reduce, as measured on rank 0.
type reduceRow struct {
	Ranks int
	Path  string // "TCP ring", "TLS ring" or "NATS", with what is special about it
	Wire  wire.Format
	spread
	cpu   float64    // seconds of processor time in one reduction, of all ranks and servers together
	ratio [2]float64 // to the TCP ring and the TLS ring of the same ranks, in float32: medians over the runs, in which all took turns
}

// run measures all sizes and prints them.
func (b reduceBench) run(ctx context.Context, io IO, asJSON bool) error {
	var rows []reduceRow
	for _, size := range b.Sizes {
		more, err := b.ranks(ctx, io, size)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	if !asJSON {
		fmt.Fprintf(io.Out, "date       %s\ncommand    %s\n\nAll-reduce of %d MiB between processes of this machine; MB/s of float32 per rank, 2(n-1)/n of the vector,\nand what a MiB of that takes of processor time, ranks and servers together\n",
			time.Now().UTC().Format("2006-01-02 15:04 UTC"), commandLine(os.Args[1:]), b.Bytes>>20)
	}
	return b.table(rows).Write(io.Out, asJSON)
}

func (b reduceBench) table(rows []reduceRow) Table {
	t := Table{Columns: []Column{
		{Key: "ranks", Title: "ranks"}, {Key: "path", Title: "path"}, {Key: "wire", Title: "wire"},
		{Key: "ms", Title: "median", Unit: "ms", Format: "%.1f"}, {Key: "ms_min", Title: "min", Unit: "ms", Format: "%.1f"}, {Key: "ms_max", Title: "max", Unit: "ms", Format: "%.1f"},
		{Key: "mb_per_second", Title: "volume", Unit: "MB/s", Format: "%.0f"}, {Key: "mb_per_second_min", Title: "min", Unit: "MB/s", Format: "%.0f"},
		{Key: "mb_per_second_max", Title: "max", Unit: "MB/s", Format: "%.0f"}, {Key: "of_tcp", Title: "of TCP", Unit: "%", Format: "%.0f"}, {Key: "of_tls", Title: "of TLS", Unit: "%", Format: "%.0f"},
		{Key: "cpu_ms_per_mib", Title: "CPU", Unit: "ms/MiB", Format: "%.2f"},
	}}
	for _, r := range rows {
		volume := 2 * float64(r.Ranks-1) / float64(r.Ranks) * float64(b.Bytes) / 1e3
		t.Rows = append(t.Rows, []any{r.Ranks, r.Path, r.Wire.String(), r.median, r.min, r.max,
			volume / r.median, volume / r.max, volume / r.min, 100 * r.ratio[0], 100 * r.ratio[1],
			1e3 * r.cpu / (2 * float64(r.Ranks-1) * float64(b.Bytes) / (1 << 20))})
	}
	return t
}

// ranks is rank 0 of size: it starts the others, each a process of its own, and measures with them.
func (b reduceBench) ranks(ctx context.Context, io IO, size int) (rows []reduceRow, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.Size = size
	if b.Dir, err = os.MkdirTemp("", "saltern-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.Dir)) }()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var others []*exec.Cmd
	for rank := 1; rank < size; rank++ {
		b.Rank = rank
		told, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("bug: %w", err)
		}
		other := exec.CommandContext(ctx, self, "bench", "allreduce", "--rank")
		other.Args[0] = os.Args[0]
		other.Stdin, other.Stderr = strings.NewReader(string(told)), io.Err
		if err := other.Start(); err != nil {
			cancel()
			return nil, errors.Join(err, wait(others))
		}
		others = append(others, other)
	}
	b.Rank = 0
	if rows, err = b.measure(ctx, io); err != nil {
		cancel()
	}
	return rows, errors.Join(err, wait(others))
}

func wait(list []*exec.Cmd) (err error) {
	for i, c := range list {
		if e := c.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("rank %d: %w", i+1, e))
		}
	}
	return err
}

// benchRank is a rank other than 0: it reads from standard input what it is to do.
func benchRank(ctx context.Context, io IO) error {
	var b reduceBench
	if err := json.NewDecoder(io.In).Decode(&b); err != nil {
		return fail(Usage, "bench allreduce --rank is for the processes that bench allreduce starts: %w", err)
	}
	_, err := b.measure(ctx, io)
	return err
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// join meets the other ranks as those of a job do: on one node, or in a mesh each on a node of its own.
func (b reduceBench) join(ctx context.Context, io IO) (*cluster.Cluster, error) {
	id := cluster.Identity{Job: "bench", Rank: b.Rank, Size: b.Size, Nodes: 1, LocalRank: b.Rank, LocalSize: b.Size, Dir: b.Dir}
	if b.Mesh {
		id.Node, id.Nodes, id.LocalRank, id.LocalSize, id.Host = b.Rank, b.Size, 0, 1, "127.0.0.1"
	}
	logf := func(format string, args ...any) {
		fmt.Fprintf(io.Err, "rank %d: %s\n", b.Rank, fmt.Sprintf(format, args...))
	}
	return cluster.Join(ctx, id, cluster.Config{JoinTimeout: 30, Heartbeat: 30}, logf)
}

// measure takes every way in turn, Runs times after a warm-up. All ranks do the same.
func (b reduceBench) measure(ctx context.Context, io IO) (rows []reduceRow, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	c, err := b.join(ctx, io)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Leave(err)) }()
	ctx = c.Context()
	ways, err := b.overNATS(c)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, w := range slices.Backward(ways) {
			w.close()
		}
	}()
	group := ways[0].group
	for i, secured := range []bool{false, true} {
		raw, err := b.overTCP(ctx, group, secured)
		if err != nil {
			return nil, err
		}
		ways = slices.Insert(ways, i, raw)
	}
	x, took, spent := make([]float32, b.Bytes/4), make([][]time.Duration, len(ways)), make([]float64, len(ways))
	for i := range x {
		x[i] = float32(i%1000) / 1000
	}
	for run := range b.Runs + 1 {
		for i, w := range ways {
			if err := group.Barrier(ctx); err != nil {
				return nil, err
			}
			start, before := time.Now(), processorTime()
			if err := w.reduce(ctx, x); err != nil {
				return nil, err
			}
			if run > 0 {
				took[i] = append(took[i], time.Since(start))
				if err := group.Barrier(ctx); err != nil { // a server still works for the others when its own rank is done
					return nil, err
				}
				spent[i] += (processorTime() - before).Seconds() / float64(b.Runs)
			}
			for i := range x {
				x[i] /= float32(b.Size) // or it would grow beyond what float32 holds
			}
		}
	}
	if err := group.AllReduce64(ctx, spent); err != nil {
		return nil, err
	}
	for i, w := range ways {
		row := reduceRow{Ranks: b.Size, Path: w.path, Wire: w.format, cpu: spent[i]}
		for ring := range row.ratio {
			var ratios []float64
			for run, d := range took[i] {
				ratios = append(ratios, float64(took[ring][run])/float64(d))
			}
			slices.Sort(ratios)
			row.ratio[ring] = ratios[len(ratios)/2]
		}
		rows = append(rows, row)
	}
	for i := range rows {
		rows[i].spread = spreadOf(took[i])
	}
	return rows, group.Barrier(ctx)
}
