package mem_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/kafkatest"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness makes a broker with the given options conform.
func harness(t *testing.T, opts mem.Options) kafkatest.Harness {
	b := mem.New(opts)
	c := b.Connect()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	outcomes := map[kafkatest.Outcome]mem.Outcome{
		kafkatest.Answered: mem.Answered, kafkatest.LostNever: mem.LostNever,
		kafkatest.LostApplied: mem.LostApplied, kafkatest.LostLater: mem.LostLater,
	}
	return kafkatest.Harness{
		Cluster: c,
		Inject: func(f kafkatest.Fault) func() {
			return b.Inject(mem.Fault{Request: mem.Request(f.Request), Code: f.Code, Outcome: outcomes[f.Outcome], Times: f.Times})
		},
		HoldMarkers: b.HoldMarkers,
		Kick: func(group string, member kafka.Member) error {
			if !b.Kick(group, member.ID) {
				return fmt.Errorf("group %s has no member %q", group, member.ID)
			}
			return nil
		},
	}
}

func TestConforms(t *testing.T) {
	kafkatest.RunVirtual(t, func(t *testing.T) kafkatest.Harness { return harness(t, mem.Options{}) })
}

// With late markers every rule holds too; they land as on three real nodes.
func TestConformsWithLateMarkers(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			kafkatest.RunVirtual(t, func(t *testing.T) kafkatest.Harness {
				return harness(t, mem.Options{Seed: seed, MarkerDelay: 20 * time.Millisecond})
			})
		})
	}
}
