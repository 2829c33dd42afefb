//go:build linux

package realkafka

import (
	"cmp"
	crypto "crypto/rand"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology"
)

const (
	partitions = 8
	events     = 24_000
	cases      = 800
	rate       = 2000 // deliveries a second
	kills      = 8    // at least
	open       = 5    // so many at least inside an open transaction
	mostKills  = 24   // then it is given up
	window     = 50   // events are shuffled within so many
	copies     = 10   // one event of so many is delivered twice
)

// The main job: the app of examples/permits reads shuffled and duplicated events, is
// killed again and again, and its table goes through the states of the in-order fold,
// to the last.
func TestMainJobOverKills(t *testing.T) {
	c := real(t)
	program := streamrun(t)
	seed := rand.Uint64()
	t.Logf("seed %d, %d brokers", seed, len(c.brokers))
	rng := rand.New(rand.NewPCG(seed, 0))

	feed, want := permits(t, program, seed)
	name := "permits-" + strings.ToLower(crypto.Text())
	input := name + "-in"
	c.create(input, partitions)
	deliveries := deliver(rng, input, feed)

	a := &app{t: t, program: program, args: []string{
		"run", "-c", file(t, name), "--brokers", strings.Join(c.brokers, ","),
		"--instance", "one", "--data-dir", t.TempDir(),
	}}
	a.start()

	producer, err := sarama.NewAsyncProducerFromClient(c.client)
	if err != nil {
		t.Fatal(err)
	}
	fed := make(chan error, 1)
	pace := make(chan int, mostKills+1) // how many more may be sent
	go func() { fed <- send(producer, deliveries, pace) }()

	journal := c.journal(name)
	killed, inside := 0, 0
	share := len(deliveries) / (mostKills + 1)
	for ; killed < kills || inside < open; killed++ {
		if killed == mostKills {
			t.Fatalf("only %d of %d kills met an open transaction, want %d", inside, killed, open)
		}
		pace <- share
		// Every fourth kill comes at any time: while it starts, restores or waits.
		<-time.After(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
		if killed%4 != 3 {
			c.eventually(fmt.Sprintf("kill %d: a transaction is open", killed+1), func() bool {
				a.alive()
				return c.undecided(journal)
			})
		}
		a.kill()
		// A transaction that was being ended gets its markers without the app.
		if c.poll(500*time.Millisecond, func() bool { return !c.undecided(journal) }) != nil {
			inside++
		}
		a.start()
	}
	pace <- len(deliveries) - killed*share
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d deliveries of %d events, %d kills, %d inside an open transaction", len(deliveries), len(feed), killed, inside)
	c.consumed(a, name, input)
	a.stop()
	judge(t, c.read(name+"-cases"), want)
	if letters := c.read(name + "-dlq"); len(letters) > 0 {
		t.Errorf("%d dead letters, the first: %s %v", len(letters), letters[0].Value, letters[0].Headers)
	}
}

// permits generates events, and folds them.
func permits(t *testing.T, program string, seed uint64) ([]permit, map[string][]permitCase) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "generate", "permits",
		"--events", strconv.Itoa(events), "--entities", strconv.Itoa(cases), "--seed", strconv.FormatUint(seed, 10)).Output()
	if err != nil {
		t.Fatal(err)
	}
	feed, err := readPermits(out)
	if err != nil || len(feed) != events {
		t.Fatalf("%d events, %v", len(feed), err)
	}
	want, err := foldPermits(feed)
	if err != nil {
		t.Fatal(err)
	}
	return feed, want
}

// file writes the example's file under names of the test's own.
func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "permits", "streamrun.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for _, change := range [][2]string{
		{"name: permits\n", "name: " + name + "\n"},
		{"kafka:\n", "kafka:\n" + security(owner())},
		{"topic: permits\n", "topic: " + name + "-in\n"},
		{"topic: permits-cases}", "topic: " + name + "-cases}"},
		{"topic: permits-dlq}", "topic: " + name + "-dlq}"},
		{"partitions: 8\n", fmt.Sprintf("partitions: %d\n", partitions)},
	} {
		if strings.Count(s, change[0]) != 1 {
			t.Fatalf("the example has %q %d times", change[0], strings.Count(s, change[0]))
		}
		s = strings.Replace(s, change[0], change[1], 1)
	}
	return write(t, s)
}

// write writes a topology file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streamrun.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// deliver shuffles the events within windows and delivers some again later.
func deliver(rng *rand.Rand, topic string, feed []permit) []*sarama.ProducerMessage {
	type delivery struct {
		at    int
		event permit
	}
	var all []delivery
	for i, e := range feed {
		all = append(all, delivery{i + rng.IntN(window), e})
		if rng.IntN(copies) == 0 {
			all = append(all, delivery{i + rng.IntN(10*window), e})
		}
	}
	slices.SortStableFunc(all, func(a, b delivery) int { return cmp.Compare(a.at, b.at) })
	messages := make([]*sarama.ProducerMessage, len(all))
	for i, d := range all {
		messages[i] = &sarama.ProducerMessage{
			Topic: topic, Partition: topology.Partition([]byte(d.event.CaseID), partitions, 0),
			Key: sarama.StringEncoder(d.event.CaseID), Value: sarama.ByteEncoder(d.event.line),
		}
	}
	return messages
}

// send produces the messages at the rate, as far as pace lets it.
func send(producer sarama.AsyncProducer, messages []*sarama.ProducerMessage, pace <-chan int) error {
	defer producer.AsyncClose()
	const step = 10 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	acked, allowed, due, sent := 0, 0, 0, 0
	for acked < len(messages) {
		input := producer.Input()
		var next *sarama.ProducerMessage
		if sent < due {
			next = messages[sent]
		} else {
			input = nil
		}
		select {
		case input <- next:
			sent++
		case <-producer.Successes():
			acked++
		case err := <-producer.Errors():
			return err
		case n := <-pace:
			allowed += n
		case <-tick.C:
			due = min(allowed, due+int(rate*step/time.Second))
		}
	}
	return nil
}

// journal waits for the app's journal topic and returns its name: every commit that
// does something writes to it.
func (c *cluster) journal(app string) (name string) {
	c.t.Helper()
	c.eventually("the app has made its journal", func() bool {
		_ = c.client.RefreshMetadata()
		topics, err := c.client.Topics()
		for _, topic := range topics {
			if strings.HasPrefix(topic, app) && strings.HasSuffix(topic, "-journal") {
				name = topic
			}
		}
		return err == nil && name != ""
	})
	return name
}

// consumed waits until the app has committed everything that was sent.
func (c *cluster) consumed(a *app, group, input string) {
	c.t.Helper()
	ends, err := c.ends(input, sarama.ReadUncommitted)
	if err != nil {
		c.t.Fatal(err)
	}
	ask := map[string][]int32{input: slices.Sorted(maps.Keys(ends))}
	at := map[int32]int64{}
	c.eventually(fmt.Sprintf("%v are consumed", ends), func() bool {
		a.alive()
		got, err := c.admin.ListConsumerGroupOffsets(group, ask)
		if err != nil {
			return false
		}
		for p, b := range got.Blocks[input] {
			at[p] = b.Offset
		}
		return reflect.DeepEqual(at, ends)
	})
}

// judge compares the table, and the way to it, with the fold: an update is one of the
// states of its case, behind the one before. Several events of one commit make one.
func judge(t *testing.T, table []*sarama.ConsumerMessage, want map[string][]permitCase) {
	t.Helper()
	reached := map[string]int{}
	for _, m := range table {
		key := string(m.Key)
		got, err := readCase(m.Value)
		n, states := got.Events, want[key]
		if err != nil || n <= reached[key] || n > len(states) || !reflect.DeepEqual(got, states[n-1]) {
			t.Fatalf("%s-%d@%d: case %s, that had %d events, is %s (%v)\n  its states: %+v",
				m.Topic, m.Partition, m.Offset, key, reached[key], m.Value, err, states)
		}
		reached[key] = n
	}
	for key, states := range want {
		if reached[key] != len(states) {
			t.Errorf("case %s has %d events, want %d", key, reached[key], len(states))
		}
	}
	t.Logf("%d updates of %d cases", len(table), len(reached))
}
