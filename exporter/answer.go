package exporter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// answer is what the back end said to one request, taken at the transport.
// The exporters put it into the text of an error only (HTTP), or into an error
// of an internal type (a partial success); whether a record may ever be
// accepted must not hang on the wording of a text. It travels in the request's
// context, so it needs no global state and belongs to exactly one attempt.
type answer struct {
	tried    bool // the request left for the back end
	http     int  // status code; 0 if there was no answer over HTTP
	html     bool // the answer is a web page
	grpc     *status.Status
	rejected int64 // partial success: so many records or points were not accepted
	message  string
	after    time.Duration // the back end asks to wait so long
}

type answerKey struct{}

func withAnswer(ctx context.Context) (context.Context, *answer) {
	a := new(answer)
	return context.WithValue(ctx, answerKey{}, a), a
}

// answerIn never returns nil: requests that are not ours are noted nowhere.
func answerIn(ctx context.Context) *answer {
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		return a
	}
	return new(answer)
}

// observeGRPC is a client interceptor that fills in the answer.
func observeGRPC(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	a := answerIn(ctx)
	a.tried = true
	err := invoke(ctx, method, req, reply, conn, opts...)
	a.grpc = status.New(codes.OK, "") // Convert(nil) is nil, which means "no answer" here
	if err != nil {
		a.grpc = status.Convert(err)
	}
	for _, detail := range a.grpc.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			a.after = max(info.GetRetryDelay().AsDuration(), time.Nanosecond)
		}
	}
	if err == nil {
		a.partial(reply)
	}
	return err
}

// partial takes a partial success out of a response.
func (a *answer) partial(response any) {
	switch r := response.(type) {
	case *collogs.ExportLogsServiceResponse:
		a.rejected = r.GetPartialSuccess().GetRejectedLogRecords()
		a.message = r.GetPartialSuccess().GetErrorMessage()
	case *coltrace.ExportTraceServiceResponse:
		a.rejected = r.GetPartialSuccess().GetRejectedSpans()
		a.message = r.GetPartialSuccess().GetErrorMessage()
	case *colmetrics.ExportMetricsServiceResponse:
		a.rejected = r.GetPartialSuccess().GetRejectedDataPoints()
		a.message = r.GetPartialSuccess().GetErrorMessage()
	}
}

// observeHTTP is a transport that fills in the answer.
type observeHTTP struct {
	next     http.RoundTripper
	response func() proto.Message // an empty response of the signal
	now      func() time.Time
}

// maxResponse bounds what is read of a response, in bytes. A partial success
// is a number and a sentence.
const maxResponse = 1 << 16

// RoundTrip implements http.RoundTripper.
func (o observeHTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	a := answerIn(req.Context())
	*a = answer{tried: true} // a redirection is followed by another request
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	a.http = resp.StatusCode
	a.after = retryAfter(resp.Header.Get("Retry-After"), o.now())
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	a.html = mediaType == "text/html"
	if resp.StatusCode/100 != 2 || mediaType != "application/x-protobuf" {
		return resp, nil
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	if r := o.response(); proto.Unmarshal(head, r) == nil {
		a.partial(r)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	return resp, nil
}

// retryAfter reads both forms of the header; 0 if it is missing or wrong.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// outcome is what the answer means for the batch; err is the exporter's.
func (a *answer) outcome(err error) outcome {
	v, cause := a.judge(err)
	return outcome{verdict: v, cause: cause, after: a.after, rejected: int(a.rejected), message: a.message}
}

// judge gives the verdict and its cause in a word fit for a statistic.
func (a *answer) judge(err error) (v verdict, cause string) {
	switch {
	case err == nil && !a.html:
		return delivered, "" // not judged by the status: there may be nothing to send
	case a.http != 0:
		return a.judgeHTTP(), "http_" + strconv.Itoa(a.http)
	case a.grpc != nil:
		return a.judgeGRPC(), "grpc_" + a.grpc.Code().String()
	case a.tried:
		return away, "no_answer"
	default:
		return unfit, "not_encodable" // too large, or refused by the encoder
	}
}

// judgeHTTP: the specification of OTLP/HTTP retries 429, 502, 503 and 504 and
// nothing else. 408 is added since it is about time, not content. The
// Collector says 500 for an error that will not pass, many gateways for one
// that will.
func (a *answer) judgeHTTP() verdict {
	switch {
	case a.http/100 == 2 && a.html:
		return doubtful // a captive portal or a log-in page, not a receiver of OTLP
	case a.http/100 == 2:
		return delivered // partly, or with an answer that can't be read
	case a.http == http.StatusRequestTimeout, a.http == http.StatusTooManyRequests,
		a.http == http.StatusBadGateway, a.http == http.StatusServiceUnavailable, a.http == http.StatusGatewayTimeout:
		return away
	case a.http == http.StatusBadRequest, a.http == http.StatusRequestEntityTooLarge, a.http == http.StatusUnprocessableEntity:
		return unfit
	case a.http/100 == 3, a.http/100 == 4:
		return unwelcome
	default:
		return doubtful
	}
}

// judgeGRPC follows the table of the OTLP specification, except for
// ResourceExhausted without a RetryInfo: the specification gives up, but this
// is what a rate limit looks like at many gateways. A message over the
// receiver's limit has the same code, and only grpc-go's text tells the two
// apart ("received message larger than max").
func (a *answer) judgeGRPC() verdict {
	switch a.grpc.Code() {
	case codes.OK:
		return delivered // partly
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return away
	case codes.ResourceExhausted:
		if strings.Contains(a.grpc.Message(), "larger than max") {
			return unfit
		}
		return away
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists:
		return unfit
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound:
		return unwelcome
	default:
		return doubtful // Unknown, Internal and what is not defined
	}
}
