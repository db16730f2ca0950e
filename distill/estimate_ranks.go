package distill

import "reflect"

// Across makes of the sums those over all ranks: sum replaces numbers by what they are in all ranks together. Ranks that saw different
// parts of a batch so decide alike.
func (s *Sums) Across(sum func([]float64) error) error {
	list := numbers(reflect.ValueOf(s).Elem(), nil)
	x := make([]float64, len(list))
	for i, v := range list {
		x[i] = v.Float()
	}
	if err := sum(x); err != nil {
		return err
	}
	for i, v := range list {
		v.SetFloat(x[i])
	}
	return nil
}

// numbers are all numbers in v, in the order of its fields.
func numbers(v reflect.Value, list []reflect.Value) []reflect.Value {
	switch v.Kind() {
	case reflect.Float64:
		list = append(list, v)
	case reflect.Struct:
		for i := range v.NumField() {
			list = numbers(v.Field(i), list)
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			list = numbers(v.Index(i), list)
		}
	}
	return list
}
