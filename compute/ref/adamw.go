package ref

import "math"

// AdamW is one step of Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2), its results in the Out slices,
// which may be the inputs. params is {lr, beta1, beta2, eps, weight decay, 1/(1-beta1^t), 1/(1-beta2^t), 0}; control is
// {what the gradient is multiplied by, 0 if the step is to be skipped, ...}. The first decayed elements decay. The
// gradient becomes zero.
func AdamW(p, g, m, v, params, control, pOut, mOut, vOut, gOut []float64, decayed int) {
	lr, b1, b2, eps, decay, c1, c2 := params[0], params[1], params[2], params[3], params[4], params[5], params[6]
	for i := range p {
		pi, mi, vi := p[i], m[i], v[i]
		if control[1] != 0 {
			gi := control[0] * g[i]
			mi = b1*mi + (1-b1)*gi
			vi = b2*vi + (1-b2)*gi*gi
			step := c1 * mi / (math.Sqrt(c2*vi) + eps)
			if i < decayed {
				step += decay * p[i]
			}
			pi -= lr * step
		}
		pOut[i], mOut[i], vOut[i], gOut[i] = pi, mi, vi, 0
	}
}
