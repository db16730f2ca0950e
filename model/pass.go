package model

import "saltern/compute"

// pass is a program over B sequences of T tokens at a time on one backend, with the tokens that it reads.
type pass struct {
	B, T int

	program *compute.Program
	exe     compute.Executable
	backend compute.Backend
	tokens  *Tokens
	ids     []uint32
	labels  []uint32
	own     []*compute.Tensor // freed with the tokens

	// Seen is what each row of the microbatch sees, [N,2], where the tokens have spans. A Fill sets it, or leaves it as it is for
	// each microbatch: all rows of the sequence up to the row itself. Nil: no Fill has a say in it.
	Seen   []uint32
	causal []uint32
}

func newPass(tokens *Tokens, own ...*compute.Tensor) pass {
	n := tokens.B * tokens.T
	p := pass{B: tokens.B, T: tokens.T, tokens: tokens, ids: make([]uint32, n), labels: make([]uint32, n), own: own}
	if tokens.spans != nil && tokens.documents == nil {
		p.causal = compute.Spans(n, tokens.T, nil, nil)
		p.Seen = make([]uint32, 2*n)
	}
	return p
}

// record makes the program.
func (p *pass) record(f func(r *compute.Recorder)) (err error) {
	r := compute.NewRecorder()
	f(r)
	p.program, err = r.Finish()
	return err
}

// Program is what is run, for plans and for the choice of kernels.
func (p *pass) Program() *compute.Program { return p.program }

// Load puts the program on a backend.
func (p *pass) Load(b compute.Backend) error {
	exes, err := b.Load(p.program)
	if err != nil {
		return err
	}
	p.backend, p.exe = b, exes[0]
	return nil
}

// Close frees the program and what it reads and writes, not the model.
func (p *pass) Close() {
	if p.backend == nil {
		return
	}
	p.exe.Close()
	list := p.tokens.Storages()
	for _, t := range p.own {
		list = append(list, t.Storage)
	}
	p.backend.Free(list...)
	p.backend = nil
}

// read gives the backend the tokens of the sequences from first on.
func (p *pass) read(fill Fill, first int) error {
	copy(p.Seen, p.causal)
	if err := fill(first, p.ids, p.labels); err != nil {
		return err
	}
	if p.Seen != nil {
		if err := p.tokens.WriteSpans(p.backend, p.Seen); err != nil {
			return err
		}
	}
	return p.tokens.Write(p.backend, p.ids, p.labels)
}
