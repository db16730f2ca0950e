package ref

// MatMul is y[m,n] = sum_k A[m,k] B[k,n], where A is stored [K,M] if transA and B is stored [N,K] if transB.
func MatMul(a, b, y []float64, m, n, k int, transA, transB bool) {
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				ai, bi := i*k+l, l*n+j
				if transA {
					ai = l*m + i
				}
				if transB {
					bi = j*k + l
				}
				s += a[ai] * b[bi]
			}
			y[i*n+j] = s
		}
	}
}
