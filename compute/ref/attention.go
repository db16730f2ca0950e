package ref

import "math"

// Attention is causal attention with grouped queries: o[n,h] = sum_j p_j v[j,g], p = softmax_j(q[n,h] . k[j,g] / sqrt(dh)),
// over the rows j <= n of the same sequence of t rows, with g = h / (heads / kv), and lse the logarithm of the softmax's
// denominator. A row of qkv is the q heads, then the k heads, then the v heads, dh elements each.
func Attention(qkv, o, lse []float64, heads, kv, dh, t int) {
	width := (heads + 2*kv) * dh
	for n := range len(qkv) / width {
		for h := range heads {
			keys := (heads + h/(heads/kv)) * dh
			s := scores(qkv, n, h*dh, keys, width, dh, t)
			top := math.Inf(-1)
			for _, v := range s {
				top = max(top, v)
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
					y += p * qkv[(n/t*t+i)*width+keys+kv*dh+d]
				}
				o[(n*heads+h)*dh+d] = y / sum
			}
		}
	}
}

// scores are the scaled products of the query at column q of row n with the keys of its sequence up to that row.
func scores(qkv []float64, n, q, keys, width, dh, t int) []float64 {
	s := make([]float64, n%t+1)
	for i := range s {
		for d := range dh {
			s[i] += qkv[n*width+q+d] * qkv[(n/t*t+i)*width+keys+d]
		}
		s[i] /= math.Sqrt(float64(dh))
	}
	return s
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

// AttentionGrad adds to dqkv the gradient of Attention, given that of o, its lse and AttentionDot's dots:
// p = exp(s - lse), ds = p (do . v - dots), dq = sum_j ds k / sqrt(dh), dk = sum_n ds q / sqrt(dh), dv = sum_n p do.
func AttentionGrad(qkv, do, lse, dots, dqkv []float64, heads, kv, dh, t int) {
	width, scale := (heads+2*kv)*dh, 1/math.Sqrt(float64(dh))
	for n := range len(qkv) / width {
		for h := range heads {
			keys := (heads + h/(heads/kv)) * dh
			for i, s := range scores(qkv, n, h*dh, keys, width, dh, t) {
				q, k := n*width+h*dh, (n/t*t+i)*width+keys
				v, g := k+kv*dh, (n*heads+h)*dh
				p, dp := math.Exp(s-lse[n*heads+h]), 0.0
				for d := range dh {
					dp += do[g+d] * qkv[v+d]
				}
				ds := p * (dp - dots[n*heads+h])
				for d := range dh {
					dqkv[q+d] += ds * qkv[k+d] * scale
					dqkv[k+d] += ds * qkv[q+d] * scale
					dqkv[v+d] += p * do[g+d]
				}
			}
		}
	}
}
