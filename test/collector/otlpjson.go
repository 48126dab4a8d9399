package collector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The types below are OTLP's JSON, as far as it is looked at.

type resourced struct {
	Resource struct {
		Attributes keyValues `json:"attributes"`
	} `json:"resource"`
	SchemaURL string `json:"schemaUrl"`
}

type scoped struct {
	Scope struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"scope"`
	SchemaURL string `json:"schemaUrl"`
}

func (r resourced) origin(s scoped) Origin {
	return Origin{
		Resource: r.Resource.Attributes, ResourceSchemaURL: r.SchemaURL,
		ScopeName: s.Scope.Name, ScopeVersion: s.Scope.Version, ScopeSchemaURL: s.SchemaURL,
	}
}

type logsRequest struct {
	ResourceLogs []struct {
		resourced
		ScopeLogs []struct {
			scoped
			LogRecords []jsonLog `json:"logRecords"`
		} `json:"scopeLogs"`
	} `json:"resourceLogs"`
}

type tracesRequest struct {
	ResourceSpans []struct {
		resourced
		ScopeSpans []struct {
			scoped
			Spans []jsonSpan `json:"spans"`
		} `json:"scopeSpans"`
	} `json:"resourceSpans"`
}

type jsonLog struct{ Log }

// UnmarshalJSON implements json.Unmarshaler.
func (l *jsonLog) UnmarshalJSON(data []byte) error {
	var in struct {
		TimeUnixNano         nanos     `json:"timeUnixNano"`
		ObservedTimeUnixNano nanos     `json:"observedTimeUnixNano"`
		EventName            string    `json:"eventName"`
		SeverityNumber       int       `json:"severityNumber"`
		SeverityText         string    `json:"severityText"`
		Body                 value     `json:"body"`
		Attributes           keyValues `json:"attributes"`
		TraceID              string    `json:"traceId"`
		SpanID               string    `json:"spanId"`
		Flags                uint32    `json:"flags"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	l.Log = Log{
		Time: time.Time(in.TimeUnixNano), ObservedTime: time.Time(in.ObservedTimeUnixNano), EventName: in.EventName,
		SeverityNumber: in.SeverityNumber, SeverityText: in.SeverityText, Body: in.Body.v, Attributes: in.Attributes,
		TraceID: in.TraceID, SpanID: in.SpanID, Flags: in.Flags,
	}
	return nil
}

type jsonSpan struct{ Span }

// UnmarshalJSON implements json.Unmarshaler.
func (s *jsonSpan) UnmarshalJSON(data []byte) error {
	var in struct {
		Name              string    `json:"name"`
		Kind              int       `json:"kind"`
		TraceID           string    `json:"traceId"`
		SpanID            string    `json:"spanId"`
		ParentSpanID      string    `json:"parentSpanId"`
		StartTimeUnixNano nanos     `json:"startTimeUnixNano"`
		EndTimeUnixNano   nanos     `json:"endTimeUnixNano"`
		Attributes        keyValues `json:"attributes"`
		Flags             uint32    `json:"flags"`
		DroppedAttributes uint32    `json:"droppedAttributesCount"`
		Status            struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	s.Span = Span{
		Name: in.Name, Kind: in.Kind, TraceID: in.TraceID, SpanID: in.SpanID, ParentSpanID: in.ParentSpanID,
		Start: time.Time(in.StartTimeUnixNano), End: time.Time(in.EndTimeUnixNano), Attributes: in.Attributes,
		StatusCode: in.Status.Code, StatusMessage: in.Status.Message, Flags: in.Flags, DroppedAttributeCount: in.DroppedAttributes,
	}
	return nil
}

// nanos is a time as OTLP JSON has it: nanoseconds since 1970 in a string.
type nanos time.Time

// UnmarshalJSON implements json.Unmarshaler.
func (n *nanos) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	ns, err := strconv.ParseInt(s, 10, 64)
	*n = nanos(time.Unix(0, ns).UTC())
	return err
}

// keyValues is OTLP's list of attributes as a map. It refuses a key that is
// there twice.
type keyValues map[string]any

// UnmarshalJSON implements json.Unmarshaler.
func (kv *keyValues) UnmarshalJSON(data []byte) error {
	var in []struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*kv = make(keyValues, len(in))
	for _, a := range in {
		if _, twice := (*kv)[a.Key]; twice {
			return fmt.Errorf("attribute %s is there twice", a.Key)
		}
		(*kv)[a.Key] = a.Value.v
	}
	return nil
}

// value is OTLP's AnyValue as a Go value.
type value struct{ v any }

// UnmarshalJSON implements json.Unmarshaler.
func (v *value) UnmarshalJSON(data []byte) error {
	var in struct {
		String *string  `json:"stringValue"`
		Bool   *bool    `json:"boolValue"`
		Int    *string  `json:"intValue"`
		Double *float64 `json:"doubleValue"`
		Array  *struct {
			Values []value `json:"values"`
		} `json:"arrayValue"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	var err error
	switch {
	case in.String != nil:
		v.v = *in.String
	case in.Bool != nil:
		v.v = *in.Bool
	case in.Int != nil:
		v.v, err = strconv.ParseInt(*in.Int, 10, 64)
	case in.Double != nil:
		v.v = *in.Double
	case in.Array != nil:
		list := make([]any, len(in.Array.Values))
		for i, e := range in.Array.Values {
			list[i] = e.v
		}
		v.v = list
	}
	return err
}
