package jobs

import (
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
)

// namedTeacher is a checkpoint that the job names as its teacher: nothing that it trains.
type namedTeacher struct {
	path    string       // distill.teacher
	model   model.Config // known once it was met, as are the others
	weights string       // their checksum

	checkpoint *checkpoint.Checkpoint
}

// teacherModel is the shape of who teaches.
func (t *training) teacherModel() model.Config {
	if t.named != nil {
		return t.named.model
	}
	return t.teacher.Model
}

// teacherCheckpoints is the folder of who teaches; of a named one the checkpoint that was met, as its run may go on meanwhile.
func (t *training) teacherCheckpoints() string {
	if t.named != nil {
		return t.named.checkpoint.Dir
	}
	return t.teacher.checkpoints()
}

// meetTeacher looks at the teacher that the job names, if it names one, whose shape must go with the student's.
func (t *training) meetTeacher() error {
	n := t.named
	if n == nil || n.weights != "" {
		return nil
	}
	const elsewhere = "distill.teacher is a checkpoint's folder, or a run's folder of them such as runs/other/slm/checkpoints"
	c, err := checkpoint.Open(n.path)
	if err != nil {
		return badCheckpoint(err, elsewhere)
	}
	text, err := c.Config()
	if err != nil {
		return err
	}
	m, err := model.ParseConfigJSON(text)
	switch {
	case err != nil:
		return fail(BadCheckpoint, "%s: %w; %s", c.Dir, err, elsewhere)
	case m.Vocab != t.Model.Vocab:
		return fail(BadConfig, "distill.teacher = %q: the model in %s knows %d tokens, the student %d: they must have the same tokenizer; set tokenizer.file to the one that lies in that folder",
			n.path, c.Dir, m.Vocab, t.Model.Vocab)
	case m.Context < t.Train.Sequence:
		return fail(BadConfig, "distill.teacher = %q: the model in %s reads %d tokens at a time, too few for llm.train.sequence = %d; shorten that, or name another teacher",
			n.path, c.Dir, m.Context, t.Train.Sequence)
	}
	n.model, n.checkpoint = m, c
	n.weights, err = c.WeightsSum()
	return err
}

// checkTeacher refuses a teacher that the job names and that reads other tokens than the job's, before anything is trained.
func (j *Job) checkTeacher(tokenizer []byte, set *corpus.Set) error {
	t := j.student(set.Manifest.Key)
	if err := t.meetTeacher(); err != nil || t.named == nil {
		return err
	}
	c := t.named.checkpoint
	own, err := c.Tokenizer()
	same := false
	if err == nil {
		same, err = sameTokenizer(own, tokenizer)
	}
	if err == nil && !same {
		err = fail(BadConfig, "distill.teacher = %q: %s was trained with another tokenizer, so it reads other tokens; set tokenizer.file to the one that lies in that folder, or train the teacher with the job's",
			t.named.path, c.Dir)
	}
	return err
}
