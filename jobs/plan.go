package jobs

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"

	"saltern/compute"
	"saltern/model"
)

// planCommand says what a job will take.
func planCommand() *Command {
	var flags struct {
		sets   listFlag
		ranks  int
		memory string
		json   bool
	}
	return &Command{
		Name:    "plan",
		Usage:   "[--ranks N] [--memory 24GiB] [--set key=value]... [--json] job.toml",
		Summary: "show what a job will take: memory, arithmetic, checkpoints, without touching a device",
		Help: `Records the programs of every training of the job, as "saltern run" would, and adds up what they
need of one device: the memory is exactly what will be allocated. --memory says how much the
device has (see "saltern devices"): then the microbatch is chosen to fit, where the job leaves
it open, and the command fails when nothing does. Without, memory is taken to be no concern. With
--ranks it is what each of so many ranks needs, which share every batch, and with
cluster.shard_optimizer the optimizer's state.

Arithmetic is the model's, as papers count it: 6 FLOPs for each weight and token,
attention, and a third of that for a teacher's forward pass. "As executed" is that of the
recorded programs, with what is computed twice and the optimizer.`,
		Example: `saltern plan examples/go-source.toml
saltern plan --memory 80GiB --set llm.model.preset=2.8B-like --set slm.model.preset=1.5B-like job.toml`,
		Exits: []Kind{BadConfig, BadData, NoMemory},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			fs.IntVar(&flags.ranks, "ranks", 1, "plan for one of `N` ranks")
			fs.StringVar(&flags.memory, "memory", "", "the device's memory, as a `size` such as 24GiB")
			jsonFlag(fs, &flags.json)
		},
		Run: func(_ context.Context, io IO, args []string) error {
			memory, err := parseBytes(flags.memory)
			if err != nil {
				return fail(Usage, "--memory: %w", err)
			}
			job, err := jobArgument("plan", args, flags.sets)
			if err != nil {
				return err
			}
			if job.ranks = flags.ranks; job.ranks < 1 {
				return fail(Usage, "--ranks %d: there must be at least one", flags.ranks)
			}
			plans, err := planJob(job, memory)
			if err != nil {
				return err
			}
			if err := planTable(plans, flags.json).Write(io.Out, flags.json); err != nil {
				return err
			}
			return errors.Join(tooLarge(plans), tooFewMicrobatches(plans))
		},
	}
}

// plan is what one training of a job takes.
type plan struct {
	label     string
	ranks     int
	params    int64
	model     model.Config
	train     model.TrainConfig // with the microbatch
	withKD    int64             // steps that ask the teacher, at most
	weights   int64             // bytes, as are the others
	gradients int64
	optimizer int64
	helped    bool
	teacher   int64 // weights; 0 offline
	memory    compute.Memory
	limit     int64   // of the device; 0: unknown
	perToken  float64 // FLOPs without and with teacher
	kdToken   float64
	scoring   float64 // FLOPs of judging the candidates; 0: there are none
	executed  float64 // FLOPs of all steps as recorded
}

// planJob plans every training of the job on a device of that memory, 0 for any.
func planJob(job *Job, memory int64) ([]plan, error) {
	if job.Tokenizer.File != "" {
		tok, err := job.Tokenizer.Load()
		if err != nil {
			return nil, &Error{BadData, err}
		}
		if err := job.checkVocab(tok.VocabSize()); err != nil {
			return nil, err
		}
		job.Config = job.withTokenizer(tok.VocabSize(), tok.DocumentStart())
	}
	var plans []plan
	for _, t := range trainings(job, "") {
		p, err := t.plan(cmp.Or(t.memory, memory))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.label, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// plan records the training's programs and adds up.
func (t *training) plan(memory int64) (plan, error) {
	m := t.layOut(0)
	p, help := plan{label: t.label, ranks: max(1, t.ranks), model: t.Model, params: t.Model.Params(), limit: memory, perToken: t.Model.FLOPsPerToken(t.Train.Sequence)}, (*teaching)(nil)
	p.kdToken = p.perToken
	if t.Distill.Method != "baseline" {
		p.helped, p.withKD = true, t.Distill.TeacherSteps(t.Train.Steps)
		var teacher *model.Model
		if !t.Distill.Smooths() {
			if err := t.meetTeacher(); err != nil {
				return p, err
			}
			p.kdToken += t.teacherModel().FLOPsPerToken(t.Train.Sequence) / 3
			if !t.Distill.Offline() {
				teacher = model.New(t.teacherModel(), t.name+".teacher", false)
				for _, b := range teacher.Buckets {
					p.teacher += b.P.Bytes()
				}
			}
		}
		help = t.help(teacher, nil)
		if t.Select != nil { // at most: the text may hold fewer
			p.scoring = t.judge.Model.FLOPsPerToken(t.Train.Sequence) / 3 * float64(t.Select.Candidates*int64(t.Train.Sequence))
		}
	}
	objectives := help.objectives()
	c, _ := model.ChooseShare(m, t.Train, p.ranks*t.finer(), memory, objectives...) // where nothing fits it is the smallest: tooLarge tells
	c, err := t.forTeachers(c)
	if err != nil {
		return p, err
	}
	trainer, err := model.Programs(m, c, objectives...)
	if err != nil {
		return p, err
	}
	p.train, p.memory = c, trainer.Memory
	for _, b := range m.Buckets {
		p.weights += b.P.Bytes()
		p.gradients += b.Grad.Bytes()
		for _, s := range []*compute.Storage{b.Mean, b.MeanSq} {
			if s != nil { // else other ranks have it
				p.optimizer += s.Bytes()
			}
		}
	}
	p.executed = p.scoring + float64(trainer.FLOPs(0))*float64(c.Steps-p.withKD)
	if p.withKD > 0 {
		p.executed += float64(trainer.FLOPs(1)) * float64(p.withKD)
	}
	return p, nil
}

func (p plan) tokensPerStep() int64 { return int64(p.train.Batch) * int64(p.train.Sequence) }

func (p plan) tokens() int64 { return p.train.Steps * p.tokensPerStep() }

// flops is the model's arithmetic of all steps, and of scoring before them.
func (p plan) flops() float64 {
	return p.scoring + float64(p.tokensPerStep())*(float64(p.withKD)*p.kdToken+float64(p.train.Steps-p.withKD)*p.perToken)
}

// checkpoint is the size of the weights and of the optimizer's two moments, each in float32.
func (p plan) checkpoint() int64 { return 3 * 4 * p.params }

func (p plan) fits() bool { return p.limit == 0 || p.memory.Total() <= p.limit }

// tooLarge is an error when a training does not fit.
func tooLarge(plans []plan) error {
	for _, p := range plans {
		if !p.fits() {
			remedy := "shorten the sequence or take a smaller model"
			if p.train.Microbatch > 1 {
				remedy = "lower the microbatch, or leave it out"
			}
			return fail(NoMemory, "%s needs %s at a microbatch of %d, and there are %s; %s",
				p.label, compute.Bytes(p.memory.Total()), p.train.Microbatch, compute.Bytes(p.limit), remedy)
		}
	}
	return nil
}
