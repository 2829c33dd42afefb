package security

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// A Secret is where a secret is found: one of the fields, or what Text was given.
// The zero value is no secret. It prints as ***.
type Secret struct {
	Env  string // name of an environment variable
	File string // path of a file; one newline at its end is not part of the secret

	// A pointer, since fmt shows the inside of what it has no fitting verb for, and
	// asks no method then; it does not follow a pointer there.
	text *string
}

// Text is a secret that the program itself knows.
func Text(secret string) Secret { return Secret{text: &secret} }

// Equal reports whether two secrets are found in the same place.
func (s Secret) Equal(other Secret) bool {
	if s.text != nil && other.text != nil {
		return *s.text == *other.text
	}
	return s == other
}

// mask stands for every secret, set or not, so that not even that is told.
const mask = "***"

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// Read returns the secret. That a variable is not set, a file cannot be read, or
// there is nothing in it, is an error that names it.
func (s Secret) Read() (string, error) { return s.ReadFrom(os.LookupEnv) }

// ReadFrom is Read with another environment.
func (s Secret) ReadFrom(getenv func(string) (string, bool)) (string, error) {
	switch {
	case s.validate() != nil:
		return "", s.validate()
	case s.Env != "":
		text, ok := getenv(s.Env)
		if !ok || text == "" {
			return "", fmt.Errorf("security: environment variable %s is not set", s.Env)
		}
		return text, nil
	case s.File != "":
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("security: reading a secret: %w", err)
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if text == "" {
			return "", fmt.Errorf("security: reading a secret: %s is empty", s.File)
		}
		return text, nil
	}
	return *s.text, nil
}

func (s Secret) validate() error {
	set := 0
	for _, is := range []bool{s.Env != "", s.File != "", s.text != nil && *s.text != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return errors.New("security: a secret is exactly one of Env, File and a text")
	}
	return nil
}

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText implements encoding.TextMarshaler, for JSON and YAML too.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }
