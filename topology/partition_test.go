package topology

import "testing"

// Values of the default partitioner's hash in Apache Kafka.
func TestMurmur2IsJavas(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(Murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionOfANullKeyIsTheWritersOwn(t *testing.T) {
	t.Parallel()
	if got := Partition(nil, 4, 7); got != 3 {
		t.Errorf("partition %d, want 3", got)
	}
	if got, want := Partition([]byte{}, 4, 7), int32(Murmur2(nil)&0x7fffffff)%4; got != want {
		t.Errorf("an empty key is not null: partition %d, want %d", got, want)
	}
}

func TestPartitionTakesTheLowBitsAsJavaDoes(t *testing.T) {
	t.Parallel()
	// 2^31 + hash, modulo 10, of the negative hashes above.
	for key, want := range map[string]int32{"21": 0, "foobar": 6, "a-little-bit-long-string": 2, "abc": 7} {
		if got := Partition([]byte(key), 10, 3); got != want {
			t.Errorf("partition of %q: %d, want %d", key, got, want)
		}
	}
}
