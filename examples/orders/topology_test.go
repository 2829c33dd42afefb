package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/serde"
	"github.com/streamrun/streamrun/topology/topologytest"
)

func driver(t *testing.T) (*topologytest.Driver, *topologytest.InputTopic[string, Event]) {
	t.Helper()
	topo, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	d := topologytest.New(t, topo, topologytest.Options{})
	return d, topologytest.Input(d, "orders", serde.Of(serde.String(), serde.JSON[Event]()))
}

func table(d *topologytest.Driver) map[string]Total {
	return topologytest.Table(d, "order-totals", serde.Of(serde.String(), serde.JSON[Total]()))
}

func TestAPaymentThatComesEarlyWaits(t *testing.T) {
	t.Parallel()
	d, orders := driver(t)
	created := Event{OrderID: "o1", Seq: 1, EventID: "e1", Type: "created"}
	viewed := Event{OrderID: "o1", Seq: 2, EventID: "e2", Type: "viewed"}
	paid := Event{OrderID: "o1", Seq: 3, EventID: "e3", Type: "paid", Amount: 500}
	orders.Send("o1", created)
	orders.Send("o1", paid)
	if got := table(d)["o1"]; got.Cents != 0 {
		t.Errorf("the payment did not wait: %+v", got)
	}
	orders.Send("o1", viewed)
	orders.Send("o1", paid) // a retry of the producer
	want := map[string]Total{"o1": {Status: "paid", Cents: 500, Events: 3}}
	if diff := cmp.Diff(want, table(d)); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingEventParksItsOrderAlone(t *testing.T) {
	t.Parallel()
	d, orders := driver(t)
	orders.Send("o1", Event{OrderID: "o1", Seq: 2, EventID: "e2", Type: "paid", Amount: 500})
	d.Advance(31 * time.Second)
	orders.Send("o2", Event{OrderID: "o2", Seq: 1, EventID: "f1", Type: "created"})
	letters := topologytest.Letters(d, "orders-example-in-order-dlq")
	if len(letters) != 1 || letters[0].Reason != policies.ReasonGapTimeout || letters[0].Entity != "o1" {
		t.Errorf("letters %+v", letters)
	}
	if got := table(d); len(got) != 1 || got["o2"].Status != "created" {
		t.Errorf("table %+v", got)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	topo, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/describe.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), topo.Describe().String()); diff != "" {
		t.Error(diff)
	}
}
