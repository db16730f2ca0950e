package distill

import (
	"errors"
	"reflect"
	"testing"
)

// TestSumsAcross: two ranks that have the same sums come to those of both, field by field.
func TestSumsAcross(t *testing.T) {
	var s Sums
	s.Entropies = make([]float64, 3)
	for i, v := range numbers(reflect.ValueOf(&s).Elem(), nil) {
		v.SetFloat(float64(i + 1))
	}
	want := s
	want.Entropies = append([]float64(nil), s.Entropies...)
	want.Add(s)
	err := s.Across(func(x []float64) error {
		for i := range x {
			x[i] *= 2
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("%v: %+v, want %+v", err, s, want)
	}
	failed := errors.New("a rank is lost")
	if err := s.Across(func([]float64) error { return failed }); err != failed || !reflect.DeepEqual(s, want) {
		t.Error("after a failure the sums are others", err)
	}
}
