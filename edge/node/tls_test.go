package node

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/protocol"
)

// certificate writes a certificate for localhost and returns its files and a pool that trusts it.
func certificate(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err2 := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	raw, err3 := x509.MarshalPKCS8PrivateKey(private)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err4 := os.WriteFile(cert, certPEM, 0o600)
	err5 := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(certPEM)
	return cert, key, trust
}

// startNode runs a node in this process, whose client ports are those of a process in the helpers.
func startNode(t *testing.T, o Options) (*Node, *process) {
	t.Helper()
	n, err := Start(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, &process{t: t, line: n.Addr("line").String(), http: n.Addr("http").String(), internal: n.Addr("internal").String()}
}

// Goal: the TLS twins speak the same protocols, with TLS 1.2 and 1.3. Method: a line client and a websocket through
// TLS talk with each other.
func TestTLSTwins(t *testing.T) {
	o := quietOptions(t.TempDir())
	var trust *x509.CertPool
	o.TLSCert, o.TLSKey, trust = certificate(t)
	o.TLSLineAddr, o.HTTPSAddr = "127.0.0.1:0", "127.0.0.1:0"
	n, p := startNode(t, o)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{RootCAs: trust, ServerName: "localhost", MinVersion: version, MaxVersion: version}
		secure := func(name string) *wire {
			w := dial(t, n.Addr(name).String())
			w.Conn = tls.Client(w.Conn, config)
			w.r = bufio.NewReader(w.Conn)
			return w
		}
		phone, browser := secure("tls-line"), secure("https")
		phone.send("00REGISTER" + p.nonce("0", fmt.Sprint("Ann", version), "") + "\r\n")
		phone.expect("00000000OK")
		browser.send("GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if response, err := http.ReadResponse(browser.r, nil); err != nil || response.StatusCode != 101 {
			t.Fatal(response, err)
		}
		if e := browser.envelope(); e.Route != protocol.RouteWelcome {
			t.Fatalf("first message %+v", e)
		}
		browser.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, p.nonce("0", fmt.Sprint("Cleo", version), "")), nil)
		phone.send("0000PUBLICsafe\r\n")
		phone.expect(fmt.Sprintf("0000PUBLICAnn%d:safe", version))
		if e := browser.envelope(); !strings.Contains(string(e.Content), "safe") {
			t.Errorf("browser got %s", e.Content)
		}
		phone.Close()
		browser.Close()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, ServerName: "localhost"}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("https://" + n.Addr("https").String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if b, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 || len(b) == 0 {
		t.Errorf("page: %d, %d bytes, %v", response.StatusCode, len(b), err)
	}
}

// Goal: behind a balancer both client ports take the address from the PROXY header. Method: register through one.
func TestBehindBalancer(t *testing.T) {
	o := quietOptions(t.TempDir())
	o.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	_, p := startNode(t, o)
	const header = "PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n"
	phone := dial(t, p.line)
	phone.send(header + "00REGISTER" + p.nonce("0", "Ann", "") + "\r\n0000PUBLIChi\r\n")
	phone.expect("00000000OK")
	phone.expect("0000PUBLICAnn:hi")
	page := dial(t, p.http)
	page.send(header + "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(page.r); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("page: %.100q %v", b, err)
	}
	bare := dial(t, p.line)
	bare.send("00REGISTERx\r\n")
	if b, _ := io.ReadAll(bare.r); len(b) != 0 {
		t.Errorf("without a header: %q", b)
	}
}

// Goal: a node leaves nothing behind. Method: start, one client of each kind, close, then look for goroutines.
func TestCloseLeavesNothing(t *testing.T) {
	ignored := []goleak.Option{goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")}
	n, err := Start(t.Context(), quietOptions(t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, line: n.Addr("line").String(), http: n.Addr("http").String(), internal: n.Addr("internal").String()}
	phone, browser := p.register("0", "Ann", ""), p.websocket()
	idle, err := net.Dial("tcp", p.http)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{phone, browser, idle} {
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Log("a client saw", err) // a reset is as good as an end
		}
		c.Close()
	}
	for end := time.Now().Add(patience); ; {
		err := goleak.Find(ignored...)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
