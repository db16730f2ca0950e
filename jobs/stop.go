package jobs

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// Stop is the cause of a command's context once a signal asked it to stop: an interruption, or, where a queue has sent it, the
// end of the time that the job had this time.
type Stop struct {
	Signal os.Signal
	Queued bool // the process belongs to a job of a queue, which tells it by SIGTERM that its node is wanted
}

// Error says which signal it was.
func (s Stop) Error() string { return s.Signal.String() + " signal received" }

// errTimeUp is what a Stop is when the job is to be queued again.
var errTimeUp = errors.New("time is up")

// Is says that every Stop is a cancellation; SIGUSR1, and a queue's SIGTERM, mean that time is up.
func (s Stop) Is(target error) bool {
	return target == context.Canceled || target == errTimeUp && (s.Signal == syscall.SIGUSR1 || s.Queued && s.Signal == syscall.SIGTERM)
}
