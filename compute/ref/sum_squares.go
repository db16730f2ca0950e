package ref

// SumSquares is part[b] = the sum of x[i]^2 over stretch b of the given length; zero past the end.
func SumSquares(x, part []float64, chunk int) {
	for b := range part {
		part[b] = 0
	}
	for i, v := range x {
		part[i/chunk] += v * v
	}
}
