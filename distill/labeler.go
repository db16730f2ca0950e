package distill

import (
	"cmp"
	"fmt"
	"slices"

	"saltern/compute"
	"saltern/distill/labels"
	"saltern/model"
	"saltern/model/ul2"
)

// Labeler makes a teacher's soft labels, B sequences at a time. The distribution that they are taken from never leaves the
// device, nor does it exist for more than a chunk of tokens at once.
//
// The draws depend on the seed and on a token's place in the text alone, so a sequence is labeled alike in any company.
type Labeler struct {
	B int

	settings  labels.Settings
	program   *compute.Program
	exe       compute.Executable
	backend   compute.Backend
	tokens    *model.Tokens
	out       *compute.SoftLabels
	sharpness *compute.Tensor // Host [1]: 1/T
	index     *compute.Tensor // Host [N] uint32: the tokens' numbers
	seed      *compute.Tensor // Host [4] uint32
	made      *labels.Labels
	ids, next []uint32 // [N] inputs and the tokens after them
	seen      []uint32 // [N,2] what each of them sees; nil: those before it
	numbers   []uint32
}

// NewLabeler records the teacher's forward pass and what is kept of it.
func NewLabeler(teacher *model.Model, s labels.Settings, b int) (*Labeler, error) {
	n := b * s.Sequence
	teacher.Precision = model.TrainConfig{Precision: s.Precision}.DType()
	l := &Labeler{
		B: b, settings: s, tokens: model.TrainConfig{Objective: s.Objective, DocumentMasks: s.DocumentMasks, EndOfText: s.EndOfText, Microbatch: b, Sequence: s.Sequence}.NewTokens(), out: compute.NewSoftLabels(compute.Host, n, s.Count, s.Form == labels.Sample),
		sharpness: compute.NewTensor(compute.Host, "sharpness", compute.F32, 1), made: labels.New(n, s.Count),
		ids: make([]uint32, n), next: make([]uint32, n), numbers: make([]uint32, n),
	}
	if s.Objective == model.UL2 {
		l.seen = compute.Spans(n, s.Sequence, nil, nil) // also for what is left empty in a last batch
	}
	if s.Form == labels.Sample {
		l.index, l.seed = compute.NewTensor(compute.Host, "index", compute.U32, n), compute.NewTensor(compute.Host, "seed", compute.U32, 4)
	}
	r := compute.NewRecorder()
	r.SoftLabels(compute.SoftLabelInputs{
		Hidden: r.Cast(teacher.Hidden(r, l.tokens), teacher.Precision), Weight: r.Cast(teacher.Head(), teacher.Precision), Labels: l.tokens.Labels,
		Sharpness: l.sharpness, Keep: s.Count, Index: l.index, Seed: l.seed, Into: l.out,
	})
	p, err := r.Finish()
	l.program = p
	return l, err
}

// Program is what a batch runs.
func (l *Labeler) Program() *compute.Program { return l.program }

// Load puts the program on a backend.
func (l *Labeler) Load(b compute.Backend) error {
	exes, err := b.Load(l.program)
	if err != nil {
		return err
	}
	l.backend, l.exe = b, exes[0]
	if err := b.Write(l.sharpness, []float32{float32(1 / l.settings.Temperature)}); err != nil || l.seed == nil {
		return err
	}
	return b.WriteU32(l.seed, []uint32{uint32(l.settings.Seed), uint32(uint64(l.settings.Seed) >> 32), 0, 0})
}

// Close frees the program and what it reads and writes, not the teacher.
func (l *Labeler) Close() {
	if l.backend == nil {
		return
	}
	l.exe.Close()
	list := append(l.tokens.Storages(), l.sharpness.Storage, l.out.IDs.Storage, l.out.Q.Storage, l.out.Stats.Storage, l.out.Rank.Storage)
	for _, t := range []*compute.Tensor{l.out.Tail, l.index, l.seed} {
		if t != nil {
			list = append(list, t.Storage)
		}
	}
	l.backend.Free(list...)
	l.backend = nil
}

// Make labels at most B sequences, which read makes examples of. The result holds T tokens for each and is overwritten by the next.
func (l *Labeler) Make(sequences []int64, read func(sequence int64, x ul2.Example) error) (*labels.Labels, error) {
	T := l.settings.Sequence
	if len(sequences) > l.B {
		return nil, fmt.Errorf("bug: %d sequences for a labeler of %d", len(sequences), l.B)
	}
	for i, s := range sequences {
		x := ul2.Example{IDs: l.ids[i*T : (i+1)*T], Labels: l.next[i*T : (i+1)*T]}
		if l.seen != nil {
			x.Seen = l.seen[2*i*T : 2*(i+1)*T]
		}
		if err := read(s, x); err != nil {
			return nil, err
		}
		for t := range T {
			l.numbers[i*T+t] = uint32(s*int64(T) + int64(t)) // the same numbers again after 2^32 tokens, for another q
		}
	}
	if err := l.tokens.Write(l.backend, l.ids, l.next); err != nil {
		return nil, err
	}
	if l.seen != nil {
		if err := l.tokens.WriteSpans(l.backend, l.seen); err != nil {
			return nil, err
		}
	}
	if l.index != nil {
		if err := l.backend.WriteU32(l.index, l.numbers); err != nil {
			return nil, err
		}
	}
	if err := l.exe.Run(); err != nil {
		return nil, err
	}
	return l.made.Rows(0, len(sequences)*T), l.collect()
}

// collect copies what the program made, ascending, for the tokens that are predicted.
func (l *Labeler) collect() error {
	if err := l.backend.ReadU32(l.out.IDs, l.made.IDs); err != nil {
		return err
	}
	if err := l.backend.Read(l.out.Q, l.made.Q); err != nil {
		return err
	}
	if err := l.backend.Read(l.out.Stats, l.made.Stats); err != nil {
		return err
	}
	if l.out.Tail != nil {
		if err := l.backend.Read(l.out.Tail, l.made.Tail); err != nil {
			return err
		}
		l.ascend()
	}
	l.blank()
	return nil
}

// ascend sorts the likeliest ids of each token; draws are sorted already.
func (l *Labeler) ascend() {
	type kept struct {
		id uint32
		q  float32
	}
	row, k := make([]kept, l.settings.Count), l.settings.Count
	for at := 0; at < len(l.made.IDs); at += k {
		for j := range row {
			row[j] = kept{l.made.IDs[at+j], l.made.Q[at+j]}
		}
		slices.SortFunc(row, func(a, b kept) int { return cmp.Compare(a.id, b.id) })
		for j, x := range row {
			l.made.IDs[at+j], l.made.Q[at+j] = x.id, x.q
		}
	}
}

// blank gives the tokens that are not predicted, of which nobody learns, the labels that take least: id 0 and no other.
func (l *Labeler) blank() {
	k := l.settings.Count
	for t, label := range l.next {
		if label != compute.Masked {
			continue
		}
		for j := t * k; j < (t+1)*k; j++ {
			l.made.IDs[j], l.made.Q[j] = compute.Masked, 0
		}
		l.made.IDs[t*k], l.made.Q[t*k], l.made.Tail[t] = 0, 1, 0
		clear(l.made.Stats[t*compute.LabelColumns : (t+1)*compute.LabelColumns])
	}
}
