package ref

// Add is y[i] = a[i] + b[i].
func Add(a, b, y []float64) {
	for i := range y {
		y[i] = a[i] + b[i]
	}
}
