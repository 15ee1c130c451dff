package protocol

import "strconv"

// Answers of the beanstalkd protocol that are one fixed line, without CR LF.
const (
	BeanstalkOutOfMemory   = "OUT_OF_MEMORY" // no room for the job: try again later
	BeanstalkInternalError = "INTERNAL_ERROR"
	BeanstalkBadFormat     = "BAD_FORMAT"
	BeanstalkUnknown       = "UNKNOWN_COMMAND"
	BeanstalkExpectedCRLF  = "EXPECTED_CRLF"
	BeanstalkTooBig        = "JOB_TOO_BIG"
	BeanstalkDraining      = "DRAINING"
	BeanstalkTimedOut      = "TIMED_OUT"
	BeanstalkDeadlineSoon  = "DEADLINE_SOON"
	BeanstalkNotFound      = "NOT_FOUND"
	BeanstalkNotIgnored    = "NOT_IGNORED"
	BeanstalkDeleted       = "DELETED"
	BeanstalkReleased      = "RELEASED"
	BeanstalkBuried        = "BURIED"
	BeanstalkTouched       = "TOUCHED"
	BeanstalkKicked        = "KICKED"
	BeanstalkPaused        = "PAUSED"
)

// AppendBeanstalk appends an answer that is one fixed line.
func AppendBeanstalk(dst []byte, word string) []byte {
	return append(append(dst, word...), '\r', '\n')
}

// AppendBeanstalkNumber appends "<word> <n>": INSERTED, WATCHING, KICKED.
func AppendBeanstalkNumber(dst []byte, word string, n uint64) []byte {
	dst = append(append(dst, word...), ' ')
	return append(strconv.AppendUint(dst, n, 10), '\r', '\n')
}

// AppendBeanstalkName appends "USING <tube>".
func AppendBeanstalkName(dst []byte, word, name string) []byte {
	dst = append(append(dst, word...), ' ')
	return append(append(dst, name...), '\r', '\n')
}

// AppendBeanstalkJob appends a job: "RESERVED <id> <bytes>" or "FOUND <id> <bytes>", and its body.
func AppendBeanstalkJob(dst []byte, word string, id uint64, body []byte) []byte {
	dst = append(append(dst, word...), ' ')
	dst = append(strconv.AppendUint(dst, id, 10), ' ')
	return appendBody(dst, body)
}

// AppendBeanstalkData appends "OK <bytes>" and a YAML document.
func AppendBeanstalkData(dst, yaml []byte) []byte { return appendBody(append(dst, "OK "...), yaml) }

func appendBody(dst, body []byte) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(body)), 10), '\r', '\n')
	return append(append(dst, body...), '\r', '\n')
}

// BeanstalkYAML writes the two kinds of documents that the protocol knows: one list of names, one dictionary of scalars.
type BeanstalkYAML []byte

// NewBeanstalkYAML begins a document.
func NewBeanstalkYAML() BeanstalkYAML { return append(make(BeanstalkYAML, 0, 512), "---\n"...) }

// Item adds an item to a list.
func (y *BeanstalkYAML) Item(name string) {
	*y = append(append(append(*y, "- "...), name...), '\n')
}

// Text adds a member with a text, which must be plain in YAML.
func (y *BeanstalkYAML) Text(key, value string) {
	*y = append(append(append(append(*y, key...), ": "...), value...), '\n')
}

// Number adds a member with a number.
func (y *BeanstalkYAML) Number(key string, value uint64) {
	*y = append(append(*y, key...), ": "...)
	*y = append(strconv.AppendUint(*y, value, 10), '\n')
}
