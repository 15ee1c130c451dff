package redistest

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
)

// readAnswer reads an answer of one line, or one text.
func readAnswer(c net.Conn) (string, error) {
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "$") {
		return line, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil || size < 0 {
		return line, err
	}
	text := make([]byte, size)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

// tells reports whether the answer to a command without arguments of its own holds want.
func (s *Server) tells(command, want string) bool {
	answer, err := s.Do(strings.Fields(command)...)
	return err == nil && strings.Contains(answer, want)
}
