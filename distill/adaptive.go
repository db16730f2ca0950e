package distill

import (
	"saltern/compute"
	"saltern/model"
)

// Adaptive is the loss l_w with a weight for each bucket of tokens, which Auto decides on. A training has one of its own.
type Adaptive struct {
	Source Source

	policy         *compute.Tensor // Host [PolicyLen]
	stats, witness *compute.Tensor // Host [N,StatsColumns], [N,WitnessColumns], of the microbatch recorded last
	rows           []float32       // both, as read
}

// Objective records the loss of a microbatch; Collect reads what it says of each token after it ran.
func (a *Adaptive) Objective(r *compute.Recorder, m *model.Model, hidden *compute.Tensor, t *model.Tokens, params *compute.Tensor, gradient bool) *compute.Tensor {
	n := t.B * t.T
	host := func(name string, shape ...int) *compute.Tensor {
		return compute.NewTensor(compute.Host, name, compute.F32, shape...)
	}
	a.policy, a.stats, a.witness = host("policy", compute.PolicyLen), host("token_stats", n, compute.StatsColumns), host("witness", n, compute.WitnessColumns)
	a.rows = make([]float32, n*(compute.StatsColumns+compute.WitnessColumns))
	in := inputs(a.Source, r, m, hidden, t, params, gradient)
	in.Policy, in.Stats, in.Witness = a.policy, a.stats, a.witness
	return r.LinearLoss(in)
}

// SetPolicy hands the weights of the next steps to the backend.
func (a *Adaptive) SetPolicy(b compute.Backend, s *Auto) error { return b.Write(a.policy, s.Policy()) }

// Collect adds the microbatch that ran last, of sequences of T tokens, to the sums; s and r are what it was weighed by.
func (a *Adaptive) Collect(b compute.Backend, T int, s *Auto, r Rule, sums *Sums) error {
	cut := a.stats.Len()
	stats, witness := a.rows[:cut], a.rows[cut:]
	if err := b.Read(a.stats, stats); err != nil {
		return err
	}
	if err := b.Read(a.witness, witness); err != nil {
		return err
	}
	vocab := 0
	if s.Edges == nil {
		vocab = r.Vocab
	}
	sums.Observe(stats, witness, T, r.Weight, s.weights(), vocab)
	return nil
}

// Storages lists the memory to be freed, that of the source apart.
func (a *Adaptive) Storages() []*compute.Storage {
	if a.policy == nil {
		return nil
	}
	return []*compute.Storage{a.policy.Storage, a.stats.Storage, a.witness.Storage}
}
