//go:build linux

package cluster

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// scram is the client's part of RFC 5802 without channel binding:
//
//	> n,,n=USER,r=NONCE
//	< r=NONCE+,s=SALT,i=ITERATIONS
//	> c=biws,r=NONCE+,p=PROOF
//	< v=SIGNATURE
type scram struct {
	hash func() hash.Hash

	user, password string
	nonce          string
	first          string // n=USER,r=NONCE
	signature      []byte // what the server has to answer
	step           int
}

// Begin implements sarama.SCRAMClient.
func (s *scram) Begin(user, password, _ string) error {
	s.user = strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	s.password = password
	s.nonce = rand.Text()
	return nil
}

// Step implements sarama.SCRAMClient.
func (s *scram) Step(challenge string) (string, error) {
	s.step++
	switch s.step {
	case 1:
		s.first = "n=" + s.user + ",r=" + s.nonce
		return "n,," + s.first, nil
	case 2:
		return s.prove(challenge)
	}
	v, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "v="))
	if err != nil || subtle.ConstantTimeCompare(v, s.signature) == 0 {
		return "", fmt.Errorf("cluster: scram: the server does not know the password: %q", challenge)
	}
	return "", nil
}

// Done implements sarama.SCRAMClient.
func (s *scram) Done() bool { return s.step >= 3 }

func (s *scram) prove(challenge string) (string, error) {
	fields := map[string]string{}
	for f := range strings.SplitSeq(challenge, ",") {
		k, v, _ := strings.Cut(f, "=")
		fields[k] = v
	}
	salt, err := base64.StdEncoding.DecodeString(fields["s"])
	if err != nil {
		return "", fmt.Errorf("cluster: scram: salt: %w", err)
	}
	iterations, err := strconv.Atoi(fields["i"])
	if err != nil {
		return "", fmt.Errorf("cluster: scram: iterations: %w", err)
	}
	if !strings.HasPrefix(fields["r"], s.nonce) {
		return "", errors.New("cluster: scram: the server answered another client's nonce")
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		return "", fmt.Errorf("cluster: scram: %w", err)
	}
	final := "c=biws,r=" + fields["r"]
	auth := s.first + "," + challenge + "," + final
	key := s.mac(salted, "Client Key")
	stored := s.hash()
	stored.Write(key)
	proof := s.mac(stored.Sum(nil), auth)
	subtle.XORBytes(proof, proof, key)
	s.signature = s.mac(s.mac(salted, "Server Key"), auth)
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func (s *scram) mac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
