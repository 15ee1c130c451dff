package protocol

// MaxDepth is how deep objects and arrays of a JSON text may be nested. Deeper texts are refused as invalid.
const MaxDepth = 64

// scanner walks over one JSON text of RFC 8259, strictly, without allocating. Once bad is set the text is invalid and
// nothing else of the scanner means anything.
type scanner struct {
	b   []byte
	i   int
	bad bool
}

// ValidJSON reports whether b is one JSON text of RFC 8259: UTF-8, nested at most MaxDepth deep, blanks around it
// allowed. It does not allocate.
func ValidJSON(b []byte) bool {
	s := scanner{b: b}
	s.value(0)
	return s.end()
}

func (s *scanner) fail() { s.bad, s.i = true, len(s.b) }

// end reports whether the text was valid and nothing but blanks is left.
func (s *scanner) end() bool {
	s.space()
	return !s.bad && s.i == len(s.b)
}

// space skips blanks.
func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// peek skips blanks and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		if c := s.b[s.i]; c > ' ' {
			return c
		}
	}
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// take skips blanks and one byte, which must be c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		s.fail()
		return false
	}
	s.i++
	return true
}

// member moves to the value of the next member of an object whose "{" was taken, and returns its key without quotes.
// first is true for the first call on an object. ok is false after the "}" or an error.
func (s *scanner) member(first bool) (key text, ok bool) {
	c := s.peek()
	if c == '}' {
		s.i++
		return text{}, false
	}
	if !first && !s.take(',') {
		return text{}, false
	}
	if s.peek() != '"' {
		s.fail()
		return text{}, false
	}
	key = s.str()
	return key, s.take(':')
}

// raw skips one value and returns its bytes. depth is the number of objects and arrays around it.
func (s *scanner) raw(depth int) []byte {
	s.space()
	from := s.i
	s.value(depth)
	if s.bad {
		return nil
	}
	return s.b[from:s.i:s.i]
}

// value skips one value.
func (s *scanner) value(depth int) {
	switch c := s.peek(); {
	case c == '"':
		s.str()
	case c == '{':
		s.object(depth)
	case c == '[':
		s.array(depth)
	case c == '-' || c >= '0' && c <= '9':
		s.number()
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	default:
		s.fail()
	}
}

func (s *scanner) object(depth int) {
	s.i++
	if depth >= MaxDepth {
		s.fail()
		return
	}
	for first := true; ; first = false {
		if _, ok := s.member(first); !ok {
			return
		}
		s.value(depth + 1)
	}
}

func (s *scanner) array(depth int) {
	s.i++
	if depth >= MaxDepth {
		s.fail()
		return
	}
	if s.peek() == ']' {
		s.i++
		return
	}
	for {
		s.value(depth + 1)
		if s.peek() == ']' {
			s.i++
			return
		}
		if !s.take(',') {
			return
		}
	}
}

func (s *scanner) word(w string) {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		s.fail()
		return
	}
	s.i += len(w)
}

func (s *scanner) number() {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		s.digits()
	}
}

// digits skips one digit or more.
func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	if s.i == from {
		s.fail()
		return false
	}
	return true
}
