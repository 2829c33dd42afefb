// Package security says how an app and a Kafka cluster make sure of each other: TLS,
// SASL, and the secrets for both.
//
//	s := security.Security{
//		TLS:  &security.TLS{CA: "ca.pem"},
//		SASL: &security.SASL{Mechanism: security.ScramSHA512, User: "orders", Password: security.Secret{Env: "KAFKA_PASSWORD"}},
//	}
//	err := s.Validate()
//
// The zero value is a plain connection of nobody. Files and secrets are read again for
// every connection, so that what is renewed in place is taken over without a restart.
//
// # Invariants
//
//  1. A Secret prints as ***, whatever prints it: fmt, encoding/json, log/slog. No
//     error has a secret's text in it.
//  2. Neither a password nor a token goes over a connection without TLS unless
//     SASL.Insecure says so.
//  3. There is no way to accept a broker's certificate unseen, and no TLS below 1.2.
//
// # Non-obvious
//
//   - SCRAM hides the password itself, but who listens can guess at it at leisure and
//     take over the connection, so it is refused without TLS like the others.
package security
