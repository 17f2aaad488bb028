package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/simulation"
)

// Answer is what is emitted to each client, and what became of each call. The lists are null beside an error.
type Answer struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"`
	// The configuration that istiod's webhook would have refused, each with the reason.
	Refused []string `json:"refused"`
	// What that webhook warns of.
	Warned  []string  `json:"warned"`
	Clients []Emitted `json:"clients"`
	Calls   []Outcome `json:"calls"`
}

// Emitted is the outbound configuration of one sidecar, reduced to where requests go. It keeps Envoy's names and order;
// the order of listeners, clusters, virtual hosts and filter chains means nothing to Envoy, and is by name here.
type Emitted struct {
	// The virtual hosts of each route configuration (RDS) that a listener names, the catch-all `allow_any` included.
	Routes map[string][]VirtualHost `json:"routes"`
	// All outbound listeners but `virtualOutbound`, which takes what no other one does.
	Listeners []Listener `json:"listeners"`
	// All outbound clusters but the passthrough and the blackhole, which are always there.
	Clusters []Cluster `json:"clusters"`
}

type VirtualHost struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains"`
	Routes  []Route  `json:"routes"`
}

// Route has clusters, or redirect, or directResponse.
type Route struct {
	Name string `json:"name"`
	// `namespace/name` of the VirtualService it is from; empty for a default route.
	Config string `json:"config"`
	// Envoy's RouteMatch in its own JSON: one with prefix `/` and no headers or query parameters matches all.
	Match          json.RawMessage `json:"match"`
	Clusters       []Weighted      `json:"clusters"`
	Mirrors        []Mirror        `json:"mirrors"`
	Redirect       json.RawMessage `json:"redirect,omitempty"`
	DirectResponse uint32          `json:"directResponse,omitempty"`
}

// Weighted is a cluster by name; a single one has weight 100.
type Weighted struct {
	Name   string `json:"name"`
	Weight uint32 `json:"weight"`
}

type Mirror struct {
	Name    string  `json:"name"`
	Percent float64 `json:"percent"`
}

type Listener struct {
	Name    string  `json:"name"`
	Address string  `json:"address"`
	Port    uint32  `json:"port"`
	Chains  []Chain `json:"chains"`
	// Takes what no chain matches.
	Default *Chain `json:"default,omitempty"`
}

// Chain is a filter chain; it has either rds or tcp.
type Chain struct {
	Match Match `json:"match"`
	// As of a route; only tls and tcp routes have it.
	Config string `json:"config,omitempty"`
	// The name of the route configuration of an HTTP connection manager.
	RDS string `json:"rds,omitempty"`
	// The clusters of a TCP proxy.
	TCP []Weighted `json:"tcp,omitempty"`
	// The network filters before these: redis_proxy and its like where istiod has them turned on.
	Filters []string `json:"filters,omitempty"`
}

type Match struct {
	PrefixRanges         []string `json:"prefixRanges,omitempty"`
	DestinationPort      uint32   `json:"destinationPort,omitempty"`
	ServerNames          []string `json:"serverNames,omitempty"`
	ApplicationProtocols []string `json:"applicationProtocols,omitempty"`
	TransportProtocol    string   `json:"transportProtocol,omitempty"`
}

type Cluster struct {
	Name string `json:"name"`
	// EDS, STATIC, STRICT_DNS, ORIGINAL_DST and so on.
	Type string `json:"type"`
}

// Call is a request that a client sends. Istio's simulation looks at no header but Host, and picks no weighted cluster.
type Call struct {
	// Index into the case's clients.
	Client   int    `json:"client"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Path     string `json:"path"`
	Host     string `json:"host"`
	SNI      string `json:"sni"`
}

// Outcome has the names of what the call met, as far as it came. Missing is set where the cluster does not exist.
type Outcome struct {
	Listener    string `json:"listener,omitempty"`
	FilterChain string `json:"filterChain,omitempty"`
	RouteConfig string `json:"routeConfig,omitempty"`
	VirtualHost string `json:"virtualHost,omitempty"`
	Route       string `json:"route,omitempty"`
	Cluster     string `json:"cluster,omitempty"`
	Missing     bool   `json:"missing,omitempty"`
	Error       string `json:"error,omitempty"`
}

type sidecar struct{ *simulation.Simulation }

func newSidecar(generator *core.ConfigGenTest, proxy *model.Proxy) sidecar {
	// The simulation ends its goroutine where it fails, whatever its T.
	return sidecar{simulation.NewSimulationFromConfigGen(&testing.T{}, generator, proxy)}
}

func (s sidecar) emitted() (*Emitted, error) {
	out := &Emitted{Routes: map[string][]VirtualHost{}, Listeners: []Listener{}, Clusters: []Cluster{}}
	for _, c := range s.Clusters {
		if strings.HasPrefix(c.Name, string(model.TrafficDirectionOutbound)+"|") {
			out.Clusters = append(out.Clusters, Cluster{Name: c.Name, Type: clusterType(c)})
		}
	}
	slices.SortFunc(out.Clusters, func(a, b Cluster) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range s.Listeners {
		if l.TrafficDirection != corev3.TrafficDirection_OUTBOUND || l.Name == model.VirtualOutboundListenerName {
			continue
		}
		listener, err := reduceListener(l)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		out.Listeners = append(out.Listeners, *listener)
	}
	slices.SortFunc(out.Listeners, func(a, b Listener) int { return strings.Compare(a.Name, b.Name) })
	for _, configuration := range s.Routes {
		hosts := []VirtualHost{}
		for _, vh := range configuration.VirtualHosts {
			host, err := reduceVirtualHost(vh)
			if err != nil {
				return nil, fmt.Errorf("route configuration %s: %w", configuration.Name, err)
			}
			hosts = append(hosts, *host)
		}
		slices.SortFunc(hosts, func(a, b VirtualHost) int { return strings.Compare(a.Name, b.Name) })
		out.Routes[configuration.Name] = hosts
	}
	return out, nil
}

func clusterType(c *clusterv3.Cluster) string {
	if c.GetClusterType() != nil {
		return c.GetClusterType().GetName()
	}
	return c.GetType().String()
}

func reduceListener(l *listenerv3.Listener) (*Listener, error) {
	address := l.GetAddress().GetSocketAddress()
	out := &Listener{Name: l.Name, Address: address.GetAddress(), Port: address.GetPortValue(), Chains: []Chain{}}
	for _, fc := range l.FilterChains {
		chain, err := reduceChain(fc)
		if err != nil {
			return nil, err
		}
		out.Chains = append(out.Chains, *chain)
	}
	if l.DefaultFilterChain != nil {
		chain, err := reduceChain(l.DefaultFilterChain)
		if err != nil {
			return nil, err
		}
		out.Default = chain
	}
	return out, nil
}

func reduceChain(fc *listenerv3.FilterChain) (*Chain, error) {
	match := fc.GetFilterChainMatch()
	out := &Chain{
		Config: configOf(fc.GetMetadata()),
		Match: Match{
			DestinationPort:      match.GetDestinationPort().GetValue(),
			ServerNames:          match.GetServerNames(),
			ApplicationProtocols: match.GetApplicationProtocols(),
			TransportProtocol:    match.GetTransportProtocol(),
		},
	}
	for _, r := range match.GetPrefixRanges() {
		out.Match.PrefixRanges = append(out.Match.PrefixRanges, fmt.Sprintf("%s/%d", r.AddressPrefix, r.GetPrefixLen().GetValue()))
	}
	for _, filter := range fc.Filters {
		message, err := filter.GetTypedConfig().UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", filter.Name, err)
		}
		switch f := message.(type) {
		case *hcm.HttpConnectionManager:
			if out.RDS = f.GetRds().GetRouteConfigName(); out.RDS == "" {
				return nil, errors.New("an HTTP connection manager names no route configuration")
			}
		case *tcp.TcpProxy:
			out.TCP = tcpClusters(f)
		default:
			out.Filters = append(out.Filters, filter.Name)
		}
	}
	return out, nil
}

func tcpClusters(f *tcp.TcpProxy) []Weighted {
	if weighted := f.GetWeightedClusters(); weighted != nil {
		out := []Weighted{}
		for _, c := range weighted.GetClusters() {
			out = append(out, Weighted{c.GetName(), c.GetWeight()})
		}
		return out
	}
	return []Weighted{{f.GetCluster(), 100}}
}

func reduceVirtualHost(vh *routev3.VirtualHost) (*VirtualHost, error) {
	out := &VirtualHost{Name: vh.Name, Domains: vh.Domains, Routes: []Route{}}
	for _, r := range vh.Routes {
		route, err := reduceRoute(r)
		if err != nil {
			return nil, fmt.Errorf("virtual host %s: %w", vh.Name, err)
		}
		out.Routes = append(out.Routes, *route)
	}
	return out, nil
}

func reduceRoute(r *routev3.Route) (*Route, error) {
	match, err := toJSON(r.GetMatch())
	if err != nil {
		return nil, err
	}
	out := &Route{Name: r.Name, Config: configOf(r.GetMetadata()), Match: match, Clusters: []Weighted{}, Mirrors: []Mirror{}}
	switch action := r.GetAction().(type) {
	case *routev3.Route_Route:
		if weighted := action.Route.GetWeightedClusters(); weighted != nil {
			for _, c := range weighted.GetClusters() {
				out.Clusters = append(out.Clusters, Weighted{c.GetName(), c.GetWeight().GetValue()})
			}
		} else {
			out.Clusters = []Weighted{{action.Route.GetCluster(), 100}}
		}
		for _, m := range action.Route.GetRequestMirrorPolicies() {
			out.Mirrors = append(out.Mirrors, Mirror{m.GetCluster(), percent(m.GetRuntimeFraction().GetDefaultValue())})
		}
	case *routev3.Route_Redirect:
		if out.Redirect, err = toJSON(action.Redirect); err != nil {
			return nil, err
		}
	case *routev3.Route_DirectResponse:
		out.DirectResponse = action.DirectResponse.GetStatus()
	default:
		return nil, fmt.Errorf("route %q has an action of type %T", r.Name, action)
	}
	return out, nil
}

func percent(f *typev3.FractionalPercent) float64 {
	denominators := map[typev3.FractionalPercent_DenominatorType]float64{
		typev3.FractionalPercent_HUNDRED:      100,
		typev3.FractionalPercent_TEN_THOUSAND: 10_000,
		typev3.FractionalPercent_MILLION:      1_000_000,
	}
	return 100 * float64(f.GetNumerator()) / denominators[f.GetDenominator()]
}

// toJSON is stable: protojson varies its white space on purpose, which the encoder of the answer takes out again.
func toJSON(message proto.Message) (json.RawMessage, error) {
	return protojson.Marshal(message)
}

// configOf reads `namespace/name` from where Istio notes it: /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME.
func configOf(metadata *corev3.Metadata) string {
	path := metadata.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
	parts := strings.Split(path, "/")
	if len(parts) != 8 {
		return ""
	}
	return parts[5] + "/" + parts[7]
}

func (s sidecar) run(call Call) (*Outcome, error) {
	request := simulation.Call{
		Address:    call.Address,
		Port:       call.Port,
		Path:       call.Path,
		HostHeader: call.Host,
		Sni:        call.SNI,
		CallMode:   simulation.CallModeOutbound,
	}
	switch call.Protocol {
	case "http":
		request.Protocol = simulation.HTTP
	case "tcp":
		request.Protocol = simulation.TCP
	case "tls":
		request.Protocol = simulation.TCP
		request.TLS = simulation.TLS
	default:
		return nil, fmt.Errorf("a call has protocol http, tcp or tls, not %q", call.Protocol)
	}
	result := s.Run(request)
	out := &Outcome{
		Listener:    result.ListenerMatched,
		FilterChain: result.FilterChainMatched,
		RouteConfig: result.RouteConfigMatched,
		VirtualHost: result.VirtualHostMatched,
		Route:       result.RouteMatched,
		Cluster:     result.ClusterMatched,
	}
	if result.Error != nil {
		out.Error = result.Error.Error()
	}
	out.Missing = out.Cluster != "" && !slices.ContainsFunc(s.Clusters, func(c *clusterv3.Cluster) bool {
		return c.Name == out.Cluster
	})
	return out, nil
}
