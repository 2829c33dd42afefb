package policies_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/policies"
)

func ExampleContract() {
	c := policies.Contract{
		EventsFor: "order_id",
		Because:   "a payment applied after a cancellation would charge a closed order",
		MaxWait:   5 * time.Second,
		Classes:   map[string]policies.Class{"viewed": {Early: policies.EarlyApply, Late: policies.LateDrop}},
	}
	fmt.Println(c.Sentence())
	independent, why := c.OrderIndependent()
	fmt.Println(independent, why)
	// Output:
	// events for order_id must be processed in order because a payment applied after a cancellation would charge a closed order
	// false an early event may be applied ahead of its turn (early: apply); an event that comes more than 5s after one that waits for it finds the entity parked (on_timeout: park); within that time the order makes no difference
}

func ExampleContract_Validate() {
	c := policies.Contract{
		EventsFor: "order_id",
		Because:   "a refund must follow its payment",
		OnTimeout: policies.OnTimeoutHold,
	}
	err := c.Validate(policies.Facts{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, policies.CodeDeadlock))
	// Output:
	// policies: contract: on_overflow: pause stops the partition, and on_timeout: hold waits for an event that may lie behind the paused one: neither gives way; say on_overflow: park or skip, or on_timeout: park, skip or rebuild
	// true
}

func ExampleAppendHeaders() {
	codec, err := policies.NewHeaderCodec(policies.HeaderNames{}, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := policies.Metadata{Entity: "order-7", HasSequence: true, Sequence: 3, ID: "paid-7", Class: "paid"}
	headers, err := policies.AppendHeaders(codec, []policies.Header(nil), &m)
	for _, h := range headers {
		fmt.Printf("%s: %s\n", h.Key, h.Value)
	}
	var read policies.Metadata
	fmt.Println(err, policies.ReadHeaders(codec, &read, headers, nil), read == m)
	// Output:
	// ce_id: paid-7
	// ce_sequence: 0000000000000000003
	// ce_partitionkey: order-7
	// ce_type: paid
	// <nil> <nil> true
}

func ExampleEffectID() {
	fmt.Println(policies.EffectID{App: "shop", Effect: "charge", Entity: "order/7", Sequence: 3})
	// Output: shop/charge/order%2F7/0/3/0
}
