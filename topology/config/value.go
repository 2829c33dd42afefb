package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// An integer of an event or a state is an int: the expressions' own integer type,
// so that 1 in an expression and 1 in an event are equal at any depth. It must
// have 64 bits; this line does not compile where it has not.
const _ int = math.MaxInt64

// maxState bounds one encoded state: a record of a topic can hold it.
const maxState = 900 << 10

// decodeJSON returns the value of one JSON text in its canonical form: nil, bool,
// int, float64, string, []any, map[string]any. Duplicate names, bytes that are not
// UTF-8 and anything behind the text are errors.
func decodeJSON(text []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	v, err := readJSON(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more than one JSON value")
		}
		return nil, err
	}
	return v, nil
}

func readJSON(dec *jsontext.Decoder) (any, error) {
	if dec.PeekKind() == '0' {
		literal, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return number(string(literal))
	}
	t, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '[':
		list := []any{}
		for dec.PeekKind() != ']' {
			v, err := readJSON(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.ReadToken()
		return list, err
	default: // '{'
		object := map[string]any{}
		for dec.PeekKind() != '}' {
			t, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			name := t.String() // before the next token takes its bytes
			if object[name], err = readJSON(dec); err != nil {
				return nil, err
			}
		}
		_, err = dec.ReadToken()
		return object, err
	}
}

// number returns the value of a JSON number: an int when it is whole and fits, as
// 7, 7.0 and 7e2 do, else the nearest float64.
func number(literal string) (any, error) {
	digits := literal
	if whole, fraction, ok := strings.Cut(literal, "."); ok && strings.Trim(fraction, "0") == "" {
		digits = whole // exact beyond 2^53 too
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return int(n), nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is too large", literal)
	}
	return wholeFloat(f), nil
}

// wholeFloat makes an int of a float64 that is one, so that a value is the same
// before it is written and after it is read.
func wholeFloat(f float64) any {
	if f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
		return int(f)
	}
	return f
}

// encodeJSON appends the JSON of a canonical value: names in order of their bytes,
// no spaces, integers in full, other numbers as ECMAScript writes them.
func encodeJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float64:
		return jsontext.AppendFloat(dst, v, 64), nil
	case string:
		return jsontext.AppendQuote(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = encodeJSON(dst, item); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = jsontext.AppendQuote(dst, name); err != nil {
				return dst, err
			}
			if dst, err = encodeJSON(append(dst, ':'), v[name]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	default:
		return dst, fmt.Errorf("%T is no value of JSON", v)
	}
}

// canonical makes a canonical value of what an expression gave. Parts that are
// canonical already are shared, not copied. The error does not depend on the order
// in which Go visits a map.
func canonical(v any) (any, error) {
	w := walker{left: maxState}
	v = w.canonical(v)
	switch {
	case w.left < 0:
		return nil, fmt.Errorf("the result takes more than %d bytes", maxState)
	case w.problem != "":
		return nil, errors.New(w.problem)
	}
	return v, nil
}

// A walker visits a value within a bound: values share parts, and a small one can
// be very long when it is written out.
type walker struct {
	left    int
	problem string // the first in alphabetical order
}

func (w *walker) fail(format string, args ...any) any {
	if text := fmt.Sprintf(format, args...); w.problem == "" || text < w.problem {
		w.problem = text
	}
	return nil
}

func (w *walker) canonical(v any) any {
	if w.left -= 2; w.left < 0 {
		return nil
	}
	switch v := v.(type) {
	case nil, bool:
		return v
	case int:
		w.left -= 20
		return v
	case float64:
		w.left -= 24
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return w.fail("%v is not a number that JSON can hold", v)
		}
		return wholeFloat(v)
	case string:
		w.text(v)
		return v
	case []any:
		return w.list(v)
	case map[string]any:
		return w.object(v)
	default:
		return w.other(reflect.ValueOf(v))
	}
}

// text takes the length of an encoded string from the bound.
func (w *walker) text(s string) {
	w.left -= len(s) + 3
	if !utf8.ValidString(s) {
		w.fail("text %q is not UTF-8", s)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			w.left -= 5
		}
	}
}

func (w *walker) list(list []any) any {
	out := list
	for i, item := range list {
		c := w.canonical(item)
		if w.left < 0 {
			return nil
		}
		if same(c, item) {
			continue
		}
		if &out[0] == &list[0] {
			out = append([]any(nil), list...)
		}
		out[i] = c
	}
	return out
}

func (w *walker) object(object map[string]any) any {
	var changed map[string]any
	for name, item := range object {
		w.text(name)
		c := w.canonical(item)
		if w.left < 0 {
			return nil
		}
		if same(c, item) {
			continue
		}
		if changed == nil {
			changed = make(map[string]any, len(object))
		}
		changed[name] = c
	}
	if changed == nil {
		return object
	}
	for name, item := range object {
		if _, ok := changed[name]; !ok {
			changed[name] = item
		}
	}
	return changed
}

// other converts the types that only the expression engine makes: []string of
// split, map[any][]any of groupBy, a byte of text[0].
func (w *walker) other(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return w.canonical(int(v.Int()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return w.canonical(int(v.Uint()))
	case reflect.Float32:
		return w.canonical(v.Float())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			if list[i] = w.canonical(v.Index(i).Interface()); w.left < 0 {
				return nil
			}
		}
		return list
	case reflect.Map:
		object := make(map[string]any, v.Len())
		for _, key := range v.MapKeys() {
			name, ok := word(key.Interface())
			if !ok {
				w.fail("a map with a key that is neither text nor a whole number cannot be a state")
				continue
			}
			if _, twice := object[name]; twice {
				w.fail("a map with the keys 1 and \"1\" cannot be a state")
			}
			w.text(name)
			if object[name] = w.canonical(v.MapIndex(key).Interface()); w.left < 0 {
				return nil
			}
		}
		return object
	default:
		return w.fail("a value of type %s cannot be a state", v.Type())
	}
}

// same reports whether two values are one: no conversion took place.
func same(a, b any) bool {
	switch b := b.(type) {
	case nil:
		return a == nil
	case bool, int, string, float64:
		return a == b
	case []any:
		list, ok := a.([]any)
		return ok && len(list) == len(b) && (len(b) == 0 || &list[0] == &b[0])
	case map[string]any:
		object, ok := a.(map[string]any)
		return ok && reflect.ValueOf(object).Pointer() == reflect.ValueOf(b).Pointer()
	default:
		return false
	}
}

// word returns a text or a whole number as text.
func word(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int:
		return strconv.Itoa(v), true
	default:
		return "", false
	}
}
