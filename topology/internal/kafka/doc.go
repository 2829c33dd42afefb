// Package kafka is the seam to Kafka: small interfaces, with sarama's protocol
// layer behind them and an in-memory log beside it.
package kafka
