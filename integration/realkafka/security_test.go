//go:build linux

package realkafka

import (
	"fmt"
	"os"
	"testing"

	"github.com/IBM/sarama"

	nodes "github.com/streamrun/streamrun/integration/kafka/cluster"
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

// login returns sarama's defaults, with which the owner connects.
func login(t *testing.T) *sarama.Config {
	t.Helper()
	var who nodes.Credentials
	if u := owner(); u.name != "" {
		who = nodes.Credentials{Username: u.name, Password: os.Getenv("KAFKA_PASSWORD"), CAFile: os.Getenv("KAFKA_CA_FILE")}
	}
	conf, err := nodes.ClientConfig(who)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}
