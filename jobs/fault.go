package jobs

import (
	"strconv"
	"strings"
)

// fault is how this process's device is to become wrong, for trying out that a job notices: an operation, and the step of a training from
// which on its kernels are wrong. The zero value is none.
type fault struct {
	op   string
	step int64 // from 1
	done bool
}

// fault is what SALTERN_FAULT says.
func (o IO) fault() (f fault, err error) {
	if o.Env == nil {
		return f, nil
	}
	text, _ := o.Env("SALTERN_FAULT")
	if text == "" {
		return f, nil
	}
	op, step, _ := strings.Cut(text, "@")
	n, err := strconv.ParseInt(step, 10, 64)
	if err != nil || n < 1 {
		return f, fail(Usage, "SALTERN_FAULT = %q is no fault; one is an operation and the step from which on it is wrong, as matmul@20", text)
	}
	return fault{op: op, step: n}, nil
}

// findFault has the session's device become wrong later, where the environment asks for that and it can be.
func (s *session) findFault() (err error) {
	if s.fault, err = s.io.fault(); err != nil || s.fault.op == "" {
		return err
	}
	if err := s.device.Damage(s.fault.op); err != nil {
		return fail(Usage, "SALTERN_FAULT: %w", err)
	}
	return s.device.Damage("")
}

// spoil is done before each step of a training, counted from 1, and before what a teacher says for it.
func (s *session) spoil(step int64) error {
	if s.fault.op == "" || s.fault.done || step < s.fault.step {
		return nil
	}
	s.fault.done = true
	s.say("SALTERN_FAULT: from step %d on this device computes %s wrongly", step, s.fault.op)
	return s.device.Damage(s.fault.op)
}
