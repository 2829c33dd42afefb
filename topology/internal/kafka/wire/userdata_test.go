package wire

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/assign"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	must(t, err)
	return b
}

func TestUserDataGolden(t *testing.T) {
	t.Parallel()
	state := map[int32]int64{0: 1, 2: 300, 128: math.MaxInt64}
	want := golden(t, "userdata-state.hex")
	if got := appendState(nil, map[int32]int64{0: 1, 1: 0, 2: 300, 3: -1, 128: math.MaxInt64}); !bytes.Equal(got, want) {
		t.Errorf("state: % x, want % x", got, want)
	}
	got, err := decodeState(want)
	if diff := cmp.Diff(state, got); err != nil || diff != "" {
		t.Errorf("state: %v %s", err, diff)
	}
	share := assign.Share{Standby: []int32{0, 7, 300}, Gives: true}
	want = golden(t, "userdata-share.hex")
	if got := appendShare(nil, share); !bytes.Equal(got, want) {
		t.Errorf("share: % x, want % x", got, want)
	}
	told, err := decodeShare(want)
	if diff := cmp.Diff(share, told); err != nil || diff != "" {
		t.Errorf("share: %v %s", err, diff)
	}
}

func TestUserDataOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"userdata-state.hex", "userdata-share.hex"} {
		whole := golden(t, name)
		decode := func(b []byte) error {
			if name == "userdata-state.hex" {
				_, err := decodeState(b)
				return err
			}
			_, err := decodeShare(b)
			return err
		}
		must(t, decode(whole))
		for i := range whole {
			if decode(whole[:i]) == nil {
				t.Errorf("%s: the first %d bytes are read", name, i)
			}
		}
		other := bytes.Clone(whole)
		other[0]++
		if err := decode(other); err == nil || !strings.Contains(err.Error(), "format 2") {
			t.Errorf("%s: format 2: %v", name, err)
		}
		if decode(append(bytes.Clone(whole), 0)) == nil {
			t.Errorf("%s: a byte too many is read", name)
		}
	}
	for _, b := range [][]byte{
		{1, 2, 5, 1, 4, 1},                         // numbers that go down
		{1, 2, 5, 1, 5, 1},                         // twice the same
		{1, 1, 5, 0},                               // no amount
		{1, 1, 0x80, 0, 1},                         // a number that is too long
		{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1},    // a number beyond those of partitions
		{1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1}, // more entries than bytes
	} {
		if got, err := decodeState(b); err == nil {
			t.Errorf("% x is read as %v", b, got)
		}
	}
}

func FuzzDecodeUserData(f *testing.F) {
	f.Add(golden(f, "userdata-state.hex"))
	f.Add(golden(f, "userdata-share.hex"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && !bytes.Equal(appendState(nil, s), b) {
			t.Errorf("% x is read as %v", b, s)
		}
		if s, err := decodeShare(b); err == nil && !bytes.Equal(appendShare(nil, s), b) {
			t.Errorf("% x is read as %v", b, s)
		}
	})
}

func TestSubscriptionTellsWhatAMemberHas(t *testing.T) {
	t.Parallel()
	m := &membership{Member: kafka.Member{ID: "x", Generation: 7}, owned: []record.TopicPartition{
		{Topic: "a", Partition: 0}, {Topic: "a", Partition: 2}, {Topic: "b", Partition: 1},
	}}
	got := subscription([]string{"b", "a"}, m, map[int32]int64{3: 9})
	want := &sarama.ConsumerGroupMemberMetadata{
		Version: 2, Topics: []string{"b", "a"}, GenerationID: 7, UserData: []byte{1, 1, 3, 9},
		OwnedPartitions: []*sarama.OwnedPartition{{Topic: "a", Partitions: []int32{0, 2}}, {Topic: "b", Partitions: []int32{1}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
