package jobs

import (
	"context"
	"testing"

	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

// TestAutoKnowsTheSmoothing: with label smoothing of the SLM's entropy what "auto" says of weights is said of the weight that was
// found, by which the tokens are weighed.
func TestAutoKnowsTheSmoothing(t *testing.T) {
	job, err := readJob("job.toml", []byte(compareJob), []string{"distill.teacher=equal-entropy", "distill.transition=auto"})
	if err != nil {
		t.Fatal(err)
	}
	student := job.student("corpus")
	student.Smoothing = 0.0625
	if got := student.help(nil, nil).adaptive.rule.Weight; got != 0.0625 {
		t.Errorf("it takes w for %g, and the loss has 0.0625", got)
	}
}

// TestNamedTeacherIsTheOneThatWasMet: the checkpoint whose checksum was taken is the one that teaches, whatever its run has written
// since.
func TestNamedTeacherIsTheOneThatWasMet(t *testing.T) {
	root := t.TempDir()
	job, err := readJob("job.toml", []byte(compareJob), []string{"distill.teacher=" + root})
	if err != nil {
		t.Fatal(err)
	}
	writeSmall(t, root, 1)
	student := job.student("corpus")
	if err := student.findTeacher(); err != nil {
		t.Fatal(err)
	}
	writeSmall(t, root, 2)
	c, err := checkpoint.Open(student.teacherCheckpoints())
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := c.WeightsSum(); sum != student.Teacher || err != nil {
		t.Errorf("the checkpoint of step %d teaches, which is not that of the settings: %v", c.Step, err)
	}
}

// TestTeacherOfUL2: only a model that is asked about the student's examples must have learned what they are.
func TestTeacherOfUL2(t *testing.T) {
	for sets, refused := range map[string]bool{
		"distill.teacher=slm": true, "distill.teacher=equal-entropy": true, "distill.teacher=self": false, "distill.teacher=uniform": false,
		"distill.method=baseline": false,
	} {
		_, err := readJob("job.toml", []byte(compareJob), []string{"llm.train.objective=ul2", "tokenizer.vocab_size=420", sets})
		if (err != nil) != refused {
			t.Errorf("%s, an SLM of text alone: %v", sets, err)
		}
	}
}

// TestUnfinishedTeacher: a comparison that looks at what is there takes no checkpoint of an SLM under way for the teacher, though
// the run folder has a student that ended, with another teacher.
func TestUnfinishedTeacher(t *testing.T) {
	job, err := readJob("job.toml", []byte(compareJob), nil)
	if err != nil {
		t.Fatal(err)
	}
	job.RunDir = t.TempDir()
	other := job.student("corpus")
	other.Teacher = "another"
	if err := other.claim(); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(other.dir+"/result.json", outcome{Label: "SALT"}); err != nil {
		t.Fatal(err)
	}
	student := job.student("corpus")
	slm := student.teacher
	slm.dir, student.dir = job.RunDir+"/compare/slm-1", job.RunDir+"/compare/llm-salt-1"
	c := &comparison{job: job, order: []*compared{{training: slm}, {training: student}}}
	writeSmall(t, slm.checkpoints(), 1)
	if err := c.look(); err != nil {
		t.Fatal(err)
	}
	writeSmall(t, slm.checkpoints(), 2) // the SLM ends
	if err := student.findTeacher(); err != nil {
		t.Fatal(err)
	}
	if sum, err := teacherSum(slm.checkpoints()); sum != student.Teacher || err != nil {
		t.Errorf("the teacher is taken for what it was in the middle of its training (%v)", err)
	}
}

// TestTeacherThatWasRemoved: a student that ended does not keep a comparison from training its SLM anew, where somebody removed that.
func TestTeacherThatWasRemoved(t *testing.T) {
	job, err := readJob("job.toml", []byte(compareJob), nil)
	if err != nil {
		t.Fatal(err)
	}
	job.RunDir = t.TempDir()
	student := job.student("corpus")
	if err := student.claim(); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(student.dir+"/result.json", outcome{Label: "SALT"}); err != nil {
		t.Fatal(err)
	}
	c := &comparison{job: job, order: []*compared{{training: student.teacher}, {training: student}}}
	if err := c.look(); err != nil {
		t.Error(err)
	}
	for _, x := range c.order {
		if x.state() != "to do" {
			t.Errorf("%s is %s, and there is no SLM", x.label, x.state())
		}
	}
}

// writeSmall writes a checkpoint of a step, of a model that could be the SLM of compareJob but for its weights.
func writeSmall(t *testing.T, root string, step int) {
	t.Helper()
	m := model.Config{Vocab: 300, Layers: 1, Width: 16, Heads: 2, Context: 32}.Defaults()
	config, err := m.ConfigJSON(0)
	if err != nil {
		t.Fatal(err)
	}
	weight := safetensors.Tensor{Name: "model.norm.weight", Shape: []int{1}, Read: func() ([]float32, error) { return []float32{float32(step)}, nil }}
	if _, err := checkpoint.Write(context.Background(), root, step, checkpoint.Contents{
		Weights: []safetensors.Tensor{weight}, Config: config, Tokenizer: []byte("{}"),
	}, checkpoint.Keep{}); err != nil {
		t.Fatal(err)
	}
}
