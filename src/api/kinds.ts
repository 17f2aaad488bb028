import { type DestinationRule, parseDestinationRule } from './destination-rule.ts'
import { type EndpointSlice, parseEndpointSlice } from './endpoint-slice.ts'
import { type Endpoints, parseEndpoints } from './endpoints.ts'
import { Fields } from './fields.ts'
import { type IPAddress, parseIPAddress } from './ip-address.ts'
import { type Namespace, parseNamespace } from './namespace.ts'
import { parseService, type Service } from './service.ts'
import { parseServiceEntry, type ServiceEntry } from './service-entry.ts'
import { parseVirtualService, type VirtualService } from './virtual-service.ts'

/** Every kind of object that a rule asks about, by its name. */
export type Objects = {
  Namespace: Namespace
  Service: Service
  Endpoints: Endpoints
  EndpointSlice: EndpointSlice
  IPAddress: IPAddress
  VirtualService: VirtualService
  ServiceEntry: ServiceEntry
  DestinationRule: DestinationRule
}

export type Kind = keyof Objects

/** An object of one of these kinds, projected. */
export type KnownObject = { [K in Kind]: { kind: K; object: Objects[K] } }[Kind]

/** Where the API server has a kind. `version` is the one that we ask for. */
export type Resource = { group: string; version: string; resource: string; namespaced: boolean }

/** Where the API server has a kind, and how an object of it is read. */
export const kinds: { readonly [K in Kind]: Resource & { parse: (object: unknown) => Objects[K] } } = {
  Namespace: { group: '', version: 'v1', resource: 'namespaces', namespaced: false, parse: parseNamespace },
  Service: { group: '', version: 'v1', resource: 'services', namespaced: true, parse: parseService },
  Endpoints: { group: '', version: 'v1', resource: 'endpoints', namespaced: true, parse: parseEndpoints },
  EndpointSlice: {
    group: 'discovery.k8s.io',
    version: 'v1',
    resource: 'endpointslices',
    namespaced: true,
    parse: parseEndpointSlice,
  },
  IPAddress: {
    group: 'networking.k8s.io',
    version: 'v1',
    resource: 'ipaddresses',
    namespaced: false,
    parse: parseIPAddress,
  },
  VirtualService: {
    group: 'networking.istio.io',
    version: 'v1',
    resource: 'virtualservices',
    namespaced: true,
    parse: parseVirtualService,
  },
  ServiceEntry: {
    group: 'networking.istio.io',
    version: 'v1',
    resource: 'serviceentries',
    namespaced: true,
    parse: parseServiceEntry,
  },
  DestinationRule: {
    group: 'networking.istio.io',
    version: 'v1',
    resource: 'destinationrules',
    namespaced: true,
    parse: parseDestinationRule,
  },
}

/** Every kind that the API server is asked for: those that rules ask about, and those that serve our own running. */
export const resources = {
  ...kinds,
  Lease: { group: 'coordination.k8s.io', version: 'v1', resource: 'leases', namespaced: true },
  Event: { group: 'events.k8s.io', version: 'v1', resource: 'events', namespaced: true },
  Secret: { group: '', version: 'v1', resource: 'secrets', namespaced: true },
  MutatingWebhookConfiguration: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'mutatingwebhookconfigurations',
    namespaced: false,
  },
  ValidatingWebhookConfiguration: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'validatingwebhookconfigurations',
    namespaced: false,
  },
  ServiceCIDR: { group: 'networking.k8s.io', version: 'v1', resource: 'servicecidrs', namespaced: false },
} as const satisfies Record<string, Resource>

export type ResourceKind = keyof typeof resources

/** Whether a cluster may do without a kind: Istio's are installed, or are not. */
export const mayBeAbsent = (kind: ResourceKind): boolean => resources[kind].group === 'networking.istio.io'

const isKind = (kind: string): kind is Kind => Object.hasOwn(kinds, kind)

/** Projects an object of any known kind and of any version of its group; undefined for all others. Throws MalformedObject. */
export const parseObject = (raw: unknown): KnownObject | undefined => {
  const fields = new Fields(raw)
  const kind = fields.string('kind') ?? ''
  const apiVersion = fields.string('apiVersion') ?? ''
  const group = apiVersion.slice(0, Math.max(apiVersion.indexOf('/'), 0))
  if (!isKind(kind) || kinds[kind].group !== group) return undefined
  return { kind, object: kinds[kind].parse(raw) } as KnownObject
}
