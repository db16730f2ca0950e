package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"saltern/cluster"
	"saltern/cluster/collective"
	"saltern/cluster/link"
	"saltern/slurm"
)

// amongRanks says how a command sees the world as one of several ranks: only the first has something to print.
func (c *Command) amongRanks(out IO) (IO, error) {
	if out.Env == nil {
		return out, nil
	}
	id, several, err := identity(out)
	if err != nil {
		return out, fail(Usage, "%w", err)
	}
	if !several {
		return out, nil
	}
	if c.Ranks == nil {
		return out, fail(Usage, "this process is rank %d of %d, and %s does not run on several; run it by itself, under Slurm with srun -n 1", id.Rank, id.Size, c.Name)
	}
	if out.Rank = id.Rank; out.Rank > 0 {
		out.Out = io.Discard
	}
	return out, nil
}

// identity is which of several ranks this process is: what "saltern launch" set, else srun; several is false where it is alone.
func identity(io IO) (id cluster.Identity, several bool, err error) {
	if id, several, err = cluster.FromEnv(io.Env); several || err != nil {
		return id, several && id.Size > 1, err
	}
	return slurm.FromEnv(io.Env)
}

// How long a rank may keep another waiting that gets nothing from it, as long as it lives: silence is noticed much sooner, and so is that it
// has left.
const (
	patience     = 24 * time.Hour // with hours of text to prepare, for example
	stepPatience = time.Hour      // within a training, where all have a like share of the work
)

// joinRanks meets the other ranks of this process's job; nil where there are none.
func joinRanks(ctx context.Context, io IO, job *Job) (*ranks, error) {
	if io.Env == nil {
		return nil, nil
	}
	id, several, err := identity(io)
	if err != nil || !several {
		return nil, err
	}
	if id.Dir == "" { // srun knows no folders; the run's is one that all nodes have
		id.Dir = filepath.Join(job.RunDir, "ranks")
		if id.Rank > 0 {
			if err := logTo(rankLog(job.RunDir, id.Rank)); err != nil {
				return nil, err
			}
		}
	}
	var text strings.Builder
	if err := job.WriteTOML(&text); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(text.String()))
	id.Digest, id.Version = hex.EncodeToString(sum[:8]), builtFrom()
	meter := newMeter(io, 0)
	// A signal ends the meeting, and not what follows: there the ranks agree on a stop, and only the loss of one ends them all.
	meeting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	logf := func(format string, args ...any) { meter.Message("cluster: " + fmt.Sprintf(format, args...)) }
	c, err := cluster.Join(meeting, id, job.Cluster, logf)
	if err != nil {
		return nil, err
	}
	r, err := among(c, job.Cluster.Elastic)
	if err != nil {
		return nil, errors.Join(err, c.Leave(err))
	}
	r.voice = speak(c, job.RunDir, logf)
	return r, nil
}

// among is a rank's place in a cluster.
func among(c *cluster.Cluster, elastic bool) (*ranks, error) {
	id := c.Identity()
	r := &ranks{node: id.Node, local: id.LocalRank}
	var links *link.Links
	// enter puts this rank among those of a view.
	enter := func(view cluster.View, err error) error {
		if err != nil {
			return err
		}
		was := links
		rank, size := slices.Index(view.Ranks, id.Rank), len(view.Ranks)
		if links, err = link.Open(c.Conn(), c.Subject(fmt.Sprintf("link%d", view.Number)), rank, size, link.Options{
			Deadline: patience,
			Left:     func(rank int) bool { return c.Left(view.Ranks[rank]) },
		}); err != nil {
			return err
		}
		if was != nil {
			err = was.Close()
		}
		g := collective.New(links, rank, size)
		r.group, r.whole, r.all, r.joined = g, g, c.Context(), view.Joined
		return err
	}
	if err := enter(c.View(), nil); err != nil {
		return nil, err
	}
	r.late = len(r.joined) > 0
	r.leave = func(cause error) error {
		if r.voice != nil {
			r.voice.Close()
		}
		return errors.Join(links.Close(), c.Leave(cause))
	}
	if elastic {
		r.regroup = func(ctx context.Context) error { return enter(c.Regroup(ctx)) }
		r.admit = func(ctx context.Context) error { return enter(c.Admit(ctx)) }
		r.applied = c.Applied
	}
	return r, nil
}

// rankLog is the file of what a rank but the first has to say.
func rankLog(runDir string, rank int) string {
	return filepath.Join(runDir, "logs", fmt.Sprintf("rank_%d.log", rank))
}

// logTo has all that this process writes from now on to its output and error output, the driver's words and a panic's included, go
// to the end of a file.
func logTo(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("writing to %s: %w", path, err)
		}
	}
	return nil
}

// builtFrom names the program, which must be the same on all ranks: its version and commit.
func builtFrom() string {
	info, _ := debug.ReadBuildInfo()
	row := versionTable(info).Rows[0]
	return fmt.Sprintf("%v of %v", row[0], row[1])
}
