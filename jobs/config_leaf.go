package jobs

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// leaf is one key of the job file: a field of Config, however deep, found by reflection over the toml tags.
type leaf struct {
	key   string // in full, as "llm.train.lr"
	index []int  // of the field, for reflect.Value.FieldByIndex
	typ   reflect.Type
	keep  bool // a zero that is written out is kept: tag explicit:"keep"
}

// leaves returns every key of the job file.
func leaves() map[string]leaf {
	all := map[string]leaf{}
	for _, l := range leafList() {
		all[l.key] = l
	}
	return all
}

// leafList returns every key of the job file in the order of the structs.
func leafList() []leaf { return appendLeaves(nil, reflect.TypeFor[Config](), "", nil) }

func appendLeaves(all []leaf, t reflect.Type, prefix string, index []int) []leaf {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		if key == "-" {
			continue
		}
		at := append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Struct {
			all = appendLeaves(all, f.Type, prefix+key+".", at)
			continue
		}
		all = append(all, leaf{prefix + key, at, f.Type, f.Tag.Get("explicit") == "keep"})
	}
	return all
}

// fits tells whether a decoded TOML value can be the leaf's.
func (l leaf) fits(value any) error {
	var c Config
	return l.assign(reflect.ValueOf(&c).Elem().FieldByIndex(l.index), value)
}

// set sets the leaf's field of c to a value that fits.
func (l leaf) set(c *Config, value any) {
	_ = l.assign(reflect.ValueOf(c).Elem().FieldByIndex(l.index), value) // fits has said so
}

func (l leaf) assign(field reflect.Value, value any) error {
	v := reflect.ValueOf(value)
	switch n, isInt := value.(int64); {
	case !v.IsValid():
	case isInt && field.CanInt() && !field.OverflowInt(n):
		field.SetInt(n)
		return nil
	case isInt && field.CanFloat():
		field.SetFloat(float64(n))
		return nil
	case field.Kind() == reflect.Slice && v.Kind() == reflect.Slice:
		return l.assignList(field, v)
	case field.Kind() == v.Kind() && !field.CanInt():
		field.Set(v.Convert(field.Type()))
		return nil
	}
	return fmt.Errorf("takes %s, not %s", typeName(field.Type()), valueName(value))
}

func (l leaf) assignList(field, values reflect.Value) error {
	if values.Len() == 0 { // an empty list says no more than none
		field.SetZero()
		return nil
	}
	list := reflect.MakeSlice(field.Type(), values.Len(), values.Len())
	for i := range values.Len() {
		if err := l.assign(list.Index(i), values.Index(i).Interface()); err != nil {
			return fmt.Errorf("takes %s, but element %d is %s", typeName(field.Type()), i+1,
				valueName(values.Index(i).Interface()))
		}
	}
	field.Set(list)
	return nil
}

// typeName names a field's type as the job file's reader knows it.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list, each element " + typeName(t.Elem())
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func valueName(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case int64, float64, bool:
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("a value such as %v", value)
}

// value is the leaf's field in c.
func (l leaf) value(c *Config) any {
	return reflect.ValueOf(c).Elem().FieldByIndex(l.index).Interface()
}

// text is the leaf's field in c as a TOML value.
func (l leaf) text(c *Config) string {
	v := l.value(c)
	if f, ok := v.(float64); ok {
		return floatText(f)
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		return "[]"
	}
	out, err := toml.Marshal(map[string]any{"value": v})
	if err != nil {
		return fmt.Sprintf("%q", err) // no field of Config is of a type that TOML cannot write
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "value = "))
}

// floatText is f in the fewest digits that read back as f, and with a point or exponent, as TOML wants of a float. The
// library would write 1e-8 as 0.00000001.
func floatText(f float64) string {
	switch text := strconv.FormatFloat(f, 'g', -1, 64); {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.ToLower(text)
	case !strings.ContainsAny(text, ".e"):
		return text + ".0"
	default:
		return text
	}
}
