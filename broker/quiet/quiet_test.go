package quiet

import (
	"net"
	"strconv"
	"testing"
)

// Goal: every address is another one, can be listened to, and is none that a system gives to whoever asks for any. Method:
// many at once and one by one, each listened to twice.
func TestAddrs(t *testing.T) {
	addrs, err := Addrs(2 * blockSize)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		one, err := Addrs(1)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, one...)
	}
	met := make(map[string]bool)
	for _, addr := range addrs {
		if met[addr] {
			t.Errorf("%s came twice", addr)
		}
		met[addr] = true
		for range 2 {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if port := l.Addr().(*net.TCPAddr).Port; port >= 32_768 {
				t.Errorf("port %d", port)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Goal: a block of ports belongs to one process. Method: every first port of a block whose ports were given is in use.
func TestBlocksAreGuarded(t *testing.T) {
	addrs, err := Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := listen(port - (port-firstPort)%blockSize); err == nil {
		l.Close()
		t.Errorf("the block of port %d is free", port)
	}
}
