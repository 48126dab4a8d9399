package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	// answerTime bounds the wait for the beginning of an answer. A server that takes
	// a request and says nothing is away, as far as anybody can tell.
	answerTime = 15 * time.Second
	// The look-ups of owners are bounded: a node that restarts with 110 pods of as
	// many Deployments asks for all of them within a few seconds.
	lookupsPerSecond = 20
	lookupBurst      = 50
)

// client asks the API server.
type client struct {
	server string
	http   *http.Client
	pods   *rest.RESTClient
	params runtime.ParameterCodec
	meta   metadata.Interface
	only   fields.Selector // this node's pods
}

func newClient(place Place, node, agent string) (*client, error) {
	c, err := place.config()
	if err != nil {
		return nil, err
	}
	c.UserAgent, c.QPS, c.Burst = agent, lookupsPerSecond, lookupBurst
	c.WarningHandler = rest.NoWarnings{} // the default prints them
	out := &client{server: c.Host, only: fields.OneTermEqualSelector("spec.nodeName", node)}
	if out.http, err = rest.HTTPClientFor(c); err != nil {
		return nil, fmt.Errorf("API server %s: %w", c.Host, err)
	}
	if out.meta, err = metadata.NewForConfigAndClient(c, out.http); err != nil {
		return nil, fmt.Errorf("API server %s: %w", c.Host, err)
	}
	scheme, codecs := codecs()
	pods := rest.CopyConfig(c)
	pods.APIPath, pods.GroupVersion = "/api", &schema.GroupVersion{Version: "v1"}
	pods.NegotiatedSerializer = codecs.WithoutConversion()
	// Not protobuf, which would need the whole type to be decoded.
	pods.ContentType, pods.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	if out.pods, err = rest.RESTClientForConfigAndClient(pods, out.http); err != nil {
		return nil, fmt.Errorf("API server %s: %w", c.Host, err)
	}
	out.params = runtime.NewParameterCodec(scheme)
	return out, nil
}

// close lets go of connections.
func (c *client) close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// list asks for the node's pods.
func (c *client) list(ctx context.Context, o metav1.ListOptions) (*objectList, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	o.FieldSelector = c.only.String()
	list := &objectList{}
	err := c.pods.Get().Resource("pods").VersionedParams(&o, c.params).Do(ctx).Into(list)
	return list, err
}

// watch asks for changes of the node's pods. Each comes as one object, so that
// memory for one is enough: a list of pods that are as large as they can be has
// hundreds of MB.
func (c *client) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(answerTime, func() { cancel(errNoAnswer) })
	o.Watch, o.FieldSelector = true, c.only.String()
	w, err := c.pods.Get().Resource("pods").VersionedParams(&o, c.params).Watch(ctx)
	timer.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			err = errNoAnswer
		}
		cancel(nil)
		return nil, err
	}
	return &watching{w, func() { cancel(nil) }}, nil
}

var errNoAnswer = fmt.Errorf("no answer in %v", answerTime)

// watching ends its context with it.
type watching struct {
	watch.Interface
	cancel func()
}

// Stop implements watch.Interface.
func (w *watching) Stop() {
	w.Interface.Stop()
	w.cancel()
}

// get implements getter.
func (c *client) get(ctx context.Context, r schema.GroupVersionResource, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	return c.meta.Resource(r).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
}

// listerWatcher tells a link how the calls of a reflector went.
func (c *client) listerWatcher(l *link) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := c.list(ctx, o)
			tell(ctx, l, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := c.watch(ctx, o)
			if o.SendInitialEvents == nil || !isUnsupported(err) { // else a list comes next
				tell(ctx, l, err)
			}
			return w, err
		},
	}
}

func tell(ctx context.Context, l *link, err error) {
	switch {
	case ctx.Err() != nil: // the agent's end
	case err != nil:
		l.broke(err)
	default:
		l.heard()
	}
}
