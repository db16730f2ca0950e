package model

import "saltern/compute"

// Scorer judges text token by token on one backend, B sequences of T tokens at a time.
type Scorer struct {
	Model *Model
	B, T  int

	program *compute.Program
	exe     compute.Executable
	backend compute.Backend
	tokens  *Tokens
	nll     *compute.Tensor // Host [N]
	rank    *compute.Tensor // Host [N] uint32
	ids     []uint32
	labels  []uint32
}

// NewScorer records the forward pass in the model's precision and what is to be known of each token.
func NewScorer(m *Model, b, t int) (*Scorer, error) {
	s := &Scorer{
		Model: m, B: b, T: t, tokens: NewTokens(b, t), nll: host("nll", b*t), rank: compute.NewTensor(compute.Host, "rank", compute.U32, b*t),
		ids: make([]uint32, b*t), labels: make([]uint32, b*t),
	}
	r := compute.NewRecorder()
	r.LinearRank(compute.RankInputs{
		Hidden: m.Hidden(r, s.tokens), Weight: m.Head(), Labels: s.tokens.Labels, Precision: m.Precision, NLL: s.nll, Rank: s.rank,
	})
	p, err := r.Finish()
	s.program = p
	return s, err
}

// Program is what is run, for plans and for the choice of kernels.
func (s *Scorer) Program() *compute.Program { return s.program }

// Load puts the program on a backend.
func (s *Scorer) Load(b compute.Backend) error {
	exes, err := b.Load(s.program)
	if err != nil {
		return err
	}
	s.backend, s.exe = b, exes[0]
	return nil
}

// Close frees the program and what it reads and writes, not the model.
func (s *Scorer) Close() {
	if s.backend == nil {
		return
	}
	s.exe.Close()
	s.backend.Free(append(s.tokens.Storages(), s.nll.Storage, s.rank.Storage)...)
	s.backend = nil
}

// Score gives the loss -log q(y) of each of B T tokens, in nats, and y's rank, how many tokens are likelier; of a masked one 0 and
// compute.Masked. fill is called once, with first = 0.
func (s *Scorer) Score(fill Fill, loss []float32, rank []uint32) error {
	if err := fill(0, s.ids, s.labels); err != nil {
		return err
	}
	if err := s.tokens.Write(s.backend, s.ids, s.labels); err != nil {
		return err
	}
	if err := s.exe.Run(); err != nil {
		return err
	}
	if err := s.backend.Read(s.nll, loss); err != nil {
		return err
	}
	return s.backend.ReadU32(s.rank, rank)
}
