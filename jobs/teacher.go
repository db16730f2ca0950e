package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"saltern/model"
	"saltern/model/checkpoint"
)

// trainsSLM says that the job has a small model of its own to train: as a teacher, or to judge text.
func (c Config) trainsSLM() bool {
	return c.Distill.Method == "salt-ds" || c.Distill.Method != "baseline" && c.Distill.Teacher == ""
}

// noSLM is the key because of which it has none.
func (c Config) noSLM() string {
	if c.Distill.Method == "baseline" {
		return `method = "baseline"`
	}
	return fmt.Sprintf("teacher = %q", c.Distill.Teacher)
}

// findTeacher says which teacher the training has, if it has one.
func (t *training) findTeacher(s *session) (err error) {
	switch {
	case t.teacher == "":
		return nil
	case t.Distill.Teacher != "":
		return t.findNamed(s.tokenizer)
	}
	if t.Teacher, err = teacherSum(t.teacher); errors.Is(err, checkpoint.ErrNone) {
		return badCheckpoint(err, "train the SLM first: saltern train --only slm "+s.job.File)
	} else if err != nil {
		result := filepath.Join(filepath.Dir(t.teacher), "result.json")
		return badCheckpoint(err, "or move the damaged folder, the file `latest` beside it and "+result+" away, and the same command trains the SLM on from what is left")
	}
	return nil
}

// findNamed looks at the teacher that the job names, which must read the job's tokens.
func (t *training) findNamed(tokenizer []byte) error {
	c, err := t.openNamed()
	if err != nil {
		return err
	}
	own, err := c.Tokenizer()
	if err != nil {
		return err
	}
	if !bytes.Equal(own, tokenizer) {
		return fail(BadConfig, "distill.teacher = %q: %s was trained with another tokenizer, so it reads other tokens; set tokenizer.file to the one that lies in that folder, or train the teacher with the job's",
			t.Distill.Teacher, c.Dir)
	}
	t.Teacher, err = weightsSum(c)
	return err
}

// openNamed opens the checkpoint of the teacher that the job names and takes its shape, which must go with the student's.
func (t *training) openNamed() (*checkpoint.Checkpoint, error) {
	const elsewhere = "distill.teacher is a checkpoint's folder, or a run's folder of them such as runs/other/slm/checkpoints"
	c, err := checkpoint.Open(t.Distill.Teacher)
	if err != nil {
		return nil, badCheckpoint(err, elsewhere)
	}
	text, err := c.Config()
	if err != nil {
		return nil, err
	}
	m, err := model.ParseConfigJSON(text)
	switch {
	case err != nil:
		return nil, fail(BadCheckpoint, "%s: %w; %s", c.Dir, err, elsewhere)
	case m.Vocab != t.Model.Vocab:
		return nil, fail(BadConfig, "distill.teacher = %q: the model in %s knows %d tokens, the student %d: they must have the same tokenizer; set tokenizer.file to the one that lies in that folder",
			t.Distill.Teacher, c.Dir, m.Vocab, t.Model.Vocab)
	case m.Context < t.Train.Sequence:
		return nil, fail(BadConfig, "distill.teacher = %q: the model in %s reads %d tokens at a time, too few for llm.train.sequence = %d; shorten that, or name another teacher",
			t.Distill.Teacher, c.Dir, m.Context, t.Train.Sequence)
	}
	t.slm = m
	return c, nil
}
