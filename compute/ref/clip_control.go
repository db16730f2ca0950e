package ref

import "math"

// ClipControl, with params {scale, clip, ...} and norm = scale sqrt(sum part), is control = {multiplier, 1, norm, 0}, where
// the multiplier is scale min(1, clip / (norm + 1e-6)), or scale if clip is 0; or {0, 0, norm, 0} if the norm is not finite.
// What no float32 can hold is not finite.
func ClipControl(params, part, control []float64) {
	var sum float64
	for _, v := range part {
		sum += v
	}
	if sum > math.MaxFloat32 {
		sum = math.Inf(1)
	}
	scale, clip := params[0], params[1]
	norm := scale * math.Sqrt(sum)
	if math.IsNaN(norm) || norm > math.MaxFloat32 {
		copy(control, []float64{0, 0, norm, 0})
		return
	}
	multiplier := scale
	if clip > 0 {
		multiplier *= min(1, clip/(norm+1e-6))
	}
	copy(control, []float64{multiplier, 1, norm, 0})
}
