package wire

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/security"
)

// secure puts what a connection needs of the security into its configuration and its
// socket. Files and secrets are read anew each time.
func secure(ctx context.Context, sec *security.Security, conf *sarama.Config, sock *socket) error {
	if sec.TLS != nil {
		c, err := sec.TLS.Config()
		if err != nil {
			return fmt.Errorf("%w: %w", kafka.ErrTLS, err)
		}
		sock.tls = c
	}
	if sec.SASL == nil {
		return nil
	}
	s := &conf.Net.SASL
	s.Enable, s.Handshake, s.Version = true, true, sarama.SASLHandshakeV1
	if sec.SASL.Mechanism == security.OAuthBearer {
		s.Mechanism, s.TokenProvider = sarama.SASLTypeOAuth, bearer{sec.SASL, conf.Net.ReadTimeout}
		return nil
	}
	password, err := sec.SASL.Password.Read()
	if err != nil {
		return fmt.Errorf("%w: %w", kafka.ErrCredentials, err)
	}
	s.User, s.Password = sec.SASL.User, password
	switch sec.SASL.Mechanism {
	case security.ScramSHA256:
		s.Mechanism, s.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA256, conversing(sha256.New)
	case security.ScramSHA512:
		s.Mechanism, s.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA512, conversing(sha512.New)
	default:
		s.Mechanism = sarama.SASLTypePlaintext
	}
	return ctx.Err()
}

// bearer gives sarama the token of a connection, also when the broker asks for
// another one while the connection lasts.
type bearer struct {
	sasl    *security.SASL
	timeout time.Duration
}

// Token implements sarama.AccessTokenProvider.
func (b bearer) Token() (*sarama.AccessToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.timeout)
	defer cancel()
	token, err := b.sasl.BearerToken(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kafka.ErrCredentials, err)
	}
	return &sarama.AccessToken{Token: token}, nil
}

// conversing makes SCRAM clients, of which sarama has the interface only.
func conversing(h func() hash.Hash) func() sarama.SCRAMClient {
	return func() sarama.SCRAMClient { return &conversation{hash: h} }
}

// A conversation is one SCRAM login.
type conversation struct {
	hash func() hash.Hash
	*scram.ClientConversation
}

// Begin implements sarama.SCRAMClient.
func (c *conversation) Begin(user, password, authzID string) error {
	client, err := scram.HashGeneratorFcn(c.hash).NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	c.ClientConversation = client.NewConversation()
	return nil
}

// recordAlert is the first byte of what a TLS server says to a client that does not
// speak TLS. An answer of Kafka begins with its length, whose first byte is 0.
const recordAlert = 0x15

// handshake makes a TLS connection of a plain one.
func handshake(ctx context.Context, raw net.Conn, conf *tls.Config, addr string) (net.Conn, error) {
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", kafka.ErrTLS, err)
		}
		conf.ServerName = host
	}
	c := tls.Client(raw, conf)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, nil
	}
	_ = raw.Close()
	var (
		certificate *tls.CertificateVerificationError
		header      tls.RecordHeaderError
		socket      *net.OpError
	)
	hint := "see that the broker takes this client's certificate and TLS version"
	switch {
	case errors.As(err, &certificate):
		hint = "see that the CA is the one that signed the broker's certificate, and that the server name is in it"
	case errors.As(err, &header), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &socket) && socket.Op == "read":
		hint = "the broker does not speak TLS on this port: name the port where it does, or leave TLS out"
	}
	return nil, fmt.Errorf("%w: %w (%s)", kafka.ErrTLS, err, hint)
}

// refusal says why a connection was not made, and what could be done.
func refusal(err error, sec *security.Security, sock *socket) error {
	switch {
	case errors.Is(err, kafka.ErrTLS), errors.Is(err, kafka.ErrCredentials):
		return err
	case sock.alert.Load():
		return fmt.Errorf("%w: the broker speaks TLS on this port, and this client does not: configure TLS (%w)", kafka.ErrTLS, err)
	case sec.SASL != nil && errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return fmt.Errorf("%w of %s: %w (see that user, secret and mechanism are right)", kafka.ErrCredentials, who(sec.SASL), err)
	case sec.SASL != nil && errors.Is(err, sarama.ErrUnsupportedSASLMechanism):
		return fmt.Errorf("%w of %s: %w (take a mechanism that the broker has)", kafka.ErrCredentials, who(sec.SASL), err)
	case sec.SASL != nil && errors.Is(err, sarama.ErrIllegalSASLState):
		return fmt.Errorf("%w of %s: %w (it may not know SASL on this port)", kafka.ErrCredentials, who(sec.SASL), err)
	case sec.SASL != nil && errors.Is(err, io.EOF) && sock.heard.Load():
		// It answered what came before the login.
		return fmt.Errorf("%w of %s: %w (it closed the connection; see that user, secret and mechanism are right)", kafka.ErrCredentials, who(sec.SASL), err)
	case sec.TLS == nil && errors.Is(err, io.EOF):
		return fmt.Errorf("%w (the broker closed the connection at once: it may speak TLS on this port: configure TLS)", err)
	}
	// With TLS 1.3 a server refuses the client's certificate behind the handshake.
	if remote := (*net.OpError)(nil); errors.As(err, &remote) && remote.Op == "remote error" {
		return fmt.Errorf("%w: %w (see that the broker takes this client's certificate)", kafka.ErrTLS, err)
	}
	return err
}

// who names who wanted to connect.
func who(s *security.SASL) string {
	if s.Mechanism == security.OAuthBearer {
		return string(s.Mechanism)
	}
	return fmt.Sprintf("%s %q", s.Mechanism, s.User)
}
