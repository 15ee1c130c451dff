// Package mailertest starts Exim, an SMTP server of others that many hosts run, as a process of its own: tests of what
// sends mail have a real server to send to. It needs Linux, root (Exim gives up its rights for others) and the Debian
// package exim4-daemon-light; without them a test is skipped.
package mailertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// Certificate is what a server on 127.0.0.1 shows; who trusts it trusts itself as its authority.
type Certificate struct{ CertFile, KeyFile string }

// NewCertificate writes a certificate, valid for an hour, and its key into the folder.
func NewCertificate(t testing.TB, folder string) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := Certificate{folder + "/cert.pem", folder + "/key.pem"}
	for _, file := range []struct {
		name  string
		block pem.Block
	}{{c.CertFile, pem.Block{Type: "CERTIFICATE", Bytes: der}}, {c.KeyFile, pem.Block{Type: "EC PRIVATE KEY", Bytes: private}}} {
		if err := os.WriteFile(file.name, pem.EncodeToMemory(&file.block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Pool is who trusts the certificate.
func (c Certificate) Pool(t testing.TB) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(c.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("there is no certificate in", c.CertFile)
	}
	return pool
}
