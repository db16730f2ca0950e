package labels

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"saltern/compute"
)

// WeakTeacher draws as a teacher does that has learned little, which is what labels of are largest: of 32,768 ids, 50 draws hit 34. Its
// distributions are q = (1 - a) u + a c, where u is how frequent ids are in the text, by Zipf's law and not in the order of their
// numbers, and c what it makes of the context: some ids that u picks, each half as likely again as the next.
type WeakTeacher struct {
	rng    *rand.Rand
	u, sum []float64 // [V], and up to each id
	ulogu  float64   // sum of u log u
}

// The parameters of WeakTeacher, by which distinct ids and bytes are those of trained ones, as docs/PERFORMANCE.md has them.
const (
	zipf, zipfShift   = 1.3, 20
	disorder          = 1.9 // standard deviation of log u about Zipf's law
	contextIDs, decay = 12, 2. / 3
)

// NewWeakTeacher draws the frequencies of v ids.
func NewWeakTeacher(v int, seed uint64) *WeakTeacher {
	w := &WeakTeacher{rng: rand.New(rand.NewPCG(seed, 2)), u: make([]float64, v), sum: make([]float64, v)}
	total := 0.0
	for i := range w.u {
		w.u[i] = math.Exp(disorder*w.rng.NormFloat64()) / math.Pow(float64(i)+zipfShift, zipf)
		total += w.u[i]
	}
	at := 0.0
	for i := range w.u {
		w.u[i] /= total
		at += w.u[i]
		w.sum[i] = at
		w.ulogu += w.u[i] * math.Log(w.u[i])
	}
	return w
}

func (w *WeakTeacher) common() int {
	return min(len(w.sum)-1, sort.SearchFloat64s(w.sum, w.rng.Float64()*w.sum[len(w.sum)-1]))
}

// Fill draws the labels of all tokens of l, with the entropy of the q that they were drawn from.
func (w *WeakTeacher) Fill(l *Labels) {
	count := len(l.IDs) / len(l.Tail)
	drawn, likely := make([]int, count), make([]int, contextIDs)
	for t := range l.Tail {
		a := 0.1 + 0.36*w.rng.Float64()
		for i := range likely {
			likely[i] = w.common()
		}
		for i := range drawn {
			if w.rng.Float64() >= a {
				drawn[i] = w.common()
				continue
			}
			k := math.Log(1-w.rng.Float64()*(1-math.Pow(decay, contextIDs))) / math.Log(decay)
			drawn[i] = likely[min(contextIDs-1, int(k))]
		}
		slices.Sort(drawn)
		keepDrawn(l.IDs[t*count:(t+1)*count], l.Q[t*count:(t+1)*count], drawn)
		y := w.common()
		q, entropy := w.distribution(a, likely)
		p := (1 - a) * w.u[y]
		if x, ok := q[y]; ok {
			p = x
		}
		l.Stats[t*compute.LabelColumns+compute.LabelNLL], l.Stats[t*compute.LabelColumns+compute.LabelEntropy] = float32(-math.Log(p)), float32(entropy)
	}
}

// distribution gives q of the likely ids, and the entropy of q in nats.
func (w *WeakTeacher) distribution(a float64, likely []int) (q map[int]float64, entropy float64) {
	q = map[int]float64{}
	share := a * (1 - decay) / (1 - math.Pow(decay, contextIDs))
	for _, id := range likely {
		if q[id] == 0 {
			q[id] = (1 - a) * w.u[id]
		}
		q[id] += share
		share *= decay
	}
	rest, ulogu := 1.0, w.ulogu // of the other ids, whose q is (1 - a) u
	for _, id := range slices.Sorted(maps.Keys(q)) {
		entropy -= q[id] * math.Log(q[id])
		rest -= w.u[id]
		ulogu -= w.u[id] * math.Log(w.u[id])
	}
	return q, entropy - (1-a)*(rest*math.Log(1-a)+ulogu)
}

// keepDrawn turns ascending draws into distinct ids and their shares.
func keepDrawn(ids []uint32, q []float32, drawn []int) {
	at := -1
	clear(q)
	for i, id := range drawn {
		if i == 0 || id != drawn[i-1] {
			at++
		}
		ids[at] = uint32(id)
		q[at] += 1 / float32(len(drawn))
	}
	for at++; at < len(ids); at++ {
		ids[at] = compute.Masked
	}
}
