package chain

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of chain.proto, written and read by hand: they are few and small, and generated code would bring
// reflection along.

// First bytes of an Envelope: the tags of its fields, all of which are messages.
const (
	tagWork         = 1<<3 | byte(protowire.BytesType)
	tagNotification = 2<<3 | byte(protowire.BytesType)
	tagCompletion   = 3<<3 | byte(protowire.BytesType)
)

// field is one field of a protobuf message: a number or bytes, as its type says.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64
	bytes  []byte
}

func (f *field) text() (string, error) {
	if f.kind != protowire.BytesType || !utf8.Valid(f.bytes) {
		return "", refuse("protobuf: field %d is not UTF-8 text", f.number)
	}
	return string(f.bytes), nil
}

func (f *field) int() (int64, error) {
	if f.kind != protowire.VarintType {
		return 0, refuse("protobuf: field %d is not a number", f.number)
	}
	return int64(f.value), nil
}

// eachField calls fn for every field of a message, in the order of the bytes.
func eachField(b []byte, fn func(*field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return refuse("protobuf: %s", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return refuse("protobuf: %s", protowire.ParseError(n))
		}
		if err := fn(&f); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// inner reads a field that is a message.
func (f *field) inner(fn func(*field) error) error {
	if f.kind != protowire.BytesType {
		return refuse("protobuf: field %d is not a message", f.number)
	}
	return eachField(f.bytes, fn)
}

// into sets the variable whose place (from 1) is the number of the field; other numbers belong to a newer schema.
func (f *field) into(targets ...any) error {
	if f.number < 1 || int(f.number) > len(targets) {
		return nil
	}
	var err error
	switch t := targets[f.number-1].(type) {
	case *string:
		*t, err = f.text()
	case *int64:
		*t, err = f.int()
	case *bool:
		var v int64
		v, err = f.int()
		*t = v != 0
	}
	return err
}

func parseProto(b []byte, l Limits) (Work, error) {
	var w Work
	found := false
	err := eachField(b, func(f *field) error {
		if f.number != 1 {
			return nil
		}
		found = true
		return f.inner(w.protoField)
	})
	if err != nil {
		return Work{}, err
	}
	if !found {
		return Work{}, refuse("work_message is missing")
	}
	return w, w.finish(itemsJSON(w.Items), l)
}

func (w *Work) protoField(f *field) error {
	switch f.number {
	case 1:
		return f.into(&w.Hash)
	case 2:
		it, err := protoItem(f)
		w.Items = append(w.Items, it)
		return err
	case 3:
		var deadline int64
		err := f.inner(func(f *field) error { return f.into(&deadline, &w.Options.Webhook) })
		w.Options.Deadline = millis(deadline)
		return err
	}
	return nil
}

func protoItem(f *field) (it Item, err error) {
	var order int64
	err = f.inner(func(f *field) error {
		switch f.number {
		case 1:
			return f.into(&order)
		case 2:
			return f.inner(it.Request.protoField)
		case 3:
			return it.Options.read(f)
		}
		return nil
	})
	// What does not fit is refused by its order later.
	it.Order = int(max(-1, min(order, MaxOrder+1)))
	return it, err
}

func (r *Request) protoField(f *field) error {
	return f.into(&r.URL, &r.Endpoint, &r.Type, &r.Method, &r.Payload)
}

func (o *ItemOptions) read(f *field) error {
	var timeout, attempts, backoff, most int64
	var onFailure string
	err := f.inner(func(f *field) error {
		switch f.number {
		case 6:
			o.Compensate = new(Request)
			return f.inner(o.Compensate.protoField)
		case 7:
			await, err := f.int()
			o.Await = await != 0
			return err
		}
		return f.into(&timeout, &attempts, &backoff, &most, &onFailure)
	})
	o.Timeout, o.Backoff, o.MaxBackoff = millis(timeout), millis(backoff), millis(most)
	o.Attempts = int(max(math.MinInt32, min(attempts, math.MaxInt32)))
	o.OnFailure = OnFailure(onFailure)
	return err
}

func parseProtoResults(b []byte, tag byte) (hash string, items []Result, err error) {
	found := false
	err = eachField(b, func(f *field) error {
		if f.number != protowire.Number(tag>>3) {
			return nil
		}
		found = true
		return f.inner(func(f *field) error {
			switch f.number {
			case 1:
				return f.into(&hash)
			case 2:
				r, err := protoResult(f)
				items = append(items, r)
				return err
			}
			return nil
		})
	})
	if err == nil && !found {
		err = refuse("the message is missing")
	}
	return hash, items, err
}

func protoResult(f *field) (r Result, err error) {
	var order int64
	err = f.inner(func(f *field) error {
		switch f.number {
		case 1:
			return f.into(&order)
		case 2:
			p := &r.Response
			return f.inner(func(f *field) error { return f.into(&p.Error, &p.OK, &p.Data, &p.Metadata) })
		}
		return nil
	})
	r.Order = int(max(-1, min(order, MaxOrder+1)))
	return r, err
}

// AppendProtoNotification and AppendProtoCompletion append the messages as protobuf.
func AppendProtoNotification(dst []byte, hash string, items []Result) []byte {
	return appendProtoMessage(dst, tagNotification, hash, items)
}

// AppendProtoCompletion appends a completion message as protobuf.
func AppendProtoCompletion(dst []byte, hash string, items []Result) []byte {
	return appendProtoMessage(dst, tagCompletion, hash, items)
}

func appendProtoMessage(dst []byte, tag byte, hash string, items []Result) []byte {
	m := appendText(nil, 1, hash)
	for _, r := range items {
		p := appendBool(nil, 1, r.Response.Error)
		p = appendBool(p, 2, r.Response.OK)
		p = appendText(p, 3, r.Response.Data)
		p = appendText(p, 4, r.Response.Metadata)
		item := appendInt(nil, 1, int64(r.Order))
		m = appendBytes(m, 2, appendBytes(item, 2, p))
	}
	return protowire.AppendBytes(append(dst, tag), m)
}

// AppendProtoWork appends a work message as protobuf: what clients in Go and tests send.
func AppendProtoWork(dst []byte, w *Work) []byte {
	m := appendText(nil, 1, w.Hash)
	for i := range w.Items {
		it := &w.Items[i]
		b := appendInt(nil, 1, int64(it.Order))
		b = appendBytes(b, 2, it.Request.proto())
		if o := it.Options.proto(); len(o) > 0 {
			b = appendBytes(b, 3, o)
		}
		m = appendBytes(m, 2, b)
	}
	if o := appendText(appendInt(nil, 1, w.Options.Deadline.Milliseconds()), 2, w.Options.Webhook); len(o) > 0 {
		m = appendBytes(m, 3, o)
	}
	return protowire.AppendBytes(append(dst, tagWork), m)
}

func (r *Request) proto() []byte {
	b := appendText(nil, 1, r.URL)
	b = appendText(b, 2, r.Endpoint)
	b = appendText(b, 3, r.Type)
	b = appendText(b, 4, r.Method)
	return appendText(b, 5, r.Payload)
}

func (o *ItemOptions) proto() []byte {
	b := appendInt(nil, 1, o.Timeout.Milliseconds())
	b = appendInt(b, 2, int64(o.Attempts))
	b = appendInt(b, 3, o.Backoff.Milliseconds())
	b = appendInt(b, 4, o.MaxBackoff.Milliseconds())
	b = appendText(b, 5, string(o.OnFailure))
	if o.Compensate != nil {
		b = appendBytes(b, 6, o.Compensate.proto())
	}
	return appendBool(b, 7, o.Await)
}

// The append functions leave out a field with its zero value, as proto3 does.

func appendText(dst []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), s)
}

func appendInt(dst []byte, number protowire.Number, v int64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), uint64(v))
}

func appendBool(dst []byte, number protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendInt(dst, number, 1)
}

func appendBytes(dst []byte, number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), b)
}
