package wire

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamrun/streamrun/topology/internal/kafka/kafkatest"
)

// realBrokers has the addresses of a real cluster, for example of integration/kafka/up.
const realBrokers = "KAFKA_BROKERS"

func TestConformsOnARealCluster(t *testing.T) {
	addrs := os.Getenv(realBrokers)
	if addrs == "" {
		t.Skipf("no real cluster: %s is not set", realBrokers)
	}
	run := rand.Text() // the cluster may have what an earlier run left
	var cases atomic.Int32
	kafkatest.Run(t, func(t *testing.T) kafkatest.Harness {
		c, err := New(Options{Brokers: strings.Split(addrs, ",")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
		const real = "a real broker misbehaves only as it likes; the embedded one is made to"
		return kafkatest.Harness{
			Cluster: c,
			Prefix:  fmt.Sprintf("%s-%d-", run, cases.Add(1)),
			Kick:    (&harness{t: t, cluster: c}).kick,
			Without: map[kafkatest.Feature]string{
				kafkatest.InjectCodes:     real,
				kafkatest.InjectLost:      real,
				kafkatest.InjectLostLater: real,
				kafkatest.HoldMarkers:     real,
			},
		}
	})
}
