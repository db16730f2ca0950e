package jobs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"saltern/cluster"
	"saltern/compute/vk"
	"saltern/distill/blockfile"
	"saltern/distill/labels"
)

// Kind is what kind of thing went wrong; its number is the process's exit code.
type Kind int

// The kinds. Scripts and Slurm rely on the numbers: add new ones, never change one.
const (
	OK            Kind = 0
	Failed        Kind = 1
	Usage         Kind = 2
	BadConfig     Kind = 64
	BadData       Kind = 65
	NoDevice      Kind = 66
	LacksFeature  Kind = 67
	NoMemory      Kind = 68
	BadCheckpoint Kind = 69
	DiskFull      Kind = 70
	Diverged      Kind = 71
	Interrupted   Kind = 72
	RankLost      Kind = 73
	SickDevice    Kind = 74
	Requeue       Kind = 75
)

// exitCodes is the one table of exit codes: what each means and what to do about it.
func exitCodes() []exitCode {
	return []exitCode{
		{OK, "ok", "Done."},
		{Failed, "failed", "Something that has no code of its own; the message says what."},
		{Usage, "usage", "The command line is wrong: an unknown command or flag, a missing argument."},
		{BadConfig, "config", "The job file is wrong. Every problem is listed with file:line:column."},
		{BadData, "data", "The text, the tokenizer, the token shards or the soft labels are missing or damaged."},
		{NoDevice, "no device", "No Vulkan device was found, or none that --device or the job's device names."},
		{LacksFeature, "device lacks a feature", "The device is there but cannot do what the job needs; the message names the feature."},
		{NoMemory, "not enough device memory", "The job does not fit the device: lower microbatch, sequence or the model."},
		{BadCheckpoint, "corrupt checkpoint", "A checkpoint is damaged or belongs to another job; an older one may be whole."},
		{DiskFull, "disk full", "The run folder's disk is full. The last complete checkpoint is intact."},
		{Diverged, "diverged", "Too many steps in a row had no finite loss. The last good checkpoint is intact."},
		{Interrupted, "interrupted", "Stopped by a signal or Ctrl-C. Where there are checkpoints, the same command goes on."},
		{RankLost, "rank lost", "Another rank could not go on; what it said itself says why."},
		{SickDevice, "sick device", "A device computes wrongly; the message names rank, host, device and kernel. What was learned since it was found right is set aside: start again without it."},
		{Requeue, "requeue", "Time is up (SIGUSR1, or SIGTERM in a Slurm job), or a rank was lost: killed, silent, cut off. What could be saved is, the job is not finished: start it again. What saltern submit writes does."},
	}
}

type exitCode struct {
	kind          Kind
	name, meaning string
}

// String is the kind's name in the table of exit codes.
func (k Kind) String() string {
	for _, e := range exitCodes() {
		if e.kind == k {
			return e.name
		}
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error gives an error its Kind. The message is that of Err.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// fail makes an error of that kind, its message formatted as by fmt.Errorf.
func fail(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Errorf(format, args...)}
}

// sentinels says which plain errors of lower packages and of the system are of which kind. The first match counts.
func sentinels() []sentinel {
	return []sentinel{
		{errTimeUp, Requeue},
		{context.Canceled, Interrupted},
		{vk.ErrNoDriver, NoDevice},
		{vk.ErrLacks, LacksFeature},
		{vk.ErrMemory, NoMemory},
		{blockfile.ErrDamaged, BadData},
		{labels.ErrMissing, BadData},
		{syscall.ENOSPC, DiskFull},
		{syscall.EDQUOT, DiskFull},
	}
}

type sentinel struct {
	err  error
	kind Kind
}

// KindOf is the kind of an error: that of the outermost Error in its chain, else that of a known sentinel, else Failed.
func KindOf(err error) Kind {
	if err == nil {
		return OK
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	if l := (*cluster.RankLost)(nil); errors.As(err, &l) {
		if l.Failed {
			return RankLost
		}
		return Requeue
	}
	for _, s := range sentinels() {
		if errors.Is(err, s.err) {
			return s.kind
		}
	}
	return Failed
}
