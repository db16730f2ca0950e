package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"saltern/cluster"
	"saltern/cluster/collective"
	"saltern/cluster/link"
)

// amongRanks says how a command sees the world as one of several ranks: only the first has something to print.
func (c *Command) amongRanks(out IO) (IO, error) {
	if out.Env == nil {
		return out, nil
	}
	id, several, err := cluster.FromEnv(out.Env)
	if err != nil {
		return out, fail(Usage, "%w", err)
	}
	if !several || id.Size == 1 {
		return out, nil
	}
	if !c.Ranks {
		return out, fail(Usage, "this process is rank %d of %d (SALTERN_RANK, SALTERN_WORLD_SIZE), and %s does not run on several; run it by itself", id.Rank, id.Size, c.Name)
	}
	if out.Rank = id.Rank; out.Rank > 0 {
		out.Out = io.Discard
	}
	return out, nil
}

// patience is how long a rank may keep the others waiting, with hours of text to prepare for example, as long as it lives: silence is
// noticed much sooner.
const patience = 24 * time.Hour

// joinRanks meets the other ranks of this process's job; nil where there are none.
func joinRanks(ctx context.Context, io IO, job *Job) (*ranks, error) {
	if io.Env == nil {
		return nil, nil
	}
	id, several, err := cluster.FromEnv(io.Env)
	if err != nil || !several || id.Size == 1 {
		return nil, err
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
	c, err := cluster.Join(meeting, id, job.Cluster, func(format string, args ...any) { meter.Message("cluster: " + fmt.Sprintf(format, args...)) })
	if err != nil {
		return nil, err
	}
	links, err := link.Open(c.Conn(), c.Subject("link"), id.Rank, id.Size, link.Options{Deadline: patience})
	if err != nil {
		return nil, errors.Join(err, c.Leave(err))
	}
	leave := func(cause error) error { return errors.Join(links.Close(), c.Leave(cause)) }
	g := collective.New(links, id.Rank, id.Size)
	return &ranks{group: g, whole: g, node: id.Node, local: id.LocalRank, all: c.Context(), leave: leave}, nil
}

// builtFrom names the program, which must be the same on all ranks: its version and commit.
func builtFrom() string {
	info, _ := debug.ReadBuildInfo()
	row := versionTable(info).Rows[0]
	return fmt.Sprintf("%v of %v", row[0], row[1])
}
