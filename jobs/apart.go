package jobs

import (
	"fmt"

	"saltern/cluster"
	"saltern/cluster/wire"
	"saltern/model"
)

// apart is what of [cluster] decides the result of a training whose ranks train apart, each by itself for a round of steps.
type apart struct {
	Sync          string  `toml:"sync"`
	Ranks         int     `toml:"ranks"`
	LocalSteps    int64   `toml:"local_steps"`
	OuterLR       float64 `toml:"outer_lr"`
	OuterMomentum float64 `toml:"outer_momentum"`
	OuterDelay    int64   `toml:"outer_delay"`
	Wire          string  `toml:"wire"`
}

// apart is what the job says of that; nil where ranks take every step together, or there is one.
func (j *Job) apart() *apart {
	c := j.Cluster
	if j.ranks < 2 || !c.Local() {
		return nil
	}
	return &apart{c.Sync, j.ranks, c.LocalSteps, c.OuterLR, c.OuterMomentum, c.OuterDelay, c.Wire}
}

// roundUp is the first end of a round that is not before n steps.
func (a *apart) roundUp(n int64) int64 {
	if a == nil {
		return n
	}
	return (n + a.LocalSteps - 1) / a.LocalSteps * a.LocalSteps
}

func (a *apart) outer() model.OuterConfig {
	return model.OuterConfig{Every: a.LocalSteps, LR: a.OuterLR, Momentum: a.OuterMomentum, Delay: a.OuterDelay}
}

// sums are the ways of a model's buckets to the other ranks, n of them.
func (a *apart) sums(g group, n int) (list []model.Sum) {
	f := cluster.Config{Wire: a.Wire}.Format()
	sum := g.Stream("outer").With(f)
	for range n {
		if f == wire.Float32 {
			list = append(list, model.Sum{Exchange: sum})
			continue
		}
		lost := &wire.Feedback{}
		list = append(list, model.Sum{Exchange: sum.Feedback(lost), Lost: lost})
	}
	return list
}

// settleRounds lets all wait for the end of a round that waits for it: the ends of stages and windows, evaluations, checkpoints. It
// says what it changes.
func (j *Job) settleRounds(say func(string)) error {
	a := j.apart()
	if a == nil {
		return nil
	}
	up := func(key string, n *int64, most int64) {
		if to := min(a.roundUp(*n), most); to > *n {
			say(fmt.Sprintf("%s = %d becomes %d, the end of a round of cluster.local_steps = %d", key, *n, to, a.LocalSteps))
			*n = to
		}
	}
	for _, m := range []struct {
		key string
		*model.TrainConfig
	}{{"slm.train", &j.SLM.Train}, {"llm.train", &j.LLM.Train}} {
		if m.Steps > 0 {
			up(m.key+".eval_every", &m.EvalEvery, m.Steps)
			up(m.key+".checkpoint_every", &m.CheckpointEvery, m.Steps)
		}
	}
	d, steps := &j.Distill, j.LLM.Train.Steps
	if !d.Staged() {
		return nil
	}
	if d.Auto() {
		up("distill.window", &d.Window, a.roundUp(steps))
	} else if a.roundUp(d.KDSteps) >= steps {
		return fail(BadConfig, "%s: cluster.local_steps = %d lets stage 1, distill.kd_steps = %d, end with its round at step %d, and the LLM has %d steps; lower local_steps",
			j.File, a.LocalSteps, d.KDSteps, a.roundUp(d.KDSteps), steps)
	}
	up("distill.kd_steps", &d.KDSteps, steps)
	if n := j.stageOne(); d.Method == "salt-ds" && j.Select.Keep < n { // as many sequences as stage 1 reads now
		j.Select.Keep, j.Select.Candidates = n, max(n, j.Select.Candidates)
	}
	return nil
}
