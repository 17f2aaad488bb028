import { parseObject } from '../../src/api/kinds.ts'
import type { ObjectStore } from '../../src/view/object-store.ts'
import { fixtureStore } from '../fixtures/rules.ts'

type Metadata = Record<string, unknown>

/** A cluster in memory with these objects. */
export const storeOf = (...objects: object[]): ObjectStore =>
  fixtureStore(objects.flatMap((object) => parseObject(object) ?? []))

export const meshNamespace = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { 'istio-injection': 'enabled' } },
})

/** A good virtual host, but for what `spec` and `metadata` say otherwise. */
export const service = (name: string, spec: object = {}, metadata: Metadata = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'shop', name, ...metadata },
  spec: { type: 'ClusterIP', ports: [{ name: 'http', port: 3111, protocol: 'TCP' }], ...spec },
})

export const virtualService = (name: string, spec: object, metadata: Metadata = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { namespace: 'shop', name, ...metadata },
  spec,
})

/** A claim of ours, unless its labels say otherwise. */
export const claim = (
  address: string,
  owner: string,
  labels: Record<string, string> = { 'ipaddress.kubernetes.io/managed-by': 'meshvip.dev' },
) => {
  const [namespace, name] = owner.split('/')
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IPAddress',
    metadata: { name: address, labels },
    spec: { parentRef: { group: '', resource: 'services', namespace, name } },
  }
}

export const serviceCIDR = (name: string, ...cidrs: string[]) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name },
  spec: { cidrs },
})

export const destinationRule = (name: string, host: string, spec: object = {}, metadata: Metadata = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { namespace: 'shop', name, ...metadata },
  spec: { host, ...spec },
})

export const serviceEntry = (name: string, addresses: string[], host = `${name}.example.com`) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { namespace: 'shop', name },
  spec: { hosts: [host], addresses, ports: [{ number: 443, name: 'tls', protocol: 'TLS' }] },
})

/** A ServiceEntry of this spec. */
export const entryFor = (name: string, spec: object, metadata: Metadata = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { namespace: 'shop', name, ...metadata },
  spec,
})

export const endpointSlice = (name: string, ofService: string, labels: Record<string, string> = {}, rest = {}) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { namespace: 'shop', name, labels: { 'kubernetes.io/service-name': ofService, ...labels } },
  ...rest,
})
