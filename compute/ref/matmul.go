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

// Columns copies columns from to to (exclusive) of rows that are width long.
func Columns(x []float64, width, from, to int) []float64 {
	var y []float64
	for i := 0; i+width <= len(x); i += width {
		y = append(y, x[i+from:i+to]...)
	}
	return y
}

// AddRow is y[m,n] += row[n].
func AddRow(y, row []float64) {
	for i := range y {
		y[i] += row[i%len(row)]
	}
}
