package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"time"

	"github.com/expr-lang/expr"
)

// forbidden functions answer by the clock, the time zone or the zone files of the
// machine, or make values that a state cannot hold.
var forbidden = []string{"now", "date", "duration", "timezone"}

// functions returns the functions of an expression: those of the engine without the
// forbidden ones, with our own where the engine's depend on the order of a Go map
// or do not keep integers.
func functions() []expr.Option {
	options := []expr.Option{
		expr.Function("keys", func(p ...any) (any, error) {
			names, _, err := sorted(p[0])
			return names, err
		}, new(func(any) []any)),
		expr.Function("values", func(p ...any) (any, error) {
			names, object, err := sorted(p[0])
			for i, name := range names {
				names[i] = object[name.(string)]
			}
			return names, err
		}, new(func(any) []any)),
		expr.Function("toPairs", func(p ...any) (any, error) {
			names, object, err := sorted(p[0])
			for i, name := range names {
				names[i] = []any{name, object[name.(string)]}
			}
			return names, err
		}, new(func(any) []any)),
		expr.Function("toJSON", func(p ...any) (any, error) {
			v, err := canonical(p[0])
			if err != nil {
				return nil, err
			}
			text, err := encodeJSON(nil, v)
			return string(text), err
		}, new(func(any) string)),
		expr.Function("fromJSON", func(p ...any) (any, error) {
			return decodeJSON([]byte(p[0].(string)))
		}, new(func(string) any)),
		expr.Function("millis", func(p ...any) (any, error) {
			t, err := time.Parse(time.RFC3339Nano, p[0].(string))
			if err != nil {
				return nil, fmt.Errorf("millis: %q is not a time as in 2006-01-02T15:04:05Z", p[0])
			}
			return int(t.UnixMilli()), nil
		}, new(func(string) int)),
		expr.Function("sha256", func(p ...any) (any, error) {
			sum := sha256.Sum256([]byte(p[0].(string)))
			return hex.EncodeToString(sum[:]), nil
		}, new(func(string) string)),
	}
	for _, name := range forbidden {
		options = append(options, expr.DisableBuiltin(name))
	}
	return options
}

// sorted returns the names of a map in order, and the map.
func sorted(v any) ([]any, map[string]any, error) {
	c, err := canonical(v)
	if err != nil {
		return nil, nil, err
	}
	object, ok := c.(map[string]any)
	if !ok {
		return nil, nil, fmt.Errorf("expected a map, got %s", describe(c))
	}
	names := make([]any, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return names[i].(string) < names[j].(string) })
	return names, object, nil
}
