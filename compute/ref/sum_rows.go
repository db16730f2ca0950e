package ref

// SumRows is y[b,d] = the sum of x[n,d], rows of the given width, over the rows n of block b.
func SumRows(x, y []float64, width, rows int) {
	for i := range y {
		y[i] = 0
	}
	for i, v := range x {
		n, d := i/width, i%width
		y[n/rows*width+d] += v
	}
}
