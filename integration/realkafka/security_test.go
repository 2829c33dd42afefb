package realkafka

import (
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash"
	"os"
	"testing"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

// A user is who connects to a cluster that asks (SEC=1 of integration/kafka/up); the
// zero value to one that does not.
type user struct {
	name     string
	password string // as the topology file says it
}

// owner may do everything.
func owner() user { return user{os.Getenv("KAFKA_USERNAME"), "{env: KAFKA_PASSWORD}"} }

// powerless may do what a test grants it, under names of the test's own.
func powerless() user {
	return user{os.Getenv("KAFKA_POWERLESS_USERNAME"), "{env: KAFKA_POWERLESS_PASSWORD}"}
}

// security returns what the kafka section of a topology file says of a user.
func security(u user) string {
	if u.name == "" {
		return ""
	}
	return fmt.Sprintf("  tls: {ca: %q}\n  sasl: {mechanism: scram-sha-512, user: %q, password: %s}\n", os.Getenv("KAFKA_CA_FILE"), u.name, u.password)
}

// login has the owner connect.
func login(t *testing.T, conf *sarama.Config) {
	t.Helper()
	name := owner().name
	if name == "" {
		return
	}
	pem, err := os.ReadFile(os.Getenv("KAFKA_CA_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", os.Getenv("KAFKA_CA_FILE"))
	}
	conf.Net.TLS.Enable, conf.Net.TLS.Config = true, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	s := &conf.Net.SASL
	s.Enable, s.Mechanism, s.User, s.Password = true, sarama.SASLTypeSCRAMSHA512, name, os.Getenv("KAFKA_PASSWORD")
	s.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{} }
}

// A conversation is one SCRAM login.
type conversation struct{ *scram.ClientConversation }

// Begin implements sarama.SCRAMClient.
func (c *conversation) Begin(user, password, authzID string) error {
	client, err := scram.HashGeneratorFcn(func() hash.Hash { return sha512.New() }).NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	c.ClientConversation = client.NewConversation()
	return nil
}
