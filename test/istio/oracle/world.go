package main

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/serviceregistry"
	kube "istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	kubelib "istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/test"
)

// Case is what a cluster holds, and who asks.
type Case struct {
	ID string `json:"id"`
	// Manifests of Kubernetes and of Istio. One without a creation timestamp counts as created on 2020-01-01.
	Objects []json.RawMessage `json:"objects"`
	// MeshConfig, as in Istio's ConfigMap; what it leaves out has Istio's default.
	Mesh json.RawMessage `json:"mesh"`
	// The cluster's domain, `cluster.local` unless given.
	Domain  string   `json:"domain"`
	Clients []Client `json:"clients"`
	Calls   []Call   `json:"calls"`
}

// Client is a pod with a sidecar (iptables interception, the default).
type Client struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

// The version that a client says it has: older ones are given other configuration in places.
const clientVersion = "1.31.0"

// What a sidecar says of itself, from the injection template: these ports are taken in the pod.
const (
	statusPort     = 15021
	prometheusPort = 15090
)

var longAgo = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *Case) answer(t test.Failer) (*Answer, error) {
	objects, configs, err := c.parse()
	if err != nil {
		return nil, err
	}
	meshConfig, err := mesh.ApplyMeshConfigDefaults(string(c.Mesh))
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	generator := newGenerator(t, c.domain(), meshwatcher.NewTestWatcher(meshConfig), objects, configs)

	refused, warned := admission(configs)
	out := &Answer{ID: c.ID, Refused: refused, Warned: warned, Clients: []Emitted{}, Calls: []Outcome{}}
	sidecars := make([]sidecar, 0, len(c.Clients))
	for i, client := range c.Clients {
		s := newSidecar(generator, client.proxy(i, c.domain(), generator))
		emitted, err := s.emitted()
		if err != nil {
			return nil, err
		}
		sidecars = append(sidecars, s)
		out.Clients = append(out.Clients, *emitted)
	}
	for _, call := range c.Calls {
		if call.Client < 0 || call.Client >= len(sidecars) {
			return nil, fmt.Errorf("there is no client %d", call.Client)
		}
		outcome, err := sidecars[call.Client].run(call)
		if err != nil {
			return nil, err
		}
		out.Calls = append(out.Calls, *outcome)
	}
	return out, nil
}

func (c *Case) domain() string {
	if c.Domain == "" {
		return constants.DefaultClusterLocalDomain
	}
	return c.Domain
}

// parse splits the manifests into what the Kubernetes registry reads and what is configuration of Istio.
func (c *Case) parse() ([]runtime.Object, []config.Config, error) {
	var objects []runtime.Object
	var configs []config.Config
	decode := kubelib.IstioCodec.UniversalDeserializer().Decode
	for _, manifest := range c.Objects {
		var kind crd.IstioKind
		if err := json.Unmarshal(manifest, &kind); err != nil {
			return nil, nil, fmt.Errorf("a manifest is not understood: %w", err)
		}
		gvk := kind.GroupVersionKind()
		schema, isConfig := collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&gvk))
		if isConfig {
			parsed, err := crd.ConvertObject(schema, &kind, c.domain())
			if err != nil {
				return nil, nil, fmt.Errorf("%s %s/%s: %w", gvk.Kind, kind.Namespace, kind.Name, err)
			}
			if parsed.CreationTimestamp.IsZero() {
				parsed.CreationTimestamp = longAgo
			}
			configs = append(configs, *parsed)
			continue
		}
		object, _, err := decode(manifest, nil, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s/%s: %w", gvk.Kind, kind.Namespace, kind.Name, err)
		}
		if accessor, ok := object.(v1.ObjectMetaAccessor); ok {
			if meta := accessor.GetObjectMeta(); meta.GetCreationTimestamp().Time.IsZero() {
				meta.SetCreationTimestamp(v1.NewTime(longAgo))
			}
		}
		objects = append(objects, object)
	}
	return objects, configs, nil
}

// admission tells which of the configuration a cluster would never hold, since istiod's own webhook refuses it, and what
// that webhook warns of.
func admission(configs []config.Config) (refused, warned []string) {
	refused, warned = []string{}, []string{}
	for _, c := range configs {
		schema, _ := collections.Pilot.FindByGroupVersionKind(c.GroupVersionKind)
		warning, err := schema.ValidateConfig(c)
		of := func(problem error) string {
			return fmt.Sprintf("%s %s/%s: %v", c.GroupVersionKind.Kind, c.Namespace, c.Name, problem)
		}
		if err != nil {
			refused = append(refused, of(err))
		}
		if warning != nil {
			warned = append(warned, of(warning))
		}
	}
	return refused, warned
}

// newGenerator gives Istio's generator a registry of the Kubernetes objects beside the configuration. Istio's
// FakeDiscoveryServer does so too, but knows no other domain than cluster.local and starts a server for each case.
func newGenerator(
	t test.Failer, domain string, watcher meshwatcher.WatcherCollection, objects []runtime.Object, configs []config.Config,
) *core.ConfigGenTest {
	const clusterID = cluster.ID(constants.DefaultClusterName)
	index := model.NewEndpointIndex(model.DisabledCache{})
	updater := model.NewEndpointIndexUpdater(index)
	registry, _ := kube.NewFakeControllerWithOptions(t, kube.FakeControllerOptions{
		Client:        kubelib.NewFakeClient(objects...),
		ClusterID:     clusterID,
		ConfigCluster: true,
		DomainSuffix:  domain,
		MeshWatcher:   watcher,
		XDSUpdater:    updater,
		SkipRun:       true,
	})
	generator := core.NewConfigGenTest(t, core.TestOptions{
		ClusterID:         clusterID,
		Configs:           configs,
		MeshConfig:        watcher.Mesh(),
		ServiceRegistries: []serviceregistry.Instance{registry},
		SkipRun:           true,
		XDSUpdater:        updater,
	})
	environment := generator.Env()
	environment.EndpointIndex = index
	environment.DomainSuffix = domain
	generator.Run()
	if err := environment.InitNetworksManager(updater); err != nil {
		t.Fatal(err)
	}
	environment.PushContext().InitContext(environment, nil, nil)
	return generator
}

func (c Client) proxy(index int, domain string, generator *core.ConfigGenTest) *model.Proxy {
	return generator.SetupProxy(&model.Proxy{
		ID:              fmt.Sprintf("client-%d.%s", index, c.Namespace),
		Type:            model.SidecarProxy,
		ConfigNamespace: c.Namespace,
		DNSDomain:       c.Namespace + ".svc." + domain,
		IPAddresses:     []string{fmt.Sprintf("10.255.255.%d", index+1)},
		Labels:          c.Labels,
		Metadata: &model.NodeMetadata{
			Namespace:           c.Namespace,
			Labels:              c.Labels,
			ClusterID:           constants.DefaultClusterName,
			IstioVersion:        clientVersion,
			EnvoyStatusPort:     statusPort,
			EnvoyPrometheusPort: prometheusPort,
		},
	})
}
