package control

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// prefixes parses networks that are known to be good.
func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// short is a listener that has no descriptors left for a while.
type short struct {
	net.Listener
	fails int
}

func (s *short) Accept() (net.Conn, error) {
	if s.fails--; s.fails >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

// Goal: a shortage of descriptors does not end the HTTP server. Method: an Accept that fails a few times with EMFILE,
// then a connection, then the end.
func TestAcceptSurvivesShortage(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(&short{ln, 4}, nil, nil)
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, io.EOF) {
		t.Error("after Close:", err)
	}
}
