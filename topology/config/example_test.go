package config_test

import (
	"fmt"

	"github.com/streamrun/streamrun/topology/config"
)

func ExampleParse() {
	_, err := config.Parse("stream.yaml", []byte(`version: 1
name: totals
contract: {events_for: order_id, because: a late payment would charge a closed order}
inputs:
  orders: {topik: orders, key: event.order_id, sequence: event.seq + }
steps:
  - {name: in_order, from: orders, in_order: true}
  - {name: totals, from: in_ordr, state: {update: "state.total + event.amount"}}
outputs:
  totals: {from: totals, kind: table, topic: order-totals}
dlq: {topic: order-totals.dlq}
`), nil)
	fmt.Println(err)
	// Output:
	// stream.yaml:5:12: inputs.orders: unknown key "topik" (did you mean "topic"?) [SR1003]
	// stream.yaml:5:68: inputs.orders.sequence: the expression ends too early [SR1009]
	// stream.yaml:8:26: steps.totals.from: nothing here is named "in_ordr" (did you mean "in_order"?) [SR1008]
}

func ExampleFile_Update() {
	file, err := config.Load("testdata/whole.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := config.Record{Key: "o1"}
	if r.Value, err = file.Decode([]byte(`{"order_id": "o1", "seq": 5, "event_id": "e5", "type": "paid", "at": 0, "amount": 12}`)); err != nil {
		fmt.Println(err)
		return
	}
	meta, err := file.Metadata(&r)
	if err != nil {
		fmt.Println(err)
		return
	}
	state, err := file.Update(&meta, r.Value, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := file.EncodeState(nil, state)
	fmt.Println(string(text), err)
	// Output:
	// {"lines":[{"at":0,"class":"paid","epoch":0,"id":"e5","key":"o1","seq":5,"version":0}],"total":12} <nil>
}
