package decide_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

func TestTasksAreWhole(t *testing.T) {
	topics := [][]string{{"a", "b"}, {"c"}}
	tp := func(topic string, p int32) record.TopicPartition {
		return record.TopicPartition{Topic: topic, Partition: p}
	}
	tasks, split := decide.Tasks(topics, []record.TopicPartition{tp("c", 1), tp("a", 1), tp("a", 0), tp("b", 0), tp("other", 3)})
	if diff := cmp.Diff([]decide.Task{{Sub: 0, Partition: 0}, {Sub: 1, Partition: 1}}, tasks); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]decide.Task{{Sub: 0, Partition: 1}}, split); diff != "" {
		t.Errorf("split (-want +got):\n%s", diff)
	}
}

func TestSpreadFillsTheLeastLoaded(t *testing.T) {
	load := []int{2, 0, 1}
	if got, want := decide.Spread(load, 4), []int{1, 1, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Equal(load, []int{2, 0, 1}) {
		t.Errorf("the caller's load became %v", load)
	}
}

func TestATaskAssignedAgainIsNotIntact(t *testing.T) {
	var h decide.Holdings
	a, b := decide.Task{Partition: 1}, decide.Task{Partition: 2}
	first := h.Assign([]decide.Task{a, b})
	if !h.Intact(first) {
		t.Fatal("not intact at once")
	}
	if again := h.Assign([]decide.Task{a, b}); len(again) != 0 || !h.Intact(first) {
		t.Fatalf("a generation in which nothing moved: fresh %v, intact %v", again, h.Intact(first))
	}
	h.Drop([]decide.Task{a})
	if h.Intact(first) {
		t.Fatal("intact without a")
	}
	second := h.Assign([]decide.Task{a})
	if h.Intact(first) {
		t.Fatal("a came back, and what was stepped before speaks for it")
	}
	if !h.Intact(append(second, first[1])) {
		t.Fatal("what is held now is not intact")
	}
}

func TestRetryWaitsLongerAndGivesUp(t *testing.T) {
	var r decide.Retry
	now := time.Unix(0, 0)
	var last time.Duration
	for range 20 {
		again, giveUp := r.Failed(now, time.Minute)
		wait := again.Sub(now)
		if wait < last || wait > 5*time.Second {
			t.Fatalf("waits %v after %v", wait, last)
		}
		if giveUp != (now.Sub(time.Unix(0, 0)) > time.Minute) {
			t.Fatalf("at %v: gives up: %v", now.Sub(time.Unix(0, 0)), giveUp)
		}
		last, now = wait, again
	}
	r.Succeeded()
	if again, giveUp := r.Failed(now, time.Minute); giveUp || again.Sub(now) >= last {
		t.Fatal("a success does not end the row")
	}
}
