package security_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/topology/security"
)

const hidden = "swordfish"

// Invariant 1.
func TestSecretPrintsAsStars(t *testing.T) {
	t.Parallel()
	type nested struct {
		S security.Secret
		P *security.SASL
	}
	x := nested{security.Text(hidden), &security.SASL{Password: security.Text(hidden)}}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("with", "secret", x.S, "sasl", *x.P)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("with", "secret", x.S, "sasl", x.P)
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(b), fmt.Errorf("failed with %v", x.S).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, x.S), fmt.Sprintf(verb, x), fmt.Sprintf(verb, *x.P))
	}
	for _, text := range texts {
		if strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) {
			t.Errorf("tells the secret: %s", text)
		}
		if !strings.Contains(text, "***") {
			t.Errorf("says nothing of it: %s", text)
		}
	}
}

func TestSecretIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := func(name string) (string, bool) { return hidden, name == "SET" }
	for _, test := range []struct {
		secret     security.Secret
		want, says string
	}{
		{security.Text(hidden), hidden, ""},
		{security.Secret{Env: "SET"}, hidden, ""},
		{security.Secret{Env: "NOT_SET"}, "", "NOT_SET is not set"},
		{security.Secret{File: file("lf", hidden+"\n")}, hidden, ""},
		{security.Secret{File: file("crlf", hidden+"\r\n")}, hidden, ""},
		{security.Secret{File: file("two", " "+hidden+"\n\n")}, " " + hidden + "\n", ""},
		{security.Secret{File: file("empty", "\n")}, "", "empty is empty"},
		{security.Secret{File: filepath.Join(dir, "missing")}, "", "missing"},
		{security.Secret{}, "", "exactly one"},
		{security.Secret{Env: "SET", File: "f"}, "", "exactly one"},
		{security.Text(""), "", "exactly one"},
	} {
		got, err := test.secret.ReadFrom(env)
		if got != test.want || (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%#v: %q, %v", struct{ Env, File string }{test.secret.Env, test.secret.File}, got, err)
		}
	}
}

func TestValidateSaysEverything(t *testing.T) {
	t.Parallel()
	secret := security.Text(hidden)
	for _, test := range []struct {
		s    security.Security
		says []string // nil: it is right
	}{
		{security.Security{}, nil},
		{security.Security{TLS: &security.TLS{Cert: "c", Key: "k"}}, nil},
		{security.Security{TLS: &security.TLS{Cert: "c"}}, []string{"needs both"}},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: security.Plain, User: "u", Password: secret}}, nil},
		{security.Security{SASL: &security.SASL{Mechanism: security.Plain, User: "u", Password: secret}}, []string{"without TLS"}},
		{security.Security{TLS: &security.TLS{Key: "k"}, SASL: &security.SASL{Mechanism: security.ScramSHA256}}, []string{"needs both", "needs a User", "(Password)"}},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: "gssapi"}}, []string{`"gssapi" is none of`}},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret}}, nil},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: security.OAuthBearer}}, []string{"(Token)"}},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: security.OAuthBearer, User: "u", Token: secret}}, []string{"not a user"}},
		{security.Security{TLS: &security.TLS{}, SASL: &security.SASL{Mechanism: security.Plain, User: "u", Password: secret, Token: secret}}, []string{"not a token"}},
	} {
		err := test.s.Validate()
		if (err != nil) != (test.says != nil) {
			t.Errorf("%+v: %v", test.s, err)
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v does not say %q", test.s, err, says)
			}
		}
	}
}
