//go:build linux

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/IBM/sarama"
)

const (
	mechanism  = "SCRAM-SHA-512"
	keyStore   = "key.p12"
	trustStore = "trust.p12"
	caFile     = "ca.pem"
)

// security is what a secured cluster and its clients know.
type security struct {
	Admin user   `json:"admin"` // a super user
	User  user   `json:"user"`  // one that may do nothing yet
	Store string `json:"store"` // the password of the key and trust stores
}

type user struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

func newUser(name string) user { return user{Name: name, Password: rand.Text()} }

// Credentials are what a client of a secured cluster needs.
type Credentials struct {
	Username string
	Password string
	CAFile   string // PEM
}

// Secured reports whether clients need credentials.
func (c *Cluster) Secured() bool { return c.state.Security != nil }

// Admin returns the credentials of a super user, User those of a user without any
// right. They are zero where the cluster is not secured.
func (c *Cluster) Admin() Credentials {
	if s := c.state.Security; s != nil {
		return Credentials{s.Admin.Name, s.Admin.Password, c.file(caFile)}
	}
	return Credentials{}
}

// User returns the credentials of a user that may do nothing, until somebody adds an
// ACL.
func (c *Cluster) User() Credentials {
	if s := c.state.Security; s != nil {
		return Credentials{s.User.Name, s.User.Password, c.file(caFile)}
	}
	return Credentials{}
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// certify makes one key for all nodes (they have one address), the certificate for
// clients to trust, and the store by which nodes trust each other.
func (c *Cluster) certify(ctx context.Context) error {
	pass := c.state.Security.Store
	for _, args := range [][]string{
		{
			"-genkeypair", "-alias", "broker", "-keyalg", "RSA", "-keysize", "2048", "-validity", "365",
			"-dname", "CN=localhost", "-ext", "san=ip:" + loopback + ",dns:localhost",
			"-storetype", "PKCS12", "-keystore", c.file(keyStore), "-storepass", pass,
		},
		{"-exportcert", "-rfc", "-alias", "broker", "-keystore", c.file(keyStore), "-storepass", pass, "-file", c.file(caFile)},
		{"-importcert", "-noprompt", "-alias", "broker", "-storetype", "PKCS12", "-keystore", c.file(trustStore), "-storepass", pass, "-file", c.file(caFile)},
	} {
		if out, err := exec.CommandContext(ctx, "keytool", args...).CombinedOutput(); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				return &MissingError{Program: "keytool"}
			}
			return fmt.Errorf("cluster: keytool %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// ClientConfig returns sarama's defaults and what it needs to log in with the
// credentials; zero ones are for a cluster that is not secured.
func ClientConfig(who Credentials) (*sarama.Config, error) {
	conf := sarama.NewConfig()
	if who == (Credentials{}) {
		return conf, nil
	}
	pem, err := os.ReadFile(who.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cluster: certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cluster: no certificate in %s", who.CAFile)
	}
	conf.Net.TLS.Enable = true
	conf.Net.TLS.Config = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	conf.Net.SASL.Enable = true
	conf.Net.SASL.Mechanism = sarama.SASLTypeSCRAMSHA512
	conf.Net.SASL.User, conf.Net.SASL.Password = who.Username, who.Password
	conf.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scram{hash: sha512.New} }
	return conf, nil
}
