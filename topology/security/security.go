package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Security says how to connect to a cluster. The zero value is a plain connection.
type Security struct {
	TLS  *TLS  // nil: not encrypted
	SASL *SASL // nil: the brokers do not ask who connects, or see it from the certificate
}

// TLS encrypts connections, at least with TLS 1.2. The zero value trusts the
// certificates that the system trusts.
type TLS struct {
	// CA is a file of PEM certificates; the brokers' must be signed by one of them.
	// Empty: by one that the system trusts.
	CA string
	// Cert and Key are files of PEM: the certificate, with what is between it and
	// the one that the brokers trust, and its key. Both or neither.
	Cert, Key string
	// ServerName is the name in the brokers' certificates. Empty: the host of each
	// address.
	ServerName string
}

// A Mechanism is a way to say who connects.
type Mechanism string

// Mechanisms.
const (
	Plain       Mechanism = "plain"
	ScramSHA256 Mechanism = "scram-sha-256"
	ScramSHA512 Mechanism = "scram-sha-512"
	OAuthBearer Mechanism = "oauthbearer"
)

// Mechanisms returns all of them.
func Mechanisms() []Mechanism { return []Mechanism{Plain, ScramSHA256, ScramSHA512, OAuthBearer} }

// SASL says who connects.
type SASL struct {
	Mechanism Mechanism
	User      string // not for OAuthBearer
	Password  Secret // not for OAuthBearer
	// Token is the token of OAuthBearer; as a file it can be renewed by whoever
	// issues it.
	Token Secret
	// TokenProvider, if not nil, is asked for the token of every connection instead.
	// It is called by several goroutines at a time, and should keep a token while it
	// is valid.
	TokenProvider func(context.Context) (string, error) `json:"-"`
	// Insecure sends password or token over connections without TLS, where whoever
	// listens can have it.
	Insecure bool
}

// Validate returns everything that contradicts itself. It reads no file and no
// secret.
func (s *Security) Validate() error {
	var errs []error
	if t := s.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		errs = append(errs, errors.New("security: TLS has one of Cert and Key; a client's certificate needs both"))
	}
	if s.SASL == nil {
		return errors.Join(errs...)
	}
	errs = append(errs, s.SASL.validate())
	if s.TLS == nil && !s.SASL.Insecure {
		errs = append(errs, fmt.Errorf("security: %s without TLS shows the credentials to whoever listens; configure TLS, or accept it with Insecure", s.SASL.Mechanism))
	}
	return errors.Join(errs...)
}

func (s *SASL) validate() error {
	if !slices.Contains(Mechanisms(), s.Mechanism) {
		return fmt.Errorf("security: SASL mechanism %q is none of %q", s.Mechanism, Mechanisms())
	}
	var errs []error
	if s.Mechanism == OAuthBearer {
		switch {
		case s.User != "" || !s.Password.IsZero():
			errs = append(errs, fmt.Errorf("security: %s has a token, not a user with a password", s.Mechanism))
		case s.TokenProvider != nil && !s.Token.IsZero():
			errs = append(errs, errors.New("security: SASL has both a Token and a TokenProvider; only one can be used"))
		case s.TokenProvider == nil:
			errs = append(errs, named("Token", s.Token))
		}
		return errors.Join(errs...)
	}
	if s.User == "" {
		errs = append(errs, fmt.Errorf("security: %s needs a User", s.Mechanism))
	}
	errs = append(errs, named("Password", s.Password))
	if s.TokenProvider != nil || !s.Token.IsZero() {
		errs = append(errs, fmt.Errorf("security: %s has a user with a password, not a token", s.Mechanism))
	}
	return errors.Join(errs...)
}

// named says which secret is wrong.
func named(name string, s Secret) error {
	if err := s.validate(); err != nil {
		return fmt.Errorf("%w (%s)", err, name)
	}
	return nil
}

// BearerToken returns the token of OAuthBearer.
func (s *SASL) BearerToken(ctx context.Context) (string, error) {
	if s.TokenProvider == nil {
		return s.Token.Read()
	}
	token, err := s.TokenProvider(ctx)
	if err != nil {
		return "", fmt.Errorf("security: asking for a token: %w", err)
	}
	return token, nil
}

// Config reads the files and returns the configuration of a client. ServerName is
// left empty where it is the host of each address.
func (t *TLS) Config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("security: reading the certificates to trust: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("security: reading the certificates to trust: %s has no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("security: reading the certificate %s and its key %s: %w", t.Cert, t.Key, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}
