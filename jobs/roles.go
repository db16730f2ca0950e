package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"saltern/cluster"
	"saltern/cluster/wire"
	"saltern/compute"
	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/ul2"
)

// Ranks may have roles. In stage 1 the last of them, as they are seated (seating.go), are teachers, which run the SLM ahead of the others and
// send its soft labels; the others are students. At the end of stage 1 the teachers become students, as far as their devices can hold the
// model: these ranks meet between two steps, the first gives weights, optimizer state and what else a step depends on to the newcomers, and
// from there the batch is shared by all of them. Every other training has students only.

// teaches says that the job has ranks that teach.
func (c Config) teaches() bool {
	return c.Cluster.Teachers > 0 && c.Distill.Method != "baseline" && !c.Distill.Smooths()
}

// checkRoles refuses ranks that would have nothing to teach.
func (c Config) checkRoles(bad func(key, message string)) {
	const may = `roles = "auto" may have ranks that teach, and %s; leave out one of the two`
	switch n := c.Cluster.Teachers; {
	case c.Cluster.Roles == cluster.RolesAuto && c.Cluster.ShardOptimizer:
		bad("cluster.roles", fmt.Sprintf(may, "shard_optimizer = true wants the same ranks from step to step"))
	case c.Cluster.Roles == cluster.RolesAuto && c.Cluster.Local():
		bad("cluster.roles", fmt.Sprintf(may, `sync = "local" has ranks that train apart`))
	case c.Cluster.Roles == cluster.RolesAuto && c.Cluster.Elastic:
		bad("cluster.roles", fmt.Sprintf(may, "elastic = true has others go on than began"))
	case n <= 0:
	case c.Distill.Method == "baseline":
		bad("cluster.teachers", fmt.Sprintf(`teachers = %d have nobody to teach: distill.method = "baseline" has no teacher; leave teachers out, or use "rkd" or "salt"`, n))
	case c.Distill.Smooths():
		bad("cluster.teachers", fmt.Sprintf(`teachers = %d have no model to run: distill.teacher = %q knows its answer without one; leave teachers out, or use the teacher "slm" or "self"`, n, c.Distill.Teacher))
	case c.Cluster.ShardOptimizer:
		bad("cluster.shard_optimizer", fmt.Sprintf("shard_optimizer cuts the optimizer's state for a number of ranks that does not change, and cluster.teachers = %d begin to train in the middle; leave out one of the two", n))
	case c.Cluster.Local():
		bad("cluster.sync", fmt.Sprintf(`sync = "local" has ranks that train apart, and cluster.teachers = %d join them in the middle; leave out one of the two`, n))
	case c.Cluster.Elastic:
		bad("cluster.elastic", fmt.Sprintf("elastic = true has those go on that are left, and cluster.teachers = %d would not be who they were; leave out one of the two", n))
	case c.Distill.Offline():
		bad("cluster.teachers", fmt.Sprintf(`teachers = %d make soft labels while the students train, and distill.labels = "offline" reads them from a file; leave out one of the two`, n))
	}
}

// giveRoles makes the training one whose teacher is on other ranks: what it learns from is what a file of soft labels would hold.
func (t *training) giveRoles(c cluster.Config, memory int64) {
	t.Distill.Labels, t.teaching = "offline", memory
	t.teachers, t.prefetch, t.keepLabels = c.Teachers, c.Prefetch, c.KeepLabels
}

// enoughStudents refuses trainings whose teachers leave no rank to train.
func enoughStudents(s *session, list []*training) error {
	for _, t := range list {
		if n := s.ranks.size(); t.teachers >= n {
			ranks := fmt.Sprintf("%d ranks", n)
			if n == 1 {
				ranks = "a process that is alone"
			}
			return fail(BadConfig, "%s: cluster.teachers = %d of %s leaves no student for %s; start %d ranks or more (saltern launch -n), or set cluster.teachers to less, 0 for none",
				s.job.File, t.teachers, ranks, t.label, t.teachers+1)
		}
	}
	return nil
}

// stage is stage 1 of a training whose ranks have roles, on a student.
type stage struct {
	distill.Roles
	wait   labelWait
	keeper *keeper      // on the first rank, where labels are kept
	file   *labels.File // of those that were kept before; nil: there are none to be read
}

// roles are those of the training's ranks in stage 1; nil where all are students all the time.
func (l *loop) roles() *distill.Roles {
	if l.teachers == 0 {
		return nil
	}
	return &distill.Roles{Students: l.s.ranks.size() - l.teachers, Teachers: l.teachers, Batch: l.Train.Batch, Microbatch: l.Train.Microbatch}
}

// inRoles trains with each rank in its role.
func (l *loop) inRoles(ctx context.Context) (*outcome, error) {
	r := l.roles()
	if r == nil {
		if err := l.ready(); err != nil {
			return nil, err
		}
		return l.run(ctx)
	}
	all := l.s.ranks
	teacher := all.Rank() >= r.Students
	if !teacher {
		if err := all.among(r.Students, l.ready); err != nil {
			return nil, err
		}
	}
	var writer *labels.Writer
	var has *keptMicrobatches
	if l.keepLabels && all.leads() && l.helped() {
		var err error
		if writer, has, err = l.openKept(); err != nil {
			return nil, err
		}
	}
	now, err := l.situation(has)
	if now.Kept != nil && now.Kept.count() > 0 {
		l.s.say("%s: the soft labels of %d microbatches are kept from before, and not made again", l.label, now.Kept.count())
	}
	switch {
	case err != nil && writer != nil:
		return nil, errors.Join(err, writer.Close())
	case err != nil:
		return nil, err
	case now.Helped && teacher:
		return l.teach(ctx, *r, now)
	case now.Helped:
		return l.learn(ctx, *r, now.Kept.kept(), writer)
	}
	return l.stageTwo(ctx, teacher) // after stage 1
}

// stageTwo trains with all ranks that can hold the model, while the rest wait.
func (l *loop) stageTwo(ctx context.Context, newcomer bool) (*outcome, error) {
	if l.rests(l.s.ranks) {
		return l.rest(ctx, l.s)
	}
	l.s.ranks.narrow(l.training.ranks)
	l.s.ranks.heed()
	err := l.meet(newcomer)
	if err != nil {
		return nil, err
	}
	o, err := l.run(ctx)
	return o, l.s.ranks.part(err)
}

// ready loads the programs and takes up where the last checkpoint is.
func (l *loop) ready() error {
	if err := l.trainer.Load(l.tracer); err != nil {
		return err
	}
	return badCheckpoint(l.restore(), "or move the damaged folder and the file `latest` beside it away, and the same command goes on from what is left")
}

// learn is a student's part, to the training's end. On the first rank what the teachers say is written by w, if that is not nil.
func (l *loop) learn(ctx context.Context, r distill.Roles, kept *distill.Kept, w *labels.Writer) (o *outcome, err error) {
	all := l.s.ranks
	all.narrow(r.Students)
	all.shares = nil // even, as the teachers take them to be
	l.stage = &stage{Roles: r, wait: newLabelWait(r)}
	coder, err := labels.NewCoder(l.labelSettings())
	if err == nil {
		l.stage.file, err = l.readKept(kept)
	}
	if err != nil {
		return nil, err
	}
	l.teaching.subscriber = &distill.Subscriber{
		Roles: r, Rank: all.Rank(), Mail: all.whole.Stream(l.mail()), Coder: coder, Ghost: l.Distill.Ghost(), Prefetch: l.prefetch, Kept: kept,
		Asked: func() { all.asked.Store(true) },
	}
	if w != nil {
		if l.stage.keeper, err = l.keep(*l.teaching.subscriber, w, l.Distill.TeacherSteps(l.Train.Steps)); err != nil {
			return nil, err
		}
	}
	o, err = l.run(ctx)
	l.endStage()
	return o, all.part(err)
}

// mail is the stream that the training's labels take.
func (l *loop) mail() string { return "labels-" + l.name + "-" + l.labelSettings().Key() }

// endStage ends stage 1 on a student, if it is not over.
func (l *loop) endStage() {
	if l.stage == nil {
		return
	}
	l.stage.keeper.end(l.step)
	l.teaching.unsubscribe()
	if l.stage.file != nil {
		_ = l.stage.file.Close() // it was only read
	}
	l.stage = nil
}

// regroup ends stage 1 before a step that the teacher does not help in: the teachers' ranks become students.
func (l *loop) regroup() error {
	if l.stage == nil || l.helped() {
		return nil
	}
	all := l.s.ranks
	l.endStage()
	if err := all.tellRest(verdict{}); err != nil {
		return err
	}
	all.narrow(l.training.ranks)
	all.heed()
	if all.leads() {
		l.s.say("%s: step %d: the teacher helps no more, and %s", l.label, l.step, l.whoTrainsNow())
	}
	return l.meet(false)
}

// whoTrainsNow words who trains in stage 2.
func (l *loop) whoTrainsNow() string {
	all, students := l.s.ranks, l.s.ranks.world()-l.teachers
	switch rest := all.world() - l.training.ranks; {
	case rest == 0:
		return fmt.Sprintf("its ranks train as well: %d in all", all.size())
	case students == all.size():
		return fmt.Sprintf("its ranks, too small or too slow to train, wait for the %d that do", students)
	default:
		return fmt.Sprintf("its ranks train as well, but for %d that are too small or too slow: %d in all", rest, all.size())
	}
}

// helped says that the teacher helps in the next step.
func (l *loop) helped() bool {
	ended := l.state.Auto != nil && l.state.Auto.Stopped()
	return l.step < l.Train.Steps && l.Distill.WeightAt(l.step, l.Train.Steps) > 0 && !ended
}

// situation is where a training stands beside its tensors, which is all that its next step depends on besides the job.
type situation struct {
	Step, Saved int64
	InARow      int
	Due         bool
	Scale       model.LossScale
	State       progressState
	Helped      bool
	Kept        *keptMicrobatches // nil: labels are not kept
}

// situation gives all ranks that of the first.
func (l *loop) situation(kept *keptMicrobatches) (now situation, err error) {
	all := l.s.ranks
	text, err := json.Marshal(situation{l.step, l.saved, l.inARow, l.due, l.trainer.Scale, l.state, l.helped(), kept})
	if err == nil {
		text, err = all.spread(all.all, text)
	}
	if err != nil {
		return now, err
	}
	return now, json.Unmarshal(text, &now)
}

// meet makes all ranks students: newcomers load the programs and get what the others have.
func (l *loop) meet(newcomer bool) error {
	if newcomer {
		if err := l.trainer.Load(l.tracer); err != nil {
			return err
		}
	}
	if err := l.handOver(newcomer); err != nil {
		return err
	}
	return l.openShares(true)
}

// handOver gives newcomers where the training stands, with weights and optimizer state bucket by bucket, from the first rank.
func (l *loop) handOver(newcomer bool) error {
	now, err := l.situation(nil)
	if err != nil {
		return err
	}
	if newcomer {
		l.step, l.saved, l.inARow, l.due, l.trainer.Scale, l.state = now.Step, now.Saved, now.InARow, now.Due, now.Scale, now.State
		l.ended = now.Step
		if l.order, err = l.dataOrder(l.s); err != nil {
			return err
		}
	}
	all := l.s.ranks
	err = l.model.Replicate(l.s.device, all.leads(), newcomer, func(x []float32) error { return all.Broadcast(all.all, 0, wire.Bytes(x)) })
	if err != nil {
		return all.waited(all.all, err)
	}
	return nil
}

// teach is a teacher's part from where the training stands: labels until stage 1 ends, and then that of a student. The LLM comes onto the device only
// when the SLM has left it.
func (l *loop) teach(ctx context.Context, r distill.Roles, now situation) (*outcome, error) {
	v, err := l.publish(ctx, r, now.Step, now.Kept.kept())
	all := l.s.ranks
	switch {
	case err != nil:
		return nil, err
	case v.Over || v.Kind != OK:
		return l.told(all, v)
	}
	return l.stageTwo(ctx, true)
}

// publish labels for the students until the first rank says that stage 1 is over.
func (l *loop) publish(ctx context.Context, r distill.Roles, from int64, kept *distill.Kept) (verdict, error) {
	all := l.s.ranks
	p, free, err := l.publisher(ctx, r)
	if err != nil {
		return verdict{}, err
	}
	var device sync.Mutex // of who labels, or is examined
	defer func() {
		device.Lock()
		defer device.Unlock()
		free()
	}()
	p.Kept, p.Device = kept, &device
	l.s.say("%s: this rank runs the teacher from step %d on, for %d students", l.label, from, r.Students)
	all.voice.teaches(l, from)
	type heard struct {
		verdict
		err error
	}
	working, stop := context.WithCancel(all.all)
	defer stop()
	labeled, told := make(chan error, 1), make(chan heard, 1)
	go func() { labeled <- p.Run(working, from, l.Distill.TeacherSteps(l.Train.Steps)) }()
	go func() {
		v, err := l.hearEnd(working, &device, p.Labeler.Program())
		told <- heard{v, err}
	}()
	select {
	case h := <-told:
		stop()
		<-labeled // an error is that of the end
		return h.verdict, h.err
	case err := <-labeled:
		if err != nil {
			return verdict{}, all.waited(all.all, err)
		}
	}
	h := <-told
	return h.verdict, h.err
}

// publisher loads the teacher, until free is called.
func (l *loop) publisher(ctx context.Context, r distill.Roles) (p *distill.Publisher, free func(), err error) {
	work, err := l.labeling(l.s)
	if err != nil {
		return nil, nil, err
	}
	coder, err := labels.NewCoder(work.Settings)
	if err != nil {
		return nil, nil, err
	}
	order, err := l.dataOrder(l.s)
	if err != nil {
		return nil, nil, err
	}
	maker, free, err := l.labeler(work)
	if err != nil {
		return nil, nil, err
	}
	all, text, T := l.s.ranks, l.s.set.Train, l.Train.Sequence
	order = l.orderAt(order, 0)
	next := int64(0) // the step whose labels are made
	p = &distill.Publisher{
		Roles: r, Rank: all.Rank(), Mail: all.whole.Stream(l.mail()), Labeler: maker, Coder: coder,
		Sequence: func(sample int64) int64 {
			next = sample/int64(l.Train.Batch) + 1
			return work.denoising.number(order, text.Sequences(T), sample)
		},
		Read: func(number int64, x ul2.Example) error {
			return errors.Join(l.s.spoil(next), work.denoising.example(text, number, x))
		},
		Asked: func() bool { return ctx.Err() != nil },
	}
	if l.keepLabels {
		p.Copies = all.whole.Stream(l.keptMail())
	}
	return p, free, nil
}

// labeler puts the teacher on the device, until free is called.
func (l *loop) labeler(work *labeling) (maker *distill.Labeler, free func(), err error) {
	d := l.s.device
	teacher, _, err := model.Load(d, l.teacherCheckpoints(), "labels.teacher")
	if err != nil {
		return nil, nil, badCheckpoint(err, "")
	}
	if maker, err = distill.NewLabeler(teacher, work.Settings, l.Train.Microbatch); err == nil {
		err = maker.Load(d)
	}
	if err != nil {
		d.Free(teacher.Storages()...)
		return nil, nil, err
	}
	return maker, func() {
		maker.Close()
		d.Free(teacher.Storages()...)
	}, nil
}

// settleLabeler chooses the kernels that the teachers' ranks run the teacher with, which are those that a file of its labels is made
// with.
func (t *training) settleLabeler(ctx context.Context, s *session) error {
	if t.teachers == 0 {
		return nil
	}
	work, err := t.labeling(s)
	if err != nil {
		return err
	}
	maker, err := distill.NewLabeler(model.New(t.teacherModel(), "labels.teacher", false), work.Settings, t.Train.Microbatch)
	if err != nil {
		return err
	}
	if err := s.ranks.first(ctx, func() error { return os.MkdirAll(work.dir, 0o777) }); err != nil {
		return err
	}
	return s.ranks.firstOfNode(ctx, func() error {
		return s.settleKernels(ctx, "labels", work.dir, []*compute.Program{maker.Program()})
	})
}
