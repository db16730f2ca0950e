package ref

import "math"

// SoftmaxLoss is, for each row of logits z [N,V] with its label y, p = softmax(z) and, if there is a teacher zt [N,V],
// q = softmax(zt * params[2]):
//
//	dz = params[0] * (p - [(1-w) e_y + w q])     w = params[1]; 0 without a teacher
//
// and the row of stats [N,8]: -log p(y); CE(q,p); -log q(y); the entropy of q; whether y is p's (first) maximum;
// p(S) - 1{y in S} and p(S) - q(S) for S = {v: p(v) > q(v)}; 1. Without a teacher (nil) what needs q is 0. A label of V or
// more masks its row: zeros. dz may be z, or nil.
func SoftmaxLoss(z, labels, params, zt, dz, stats []float64, v int) {
	clear(stats)
	for i, label := range labels {
		y := int(label)
		if y >= v {
			if dz != nil {
				clear(dz[i*v : (i+1)*v])
			}
			continue
		}
		s := stats[8*i : 8*i+8]
		logp := logSoftmax(z[i*v:(i+1)*v], 1)
		s[0], s[4], s[7] = -logp[y], 1, 1
		for j, l := range logp {
			if l > logp[y] || l == logp[y] && j < y {
				s[4] = 0
			}
		}
		w, logq := 0.0, []float64(nil)
		if zt != nil {
			w, logq = params[1], logSoftmax(zt[i*v:(i+1)*v], params[2])
			s[2] = -logq[y]
			for j := range v {
				p, q := math.Exp(logp[j]), math.Exp(logq[j])
				s[1] -= q * logp[j]
				s[3] -= q * logq[j]
				if p > q {
					s[5] += p
					s[6] += p - q
					if j == y {
						s[5]--
					}
				}
			}
		}
		if dz == nil {
			continue
		}
		for j := range v {
			g := math.Exp(logp[j])
			if j == y {
				g -= 1 - w
			}
			if w != 0 {
				g -= w * math.Exp(logq[j])
			}
			dz[i*v+j] = params[0] * g
		}
	}
}

// SparseSoftmaxLoss is the same with a teacher of whom soft labels are known: k ids of each row with their q, and its -log q(y)
// and entropy in teacher [N,2], which are stats 2 and 3 as they are; 5 and 6 are 0. An id of V or more is none. Without a ghost
//
//	dz = params[0] * (p - [(1-w) e_y + w q])     q is 0 at all other ids
//
// With one, the other ids together are one more, the ghost, of probability r = 1 - sum p(id) for the student and
// 1 - sum q(id) for the teacher; stats 1 is the cross entropy of these k + 1, and w times its gradient stands in dz:
//
//	CE = -sum q(id) log p(id) - (1 - sum q(id)) log r
//
// Within the logarithm and as a divisor r is at least 1e-30.
func SparseSoftmaxLoss(z, labels, params, ids, q, teacher []float64, k int, ghost bool, dz, stats []float64, v int) {
	SoftmaxLoss(z, labels, []float64{1, 0, 1, 0}, nil, nil, stats, v)
	for i, label := range labels {
		y := int(label)
		if y >= v {
			if dz != nil {
				clear(dz[i*v : (i+1)*v])
			}
			continue
		}
		logp, target := logSoftmax(z[i*v:(i+1)*v], 1), make([]float64, v)
		kept, ce, missing, r := make([]bool, v), 0.0, 0.0, 1.0
		for j := i * k; j < (i+1)*k; j++ {
			if id := int(ids[j]); id < v {
				kept[id], target[id] = true, q[j]
				ce -= q[j] * logp[id]
			}
		}
		if ghost {
			missing, r = 1, 0
			for j := range v {
				missing -= target[j]
				if !kept[j] {
					r += math.Exp(logp[j])
				}
			}
			missing, r = max(missing, 0), max(r, 1e-30)
			ce -= missing * math.Log(r)
		}
		stats[8*i+1], stats[8*i+2], stats[8*i+3] = ce, teacher[2*i], teacher[2*i+1]
		if dz == nil {
			continue
		}
		w := params[1]
		for j := range v {
			p := math.Exp(logp[j])
			if ghost && !kept[j] {
				target[j] = missing * p / r
			}
			g := p - w*target[j]
			if j == y {
				g -= 1 - w
			}
			dz[i*v+j] = params[0] * g
		}
	}
}

// logSoftmax is the logarithm of the softmax of x times a factor.
func logSoftmax(x []float64, factor float64) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v*factor)
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(v*factor - top)
	}
	y := make([]float64, len(x))
	for j, v := range x {
		y[j] = v*factor - top - math.Log(sum)
	}
	return y
}
