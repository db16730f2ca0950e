package compute

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"saltern/compute/ref"
)

// softTeacher is a small program around SoftLabels with its inputs.
type softTeacher struct {
	hidden, weight, labels, sharpness, index, seed *Tensor
	out                                            *SoftLabels
	n, d, v, keep                                  int
}

func newSoftTeacher(n, d, v, keep int, drawn bool) *softTeacher {
	m := &softTeacher{
		hidden: NewTensor(State, "hidden", F32, n, d), weight: NewTensor(State, "weight", F32, v, d),
		labels: NewTensor(Host, "labels", U32, n), sharpness: NewTensor(Host, "sharpness", F32, 1),
		out: NewSoftLabels(Host, n, keep, drawn), n: n, d: d, v: v, keep: keep,
	}
	if drawn {
		m.index, m.seed = NewTensor(Host, "index", U32, n), NewTensor(Host, "seed", U32, 4)
	}
	return m
}

// run fills the inputs and makes the soft labels of tokens numbered from first.
func (m *softTeacher) run(t *testing.T, b Backend, first uint32, hidden []float32) softResult {
	t.Helper()
	must(t, b.Write(m.hidden, hidden))
	must(t, b.Write(m.weight, gaussian(22, m.v*m.d, 1)))
	must(t, b.WriteU32(m.labels, someLabels(23, m.n, m.v)))
	must(t, b.Write(m.sharpness, []float32{0.8}))
	if m.index != nil {
		index := make([]uint32, m.n)
		for i := range index {
			index[i] = first + uint32(i)
		}
		must(t, b.WriteU32(m.index, index))
		must(t, b.WriteU32(m.seed, []uint32{11, 12, 13, 14}))
	}
	r := NewRecorder()
	r.SoftLabels(SoftLabelInputs{
		Hidden: m.hidden, Weight: m.weight, Labels: m.labels, Sharpness: m.sharpness, Keep: m.keep, Index: m.index, Seed: m.seed,
		Into: m.out, Chunk: 64,
	})
	p, err := r.Finish()
	must(t, err)
	exes, err := b.Load(p)
	must(t, err)
	must(t, exes[0].Run())
	exes[0].Close()
	s := softResult{make([]uint32, m.n*m.keep), make([]float32, m.n*m.keep), make([]float32, m.n), make([]float32, m.n*LabelColumns), make([]uint32, m.n)}
	must(t, b.ReadU32(m.out.IDs, s.ids))
	must(t, b.Read(m.out.Q, s.q))
	must(t, b.Read(m.out.Stats, s.stats))
	must(t, b.ReadU32(m.out.Rank, s.rank))
	if m.out.Tail != nil {
		must(t, b.Read(m.out.Tail, s.tail))
	}
	b.Free(p.Storages()...)
	return s
}

type softResult struct {
	ids            []uint32
	q, tail, stats []float32
	rank           []uint32
}

// distribution is the teacher's q of one token, in float64, and its label's statistics.
func (m *softTeacher) distribution(hidden []float32, i int) (q, stats, rank []float64) {
	q, stats, rank = make([]float64, m.v), make([]float64, LabelColumns), make([]float64, 1)
	ref.MatMul(wide(hidden[i*m.d:][:m.d]), wide(gaussian(22, m.v*m.d, 1)), q, 1, m.v, m.d, false, true)
	ref.Softmax(q, float64(float32(0.8)), []float64{float64(someLabels(23, m.n, m.v)[i])}, q, stats, rank, m.v)
	return q, stats, rank
}

// TestSoftLabels holds both forms, over a ragged last chunk, against the distribution computed by itself: at a small
// vocabulary, at an odd one, and at the largest in use.
func TestSoftLabels(t *testing.T) {
	for _, c := range []struct{ n, d, v, keep int }{{200, 32, 516, 20}, {70, 16, 3001, 50}, {66, 8, 1 << 18, 50}} {
		for _, drawn := range []bool{false, true} {
			t.Run(fmt.Sprintf("V=%d,drawn=%v", c.v, drawn), func(t *testing.T) {
				m, hidden := newSoftTeacher(c.n, c.d, c.v, c.keep, drawn), gaussian(21, c.n*c.d, 1)
				got := m.run(t, openTest(t), 100, hidden)
				for _, i := range []int{0, 1, 63, 64, c.n / 2, c.n - 1} { // edges of chunks, and the masked token
					q, stats, rank := m.distribution(hidden, i)
					compareTo(t, fmt.Sprintf("stats of token %d", i), got.stats[i*LabelColumns:][:LabelColumns], stats, 1e-4)
					// Two logits may change places within rounding.
					if d := float64(got.rank[i]) - rank[0]; math.Abs(d) > 1e-4*rank[0]+1 {
						t.Errorf("token %d: the label's rank is %d, want %v", i, got.rank[i], rank[0])
					}
					ids, own := got.ids[i*c.keep:][:c.keep], wide(got.q[i*c.keep:][:c.keep])
					if drawn {
						checkDraws(t, i, q, ids, own)
					} else {
						checkKept(t, i, q, ids, own, float64(got.tail[i]))
					}
				}
			})
		}
	}
}

// checkKept wants the ids of the largest q, in order, and the mass of the others.
func checkKept(t *testing.T, token int, q []float64, ids []uint32, own []float64, tail float64) {
	t.Helper()
	sorted, rest := slices.Sorted(slices.Values(q)), 1.0
	slices.Reverse(sorted)
	for j, id := range ids {
		rest -= q[id]
		if math.Abs(own[j]-sorted[j]) > 1e-4*sorted[j] || math.Abs(own[j]-q[id]) > 1e-4*q[id] {
			t.Fatalf("token %d: place %d has id %d with q %g; that id's is %g, that place's %g", token, j, id, own[j], q[id], sorted[j])
		}
	}
	if math.Abs(tail-rest) > 1e-4 {
		t.Errorf("token %d: the tail is %g, want %g", token, tail, rest)
	}
}

// checkDraws wants the draws of the reference, but for one that falls within rounding of its neighbour.
func checkDraws(t *testing.T, token int, q []float64, ids []uint32, own []float64) {
	t.Helper()
	want, weights := make([]float64, len(ids)), make([]float64, len(ids))
	ref.Sample(q, []float64{float64(100 + token)}, []float64{11, 12, 13, 14}, want, weights, len(q), len(ids))
	missing, sum := 0, 0.0
	for j, id := range ids {
		sum += own[j]
		if at := slices.Index(want, float64(id)); at < 0 || id != Masked && math.Abs(weights[at]-own[j]) > 1e-6 {
			missing++
		}
	}
	if missing > 1 || math.Abs(sum-1) > 1e-5 {
		t.Errorf("token %d: drew %v (weights %v, sum %g), want %v", token, ids, own, sum, want)
	}
}

// TestDrawsAreTheTokens: what is drawn for a token depends on its number, not on its place in a batch or chunk.
func TestDrawsAreTheTokens(t *testing.T) {
	d, hidden := openTest(t), gaussian(21, 130*16, 1)
	all := newSoftTeacher(130, 16, 1000, 30, true).run(t, d, 5, hidden)
	part := newSoftTeacher(20, 16, 1000, 30, true).run(t, d, 5+60, hidden[60*16:80*16])
	if !slices.Equal(all.ids[60*30:80*30], part.ids) || !slices.Equal(all.q[60*30:80*30], part.q) {
		t.Error("tokens 60 to 80 draw other ids in a batch of their own")
	}
	other := newSoftTeacher(20, 16, 1000, 30, true).run(t, d, 5+61, hidden[60*16:80*16])
	if slices.Equal(other.ids, part.ids) {
		t.Error("other numbers draw the same: the comparison cannot fail")
	}
}

// TestSoftLabelsMemory: however many tokens there are, the arena holds the logits of one chunk, and no more besides than the workspace of a matrix product.
func TestSoftLabelsMemory(t *testing.T) {
	for _, v := range []int{32768, 131072, 262144} {
		for _, n := range []int{4096, 65536} {
			for _, drawn := range []bool{false, true} {
				m := newSoftTeacher(n, 64, v, 50, drawn)
				r := NewRecorder()
				r.SoftLabels(SoftLabelInputs{
					Hidden: m.hidden, Weight: m.weight, Labels: m.labels, Sharpness: m.sharpness, Keep: m.keep, Index: m.index, Seed: m.seed, Into: m.out,
				})
				p, err := r.Finish()
				must(t, err)
				logits := lossChunk(n, 64, v) * v
				if p.Arena < logits || p.Arena > logits+maxWorkspace || logits > maxLossLogits {
					t.Errorf("V %d, N %d: the arena has %d elements, want %d, at most %d, and a product's workspace", v, n, p.Arena, logits, maxLossLogits)
				}
			}
		}
	}
}

// TestGenerationStep: the operations draw a next token from the k most likely at a temperature, on one row, as generation
// would: top_k, softmax of what it kept, one draw of a place among these.
func TestGenerationStep(t *testing.T) {
	const v, k, steps = 5000, 8, 300
	d := openTest(t)
	logits, sharpness := NewTensor(State, "logits", F32, 1, v), NewTensor(Host, "sharpness", F32, 1)
	index, seed := NewTensor(Host, "index", U32, 1), NewTensor(Host, "seed", U32, 4)
	kept, place := NewTensor(Host, "kept", U32, 1, k), NewTensor(Host, "place", U32, 1, 1)
	z := gaussian(31, v, 2)
	must(t, d.Write(logits, z))
	must(t, d.Write(sharpness, []float32{0.5}))
	r := NewRecorder()
	top := r.Record("top_k", topK{k}, []*Tensor{logits}, kept)
	r.Record("sample", sample{1}, []*Tensor{r.Softmax(top[1], sharpness), index, seed}, place)
	p, err := r.Finish()
	must(t, err)
	exes, err := d.Load(p)
	must(t, err)
	defer exes[0].Close()
	ids, at, counts := make([]uint32, k), make([]uint32, 1), make([]float64, k)
	for step := range steps {
		must(t, d.WriteU32(index, []uint32{uint32(step)}))
		must(t, exes[0].Run())
		must(t, d.ReadU32(place, at))
		counts[at[0]]++
	}
	must(t, d.ReadU32(kept, ids))
	order := slices.SortedFunc(slices.Values(z), func(a, b float32) int { return int(math.Copysign(1, float64(b-a))) })[:k]
	q := make([]float64, k)
	ref.Softmax(wide(order), 0.5, nil, q, nil, nil, k)
	for j, id := range ids {
		if z[id] != order[j] {
			t.Errorf("place %d has id %d with logit %v, want %v", j, id, z[id], order[j])
		}
		if mean := q[j] * steps; math.Abs(counts[j]-mean) > 5*math.Sqrt(mean*(1-q[j])) {
			t.Errorf("place %d was drawn %v times, expected about %.0f", j, counts[j], mean)
		}
	}
}

// TestSoftLabelsRefuse: what does not fit together is said at record time.
func TestSoftLabelsRefuse(t *testing.T) {
	m := newSoftTeacher(70, 8, 100, 10, true)
	good := SoftLabelInputs{
		Hidden: m.hidden, Weight: m.weight, Labels: m.labels, Sharpness: m.sharpness, Keep: 10, Index: m.index, Seed: m.seed, Into: m.out,
	}
	for why, change := range map[string]func(*SoftLabelInputs){
		"nothing":                     func(in *SoftLabelInputs) {},
		"no temperature":              func(in *SoftLabelInputs) { in.Sharpness = nil },
		"labels of other tokens":      func(in *SoftLabelInputs) { in.Labels = m.labels.Rows(0, 64) },
		"weight of another width":     func(in *SoftLabelInputs) { in.Weight = m.weight.View(0, 100, 4) },
		"numbers without a seed":      func(in *SoftLabelInputs) { in.Seed = nil },
		"numbers of other tokens":     func(in *SoftLabelInputs) { in.Index = m.index.Rows(0, 64) },
		"more than may be kept":       func(in *SoftLabelInputs) { in.Keep, in.Into = MaxKept+1, nil },
		"room for fewer of each":      func(in *SoftLabelInputs) { in.Keep = 11 },
		"room for fewer tokens":       func(in *SoftLabelInputs) { in.Into = NewSoftLabels(State, 64, 10, true) },
		"room for another form":       func(in *SoftLabelInputs) { in.Into = NewSoftLabels(State, 70, 10, false) },
		"room for ids that is no ids": func(in *SoftLabelInputs) { o := *m.out; o.IDs = m.out.Q; in.Into = &o },
		"an unaligned chunk":          func(in *SoftLabelInputs) { in.Chunk = 100 },
	} {
		in := good
		change(&in)
		r := NewRecorder()
		r.SoftLabels(in)
		if _, err := r.Finish(); (err == nil) != (why == "nothing") {
			t.Errorf("%s: %v", why, err)
		}
	}
}
