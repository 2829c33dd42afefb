package policies

import (
	"bytes"
	"encoding/json"
	"strings"
)

// modeOf reports whether a content type says structured mode. It is an error if
// it says a structured mode that is not JSON.
func modeOf(contentType []byte) (structured bool, err error) {
	const cloudevents = "application/cloudevents"
	if len(contentType) < len(cloudevents) || !strings.EqualFold(string(contentType[:len(cloudevents)]), cloudevents) {
		return false, nil
	}
	format, _, _ := bytes.Cut(contentType[len(cloudevents):], []byte(";"))
	if strings.EqualFold(string(bytes.TrimSpace(format)), "+json") {
		return true, nil
	}
	return false, badHeader("content-type", contentType, "is a structured event that is not application/cloudevents+json")
}

// body reads the attributes of a structured event. A text attribute is a JSON
// string; a number may be written as a string or as a JSON integer. null is absent.
func (r *metadataReader) body(c *HeaderCodec, m *Metadata, value []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil || members == nil {
		return badHeader("content-type", value, "is not the JSON object that the content type promises")
	}
	for f := range fields {
		attr, ok := strings.CutPrefix(c.names[f], attribute)
		raw := members[attr]
		if !ok || raw == nil || string(raw) == "null" {
			continue
		}
		text := []byte(raw)
		if raw[0] == '"' {
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return badHeader(attr, raw, "is not a string")
			}
			text = []byte(s)
		} else if f != fieldSequence && f != fieldVersion && f != fieldEpoch {
			return badHeader(attr, raw, "is not a string")
		}
		if err := r.take(c, m, f, attr, text); err != nil {
			return err
		}
	}
	return nil
}
