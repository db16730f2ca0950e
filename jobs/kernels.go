package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"saltern/compute"
)

// settleKernels chooses the kernels of some programs, a training's for example, tuning where nothing is known of them yet, and
// keeps the choices in its folder: a resumed run takes the same, and so gives the same bits. Of several ranks the
// first of each kind of device keeps its choices.
func (s *session) settleKernels(ctx context.Context, label, dir string, programs []*compute.Program) error {
	path, keep := s.kernelsFile(dir)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		var c compute.Choices
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("%s: %w; remove it to choose anew", path, err)
		}
		if err := s.tuner.Pin(c); err != nil {
			s.say("%s: %v", label, err)
		}
	}
	if err := s.tuner.Tune(ctx, programs...); err != nil {
		return err
	}
	if !keep {
		return nil
	}
	return writeJSON(path, s.tuner.Choices())
}
