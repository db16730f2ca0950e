package model

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"saltern/compute"
)

// Sampling says how the next token is drawn from the logits.
type Sampling struct {
	Temperature float64 // divides the logits; 0 takes the most likely token
	TopK        int     // only the K most likely; 0: all
	TopP        float64 // only the most likely that together reach this probability; 0 or 1: all
	Seed        int64
	Never       []uint32 // ids that are not drawn, ascending
}

// Generator continues sequences of tokens. It computes the whole window anew for each token.
type Generator struct {
	m       *Model
	backend compute.Backend
	tokens  *Tokens
	last    *compute.Tensor // Host U32 [1]: the row whose logits are wanted
	order   *compute.Tensor
	logits  *compute.Tensor // Host [1, V]
	run     compute.Executable
	ids     []uint32
	labels  []uint32
	scratch []float32
}

// NewGenerator loads what generation needs; window is the longest context in tokens, at most the model's.
func NewGenerator(b compute.Backend, m *Model, window int) (*Generator, error) {
	g := &Generator{
		m: m, backend: b, tokens: NewTokens(1, window),
		last: compute.NewTensor(compute.Host, "row", compute.U32, 1), order: compute.NewTensor(compute.Host, "row_order", compute.U32, 1),
		logits: compute.NewTensor(compute.Host, "logits", compute.F32, 1, m.Vocab),
		ids:    make([]uint32, window), labels: make([]uint32, window), scratch: make([]float32, m.Vocab),
	}
	r := compute.NewRecorder()
	row := r.Embed(m.Hidden(r, g.tokens), g.last, g.order) // picks one row of the hidden states
	r.Record("matmul", compute.MatMul{Form: compute.NT}, []*compute.Tensor{row, m.Head()}, g.logits)
	p, err := r.Finish()
	if err != nil {
		return nil, err
	}
	exes, err := b.Load(p)
	if err != nil {
		return nil, err
	}
	g.run = exes[0]
	return g, nil
}

// Close frees the program, not the model.
func (g *Generator) Close() {
	g.run.Close()
	g.backend.Free(append(g.tokens.Storages(), g.last.Storage, g.order.Storage, g.logits.Storage)...)
}

// Logits gives the logits [V] of the token after the given ones; only the last window of them counts.
func (g *Generator) Logits(context []uint32) ([]float32, error) {
	if n := len(g.ids); len(context) > n {
		context = context[len(context)-n:]
	}
	clear(g.ids)
	copy(g.ids, context)
	if err := g.tokens.Write(g.backend, g.ids, g.labels); err != nil {
		return nil, err
	}
	if err := g.backend.WriteU32(g.last, []uint32{uint32(len(context) - 1)}); err != nil {
		return nil, err
	}
	if err := g.run.Run(); err != nil {
		return nil, err
	}
	return g.scratch, g.backend.Read(g.logits, g.scratch)
}

// Generate continues prompt by up to n tokens, calling emit with each, until emit says no more.
func (g *Generator) Generate(ctx context.Context, prompt []uint32, n int, s Sampling, emit func(token uint32) bool) error {
	rng := rand.New(rand.NewPCG(uint64(s.Seed), 0x5a17))
	tokens := slices.Clone(prompt)
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		logits, err := g.Logits(tokens)
		if err != nil {
			return err
		}
		next := s.Draw(logits, rng)
		tokens = append(tokens, next)
		if !emit(next) {
			return nil
		}
	}
	return nil
}

// Draw picks a token by its logits.
func (s Sampling) Draw(logits []float32, rng *rand.Rand) uint32 {
	ids := make([]uint32, 0, len(logits))
	for i := range uint32(len(logits)) {
		if _, never := slices.BinarySearch(s.Never, i); !never {
			ids = append(ids, i)
		}
	}
	// Most likely first, ties by id, so that a draw depends on the logits and the seed alone.
	slices.SortFunc(ids, func(a, b uint32) int {
		if c := cmp.Compare(logits[b], logits[a]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	if s.Temperature == 0 {
		return ids[0]
	}
	if s.TopK > 0 && s.TopK < len(ids) {
		ids = ids[:s.TopK]
	}
	p := make([]float64, len(ids))
	var sum float64
	for i, id := range ids {
		p[i] = math.Exp(float64(logits[id]-logits[ids[0]]) / s.Temperature)
		sum += p[i]
	}
	if s.TopP > 0 && s.TopP < 1 {
		kept := 0.0
		for i := range p {
			kept += p[i]
			if kept >= s.TopP*sum {
				p, sum = p[:i+1], kept
				break
			}
		}
	}
	x := rng.Float64() * sum
	for i, v := range p {
		if x -= v; x < 0 {
			return ids[i]
		}
	}
	return ids[len(p)-1]
}
