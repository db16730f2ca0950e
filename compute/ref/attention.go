package ref

import "math"

// Attention is attention with grouped queries: o[n,h] = sum_j p_j v[j,g], p = softmax_j(q[n,h] . k[j,g] / sqrt(dh)), over the
// rows j of the same sequence of t rows that n sees (see), with g = h / (heads / kv), and lse the logarithm of the softmax's
// denominator. A row of qkv is the q heads, then the k heads, then the v heads, dh elements each.
func Attention(qkv, spans, o, lse []float64, heads, kv, dh, t int) {
	width := (heads + 2*kv) * dh
	for n := range len(qkv) / width {
		from, to := see(spans, n, t)
		for h := range heads {
			keys := (heads + h/(heads/kv)) * dh
			s, top := make([]float64, to-from), math.Inf(-1)
			for i := range s {
				s[i] = score(qkv[n*width+h*dh:], qkv[(from+i)*width+keys:], dh)
				top = max(top, s[i])
			}
			var sum float64
			for i, v := range s {
				s[i] = math.Exp(v - top)
				sum += s[i]
			}
			lse[n*heads+h] = top + math.Log(sum)
			for d := range dh {
				var y float64
				for i, p := range s {
					y += p * qkv[(from+i)*width+keys+kv*dh+d]
				}
				o[(n*heads+h)*dh+d] = y / sum
			}
		}
	}
}

// see is the rows, from and to, that row n sees: those of its sequence up to itself, or its span, counted within the sequence.
func see(spans []float64, n, t int) (from, to int) {
	first := n / t * t
	if spans == nil {
		return first, n + 1
	}
	return first + int(spans[2*n]), first + int(spans[2*n+1])
}

// score is q . k / sqrt(dh).
func score(q, k []float64, dh int) float64 {
	var s float64
	for d := range dh {
		s += q[d] * k[d]
	}
	return s / math.Sqrt(float64(dh))
}

// AttentionPairs calls f for each row n, head h and row j that n sees, with the place s of ds[n,h,j]: groups of 16 queries
// of a sequence, in each the heads, in each the keys of the sequence, filled up to a multiple of four, in each the 16 queries.
func AttentionPairs(spans []float64, rows, heads, t int, f func(n, h, j, s int)) {
	keys, groups := (t+3)/4*4, (t+15)/16
	for n := range rows {
		from, to := see(spans, n, t)
		for h := range heads {
			for j := from; j < to; j++ {
				f(n, h, j, (((n/t*groups+n%t/16)*heads+h)*keys+j%t)*16+n%t%16)
			}
		}
	}
}

// AttentionDot is dots[i] = sum_d do[i,d] o[i,d].
func AttentionDot(o, do, dots []float64, dh int) {
	for i := range dots {
		dots[i] = 0
		for d := range dh {
			dots[i] += o[i*dh+d] * do[i*dh+d]
		}
	}
}

// AttentionGradKV adds to dqkv the gradient of Attention's keys and values, given that of o, its lse and AttentionDot's dots,
// and sets the ds of all pairs that meet: p = exp(s - lse), ds = p (do . v - dots) / sqrt(dh), dk = sum_n ds q, dv = sum_n p do.
func AttentionGradKV(qkv, spans, do, lse, dots, dqkv, ds []float64, heads, kv, dh, t int) {
	width := (heads + 2*kv) * dh
	AttentionPairs(spans, len(qkv)/width, heads, t, func(n, h, j, s int) {
		q, g, k := n*width+h*dh, (n*heads+h)*dh, j*width+(heads+h/(heads/kv))*dh
		v := k + kv*dh
		p, dp := math.Exp(score(qkv[q:], qkv[k:], dh)-lse[n*heads+h]), 0.0
		for d := range dh {
			dp += do[g+d] * qkv[v+d]
		}
		ds[s] = p * (dp - dots[n*heads+h]) / math.Sqrt(float64(dh))
		for d := range dh {
			dqkv[k+d] += ds[s] * qkv[q+d]
			dqkv[v+d] += p * do[g+d]
		}
	})
}

// AttentionGradQ adds to dqkv the gradient of Attention's queries: dq = sum_j ds k.
func AttentionGradQ(qkv, spans, ds, dqkv []float64, heads, kv, dh, t int) {
	width := (heads + 2*kv) * dh
	AttentionPairs(spans, len(qkv)/width, heads, t, func(n, h, j, s int) {
		for d := range dh {
			dqkv[n*width+h*dh+d] += ds[s] * qkv[j*width+(heads+h/(heads/kv))*dh+d]
		}
	})
}
