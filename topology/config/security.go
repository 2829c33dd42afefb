package config

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/streamrun/streamrun/topology/security"
)

// A kept thing is what the file names and does not hold: a secret, or a file.
type kept struct {
	value
	look func() error
}

// CheckSecrets looks for everything that the kafka section keeps elsewhere:
// variables, and files. What cannot be read is an *Error. Parse does not look, so that
// a file can be checked where its secrets are not.
func (f *File) CheckSecrets() error {
	var r report
	for _, k := range f.kept {
		if err := k.look(); err != nil {
			r.add(CodeVariable, k.at, k.path, "%v", err)
		}
	}
	return r.err(f.Path, f.source)
}

// readSecurity reads how the cluster is connected to.
func (r *reader) readSecurity(f fields) security.Security {
	var s security.Security
	if v, ok := f.get("tls"); ok {
		s.TLS = r.readTLS(v)
	}
	if v, ok := f.get("sasl"); ok {
		s.SASL = r.readSASL(v, s.TLS != nil)
	}
	return s
}

func (r *reader) readTLS(v value) *security.TLS {
	t := &security.TLS{}
	f := r.mapping(v, "ca", "cert", "key", "server_name")
	complete := len(r.problems)
	for name, dst := range map[string]*string{"ca": &t.CA, "cert": &t.Cert, "key": &t.Key, "server_name": &t.ServerName} {
		if v, ok := f.get(name); ok {
			*dst, _ = r.text(v)
		}
	}
	if (f.entries["cert"].node == nil) != (f.entries["key"].node == nil) {
		r.add(CodeMissing, f.at, f.path, "has one of cert and key; a client's certificate needs both")
	}
	if len(r.problems) == complete {
		if v, ok := f.get("ca"); ok {
			r.kept = append(r.kept, kept{v, looking(security.TLS{CA: t.CA})})
		}
		if v, ok := f.get("cert"); ok {
			r.kept = append(r.kept, kept{v, looking(security.TLS{Cert: t.Cert, Key: t.Key})})
		}
	}
	return t
}

func looking(t security.TLS) func() error {
	return func() error {
		_, err := t.Config()
		return err
	}
}

func (r *reader) readSASL(v value, encrypted bool) *security.SASL {
	s := &security.SASL{}
	f := r.mapping(v, "mechanism", "user", "password", "token", "insecure")
	for _, name := range f.names {
		// A misspelt key may hold the password too.
		if !slices.Contains([]string{"mechanism", "user", "insecure"}, name) {
			r.hide(f.entries[name])
		}
	}
	enum(f, "mechanism", &s.Mechanism, security.Mechanisms()...)
	f.boolean("insecure", &s.Insecure)
	if v, ok := f.get("user"); ok {
		s.User, _ = r.text(v)
	}
	s.Password, s.Token = r.secret(f, "password"), r.secret(f, "token")
	if _, ok := f.require("mechanism", "one of plain, scram-sha-256, scram-sha-512, oauthbearer"); !ok || s.Mechanism == "" {
		return s
	}
	need, not := []string{"user", "password"}, []string{"token"}
	if s.Mechanism == security.OAuthBearer {
		need, not = not, need
	}
	for _, name := range need {
		f.require(name, string(s.Mechanism)+" needs it")
	}
	for _, name := range not {
		if at, ok := f.keys[name]; ok {
			r.add(CodeValue, at, join(f.path, name), "%s has none", s.Mechanism)
		}
	}
	if !encrypted && !s.Insecure {
		r.add(CodeValue, f.keys["mechanism"], f.path,
			"%s without tls shows the credentials to whoever listens; add kafka.tls, or accept it with insecure: true", s.Mechanism)
	}
	return s
}

// secret reads where a secret is found: {env: NAME} or {file: PATH}. The secret
// itself is refused, and shown nowhere.
func (r *reader) secret(f fields, name string) security.Secret {
	var s security.Secret
	v, ok := f.get(name)
	if !ok {
		return s
	}
	if _, scalar := v.node.(ast.ScalarNode); scalar {
		r.add(CodeValue, v.at, v.path, "a secret does not stand in a topology file; write {env: NAME} or {file: PATH}")
		return s
	}
	m := r.mapping(v, "env", "file")
	if m.broken {
		return s
	}
	for key, dst := range map[string]*string{"env": &s.Env, "file": &s.File} {
		if v, ok := m.get(key); ok {
			*dst, _ = r.text(v)
		}
	}
	if len(m.names) != 1 {
		r.add(CodeMissing, v.at, v.path, "is one of {env: NAME} and {file: PATH}")
		return s
	}
	getenv := r.getenv
	r.kept = append(r.kept, kept{v, func() error {
		_, err := s.ReadFrom(getenv)
		return err
	}})
	return s
}

// hide keeps a value that may be a secret out of the lines that errors show.
func (r *reader) hide(v value) {
	if _, ok := v.node.(ast.ScalarNode); ok {
		r.hidden = append(r.hidden, v.at)
	}
}
