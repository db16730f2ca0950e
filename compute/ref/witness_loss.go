package ref

import "math"

// LossTeacher is what a loss knows of the teacher: its Logits [N,V], or soft labels as SparseSoftmaxLoss takes them.
type LossTeacher struct {
	Logits        []float64
	IDs, Q, Stats []float64 // [N,K], [N,K], [N,2]
	K             int
	Ghost         bool
}

// WitnessLoss is SoftmaxLoss or SparseSoftmaxLoss with a weight for each token: with H the entropy of its teacher and the policy's
// numbers e and r, eight of each,
//
//	g = the number of i < 7 with H >= e[i],  w = params[1] * r[g]
//
// The row of witness [N,4] is |p|^2, p.q, |q|^2 and g, zeros where the label masks. q of soft labels is 0 at other ids; a ghost's mass
// lies on them as p does.
func WitnessLoss(z, labels, params, policy []float64, t LossTeacher, dz, stats, witness []float64, v int) {
	clear(witness)
	for i, label := range labels {
		var q []float64
		row := func(x []float64, k int) []float64 {
			if x == nil {
				return nil
			}
			return x[i*k : (i+1)*k]
		}
		p := softmaxOf(row(z, v), 1)
		var h float64
		if t.Logits != nil {
			q = softmaxOf(row(t.Logits, v), params[2])
			for _, x := range q {
				if x > 0 {
					h -= x * math.Log(x)
				}
			}
		} else {
			q, h = t.spread(p, row(t.IDs, t.K), row(t.Q, t.K)), t.Stats[2*i+1]
		}
		g := 0
		for _, e := range policy[:7] {
			if h >= e {
				g++
			}
		}
		own := []float64{params[0], params[1] * policy[8+g], params[2], 0}
		if t.Logits != nil {
			SoftmaxLoss(row(z, v), labels[i:i+1], own, row(t.Logits, v), row(dz, v), row(stats, 8), v)
		} else {
			SparseSoftmaxLoss(row(z, v), labels[i:i+1], own, row(t.IDs, t.K), row(t.Q, t.K), row(t.Stats, 2), t.K, t.Ghost, row(dz, v), row(stats, 8), v)
		}
		if int(label) >= v {
			continue
		}
		w := row(witness, 4)
		for j := range v {
			w[0] += p[j] * p[j]
			w[1] += p[j] * q[j]
			w[2] += q[j] * q[j]
		}
		w[3] = float64(g)
	}
}

// spread is the whole distribution that soft labels of a token stand for.
func (t LossTeacher) spread(p, ids, shares []float64) []float64 {
	q, kept := make([]float64, len(p)), make([]bool, len(p))
	missing, rest := 1.0, 0.0
	for j, id := range ids {
		if int(id) < len(p) {
			q[int(id)], kept[int(id)] = shares[j], true
			missing -= shares[j]
		}
	}
	for j := range p {
		if !kept[j] {
			rest += p[j]
		}
	}
	if t.Ghost {
		for j := range p {
			if !kept[j] {
				q[j] = max(missing, 0) * p[j] / max(rest, 1e-30)
			}
		}
	}
	return q
}

// softmaxOf is the softmax of x times a factor.
func softmaxOf(x []float64, factor float64) []float64 {
	y := logSoftmax(x, factor)
	for j := range y {
		y[j] = math.Exp(y[j])
	}
	return y
}
