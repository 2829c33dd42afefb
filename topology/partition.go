package topology

// Partition returns the partition of a key among n, as Java producers, sarama's
// murmur2 partitioner and Kafka Streams choose it: the 31 low bits of murmur2 of
// the key, modulo n. A null key goes to partition from modulo n, from being the
// partition of the task that writes: a task's output is a function of its input,
// so nothing is drawn at random.
func Partition(key []byte, n, from int32) int32 {
	if key == nil {
		return from % n
	}
	return int32(Murmur2(key)&0x7fffffff) % n
}

// Murmur2 is the 32-bit hash of Kafka's default partitioner: Austin Appleby's
// MurmurHash2 with the seed 0x9747b28c (public domain).
func Murmur2(key []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := uint32(seed) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
