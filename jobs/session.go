package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"saltern/compute"
	"saltern/jobs/progress"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
)

// session is what the parts of one job share: its text, its device and the person who watches.
type session struct {
	io        IO
	job       *Job
	device    *compute.Device
	tuner     *compute.Tuner
	peaks     map[compute.DType]float64 // see peak
	set       *corpus.Set
	tokenizer []byte // tokenizer.json
	meter     *progress.Meter
	ranks     *ranks         // that do the job together; nil: this process is alone
	limits    compute.Limits // of the device, or what the devices of all ranks have in common
	exporter  *exporter      // nil: nobody asked for one
	fault     fault          // that the device is to have
}

// newMeter shows progress on io.Err: a live line on a terminal, a plain one now and then elsewhere.
func newMeter(io IO, every time.Duration) *progress.Meter {
	if f, ok := io.Err.(*os.File); ok {
		return progress.New(f, every)
	}
	return progress.New(os.Stderr, every)
}

// openSession opens the prepared corpus and the device. Close it.
func openSession(io IO, job *Job, r *ranks) (*session, error) {
	dir := filepath.Join(job.Config.RunDir, "corpus")
	set, err := corpus.Open(dir)
	if err != nil {
		return nil, err
	}
	tokenizer, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return openOn(io, job, r, set, tokenizer)
}

// openOn opens this rank's device for a job of that text, which the session closes, or a failure.
func openOn(io IO, job *Job, r *ranks, set *corpus.Set, tokenizer []byte) (*session, error) {
	selector, err := r.device(io, job.Config.Device)
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	device, tuner, err := openTuned(io, selector)
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	s := &session{io: io, job: job, device: device, tuner: tuner, set: set, tokenizer: tokenizer, meter: newMeter(io, 0), ranks: r}
	if err := s.findFault(); err != nil {
		return nil, errors.Join(err, set.Close(), device.CloseChecked())
	}
	return s, nil
}

// enter meets the other ranks with their devices and settles what the job leaves to these and to the text; a rank that comes late hears
// how that was settled. Where it fails the session is closed.
func (s *session) enter(ctx context.Context) (*session, error) {
	s.job.Config = s.job.withTokenizer(s.set.Manifest.VocabSize, s.set.Manifest.DocumentStart)
	settle, late := s.settleTogether, ""
	if s.ranks.isLate() {
		settle, late = s.hearSettled, ", in a lost one's place"
	}
	s.say("device: %s (%s)%s%s", s.device.Info().Name, s.device.Info().Driver, s.ranks.describe(), late)
	if err := settle(ctx); err != nil {
		return nil, errors.Join(s.ranks.mourn(err), s.close(err))
	}
	return s, nil
}

// settleTogether is what ranks do that begin together.
func (s *session) settleTogether(ctx context.Context) (err error) {
	if err = s.seated(ctx); err != nil {
		return err
	}
	if s.limits, err = s.ranks.common(ctx, *s.device.Limits(), s.device.Info(), s.io.slowdown()); err != nil {
		return err
	}
	return errors.Join(s.settle([]*Job{s.job}), s.export())
}

// close frees the device and leaves the other ranks, with the cause for which the job cannot go on, if there is one. What the
// validation layer said, where it was asked, is the error.
func (s *session) close(cause error) error {
	if cause != nil {
		s.keep(cause.Error())
	}
	return errors.Join(s.exporter.close(), s.set.Close(), s.device.CloseChecked(), s.ranks.close(cause))
}

// export shows the job's metrics, where that is asked, from the first rank on.
func (s *session) export() (err error) {
	if s.job.listen == "" || !s.ranks.leads() {
		return nil
	}
	if s.exporter, err = newExporter(s.job.listen, s.job.Name); err == nil {
		s.say("%s", s.exporter.describe())
	}
	return err
}

// done closes the session of a job that has ended with that error, and gives it as a person is to read it.
func (s *session) done(err error) error {
	err = s.ranks.mourn(err)
	return errors.Join(err, s.close(err))
}

// badCheckpoint gives an error from opening a checkpoint its kind, where the checkpoint is to blame, and adds what to do.
func badCheckpoint(err error, remedy string) error {
	switch {
	case !errors.Is(err, checkpoint.ErrCorrupt) && !errors.Is(err, checkpoint.ErrNone) && !errors.Is(err, model.ErrUnsupported):
		return err
	case remedy == "":
		return &Error{BadCheckpoint, err}
	}
	return fail(BadCheckpoint, "%w; %s", err, remedy)
}

// say prints a line without disturbing the progress line, and keeps it in the job's log.
func (s *session) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.meter.Message(text)
	s.keep(text)
}
