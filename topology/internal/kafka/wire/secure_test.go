package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/security"
)

// An authority signs certificates.
type authority struct {
	dir  string
	file string // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key, a.file, _ = a.certificate(t, "ca")
	return a
}

// certificate makes a certificate for a name and 127.0.0.1, and its files.
func (a *authority) certificate(t *testing.T, name string) (cert *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        a.cert == nil, BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(t, err)
	cert, err = x509.ParseCertificate(der)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key, certFile, keyFile
}

// server is the broker's side.
func (a *authority) server(t *testing.T, name string) *tls.Config {
	t.Helper()
	_, _, cert, key := a.certificate(t, name)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
}

// connect opens a cluster and asks for its id.
func connect(t *testing.T, opts Options) (kafka.Cluster, error) {
	t.Helper()
	c, err := New(opts)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { must(t, c.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = c.ID(ctx)
	if err != nil && ctx.Err() != nil {
		t.Fatalf("hangs: %v", err)
	}
	return c, err
}

// roundTrip writes and reads back.
func roundTrip(t *testing.T, c kafka.Cluster) {
	t.Helper()
	newTopic(t, c, "t", 1)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
	tp := record.TopicPartition{Topic: "t"}
	commit(t, p, record.Output{TopicPartition: tp, Value: []byte("0")}, record.Output{TopicPartition: tp, Value: []byte("1")})
	if got := readTo(t, c, tp, endOf(t, c, tp)); len(got) != 2 {
		t.Fatalf("%d records", len(got))
	}
}

func secret(text string) security.Secret { return security.Text(text) }

func TestConnectsSecurely(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	_, _, cert, key := ca.certificate(t, "client")
	mutual := ca.server(t, "localhost")
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	mutual.ClientCAs.AddCert(ca.cert)
	users := []embedded.User{
		{Mechanism: "PLAIN", Name: "p", Password: "secret-p"},
		{Mechanism: "SCRAM-SHA-256", Name: "s256", Password: "secret-256"},
		{Mechanism: "SCRAM-SHA-512", Name: "s512", Password: "secret-512"},
	}
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("secret-256\n"), 0o600))
	trust := &security.TLS{CA: ca.file}
	for name, test := range map[string]struct {
		broker embedded.Options
		sec    security.Security
	}{
		"tls":         {embedded.Options{TLS: ca.server(t, "a")}, security.Security{TLS: trust}},
		"server name": {embedded.Options{TLS: ca.server(t, "kafka.internal")}, security.Security{TLS: &security.TLS{CA: ca.file, ServerName: "kafka.internal"}}},
		"mutual":      {embedded.Options{TLS: mutual}, security.Security{TLS: &security.TLS{CA: ca.file, Cert: cert, Key: key}}},
		"plain":       {embedded.Options{TLS: ca.server(t, "b"), Users: users}, security.Security{TLS: trust, SASL: &security.SASL{Mechanism: security.Plain, User: "p", Password: secret("secret-p")}}},
		"scram-256":   {embedded.Options{TLS: ca.server(t, "c"), Users: users}, security.Security{TLS: trust, SASL: &security.SASL{Mechanism: security.ScramSHA256, User: "s256", Password: security.Secret{File: file}}}},
		"scram-512":   {embedded.Options{TLS: ca.server(t, "d"), Users: users}, security.Security{TLS: trust, SASL: &security.SASL{Mechanism: security.ScramSHA512, User: "s512", Password: secret("secret-512")}}},
		"insecure":    {embedded.Options{Users: users}, security.Security{SASL: &security.SASL{Mechanism: security.ScramSHA512, User: "s512", Password: secret("secret-512"), Insecure: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := connect(t, Options{Brokers: start(t, test.broker).Addrs(), Security: test.sec})
			must(t, err)
			roundTrip(t, c)
		})
	}
}

// The embedded broker has no OAUTHBEARER; the mock of sarama answers here, and what
// it was sent is looked at.
func TestSendsTheToken(t *testing.T) {
	t.Parallel()
	mock := sarama.NewMockBroker(t, 1)
	defer mock.Close()
	mock.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 3, MaxVersion: 5}, {ApiKey: 17, MaxVersion: 1}, {ApiKey: 36, MaxVersion: 1},
		}),
		"SaslHandshakeRequest":    sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{sarama.SASLTypeOAuth}),
		"SaslAuthenticateRequest": sarama.NewMockSaslAuthenticateResponse(t),
		"MetadataRequest":         sarama.NewMockMetadataResponse(t).SetBroker(mock.Addr(), 1),
	})
	asked := 0
	sasl := &security.SASL{Mechanism: security.OAuthBearer, Insecure: true, TokenProvider: func(context.Context) (string, error) {
		asked++
		return fmt.Sprintf("token-%d", asked), nil
	}}
	for want := 1; want <= 2; want++ {
		_, err := connect(t, Options{Brokers: []string{mock.Addr()}, Security: security.Security{SASL: sasl}})
		must(t, err)
		var sent []string
		for _, h := range mock.History() {
			if q, ok := h.Request.(*sarama.SaslAuthenticateRequest); ok {
				sent = append(sent, string(q.SaslAuthBytes))
			}
		}
		if len(sent) != want || !strings.Contains(sent[want-1], fmt.Sprintf("auth=Bearer token-%d", want)) {
			t.Fatalf("sent %q", sent)
		}
	}
	failing := &security.SASL{Mechanism: security.OAuthBearer, Insecure: true, TokenProvider: func(context.Context) (string, error) {
		return "", errors.New("the issuer is away")
	}}
	_, err := connect(t, Options{Brokers: []string{mock.Addr()}, Security: security.Security{SASL: failing}})
	if !errors.Is(err, kafka.ErrCredentials) || !strings.Contains(err.Error(), "the issuer is away") {
		t.Fatal(err)
	}
}

// Every way not to get in is one clear error, soon.
func TestSaysWhyItDoesNotConnect(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	mutual := ca.server(t, "localhost")
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	mutual.ClientCAs.AddCert(ca.cert)
	users := []embedded.User{{Mechanism: "SCRAM-SHA-512", Name: "u", Password: "secret-1"}, {Mechanism: "PLAIN", Name: "u", Password: "secret-1"}}
	wrong := func(m security.Mechanism) security.Security {
		return security.Security{SASL: &security.SASL{Mechanism: m, User: "u", Password: secret("secret-2"), Insecure: true}}
	}
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nobody.Close())
	for name, test := range map[string]struct {
		broker embedded.Options
		addr   string
		sec    security.Security
		is     error
		says   string
	}{
		"nobody there":     {addr: nobody.Addr().String(), is: kafka.ErrUnreachable, says: "refused"},
		"no such host":     {addr: "nowhere.invalid:9092", is: kafka.ErrUnreachable, says: "nowhere.invalid"},
		"tls on plaintext": {sec: security.Security{TLS: &security.TLS{CA: ca.file}}, is: kafka.ErrTLS, says: "does not speak TLS on this port"},
		"plaintext on tls": {broker: embedded.Options{TLS: ca.server(t, "a")}, is: kafka.ErrUnreachable, says: "it may speak TLS"},
		"another ca":       {broker: embedded.Options{TLS: ca.server(t, "b")}, sec: security.Security{TLS: &security.TLS{CA: other.file}}, is: kafka.ErrTLS, says: "the CA is the one that signed"},
		"another name":     {broker: embedded.Options{TLS: ca.server(t, "c")}, sec: security.Security{TLS: &security.TLS{CA: ca.file, ServerName: "kafka.internal"}}, is: kafka.ErrTLS, says: "kafka.internal"},
		"no certificate":   {broker: embedded.Options{TLS: mutual}, sec: security.Security{TLS: &security.TLS{CA: ca.file}}, is: kafka.ErrTLS, says: "this client's certificate"},
		"no such ca":       {sec: security.Security{TLS: &security.TLS{CA: "missing.pem"}}, is: kafka.ErrTLS, says: "missing.pem"},
		"wrong password":   {broker: embedded.Options{Users: users}, sec: wrong(security.ScramSHA512), is: kafka.ErrCredentials, says: `scram-sha-512 "u"`},
		"wrong plain":      {broker: embedded.Options{Users: users}, sec: wrong(security.Plain), is: kafka.ErrCredentials, says: `plain "u"`},
		"wrong mechanism":  {broker: embedded.Options{Users: users}, sec: security.Security{SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret("secret-2"), Insecure: true}}, is: kafka.ErrCredentials, says: "mechanism"},
		"nobody named":     {broker: embedded.Options{Users: users}, is: kafka.ErrUnreachable, says: "configure SASL"},
		"no secret":        {broker: embedded.Options{Users: users}, sec: security.Security{SASL: &security.SASL{Mechanism: security.Plain, User: "u", Password: security.Secret{Env: "STREAMRUN_NOT_SET"}, Insecure: true}}, is: kafka.ErrCredentials, says: "STREAMRUN_NOT_SET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addrs := []string{test.addr}
			if test.addr == "" {
				addrs = start(t, test.broker).Addrs()
			}
			began := time.Now()
			_, err := connect(t, Options{Brokers: addrs, Security: test.sec})
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), addrs[0]) {
				t.Fatalf("got %v\nwant %v with %q and %q", err, test.is, test.says, addrs[0])
			}
			if strings.Contains(err.Error(), "secret-") {
				t.Fatalf("tells the secret: %v", err)
			}
			t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), err)
		})
	}
}

// A broker that says so in TLS is heard, whatever it does with the connection.
func TestHearsTLSWherePlaintextIsSpoken(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{recordAlert, 3, 3, 0, 2, 2, 80})
			_ = c.Close()
		}
	}()
	_, err = connect(t, Options{Brokers: []string{l.Addr().String()}})
	if !errors.Is(err, kafka.ErrTLS) || !strings.Contains(err.Error(), "configure TLS") {
		t.Errorf("got %v", err)
	}
	must(t, l.Close())
	<-done
}

func TestRefusesCredentialsWithoutTLS(t *testing.T) {
	t.Parallel()
	for _, m := range security.Mechanisms() {
		s := &security.SASL{Mechanism: m, User: "u", Password: secret("secret-1")}
		if m == security.OAuthBearer {
			s = &security.SASL{Mechanism: m, Token: secret("secret-1")}
		}
		if _, err := New(Options{Brokers: []string{"localhost:1"}, Security: security.Security{SASL: s}}); err == nil || !strings.Contains(err.Error(), "Insecure") {
			t.Errorf("%s: %v", m, err)
		}
		s.Insecure = true
		c, err := New(Options{Brokers: []string{"localhost:1"}, Security: security.Security{SASL: s}})
		must(t, err)
		must(t, c.Close())
	}
}
