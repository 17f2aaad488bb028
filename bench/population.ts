import { defaultPolicy } from '../src/rules/policy.ts'
import { candidateAddresses } from '../src/vip/pools.ts'
import { claim, meshNamespace, service, serviceEntry, virtualService } from '../test/support/objects.ts'

export type Manifest = { apiVersion: string; kind: string; metadata: { name: string; namespace?: string } }

/** A virtual host, and the VirtualService that routes to Services of its namespace. */
export type Pair = {
  namespace: string
  name: string
  address: string
  service: Manifest & { spec: { ports: object[] } }
  virtualService: Manifest & { spec: { hosts: string[]; gateways: string[]; http: object[] } }
}

export type Population = { manifests: Manifest[]; pairs: Pair[] }

const perNamespace = 50
const pairsPerNamespace = 5
const serviceEntries = 300
/** Routes of each VirtualService. */
const routes = 8

const ordinaryService = (namespace: string, name: string): Manifest =>
  service(
    name,
    {
      selector: { 'app.kubernetes.io/name': name },
      ports: [
        { name: 'http-api', port: 3100, protocol: 'TCP', targetPort: 'api' },
        { name: 'http-metrics', port: 9090, protocol: 'TCP', targetPort: 'metrics' },
      ],
    },
    {
      namespace,
      labels: { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': namespace, team: namespace },
      annotations: { 'example.com/owner': `${namespace}@example.com`, 'example.com/runbook': `runbooks/${name}` },
    },
  )

const makePair = (namespace: string, name: string, destinations: readonly string[], taken: Set<string>): Pair => {
  const address = candidateAddresses(defaultPolicy.pools, `${namespace}/${name}`).find((one) => !taken.has(one))
  if (address === undefined) throw new Error('the pool is too small for so many virtual hosts')
  taken.add(address)
  const labels = { team: namespace }
  const http = destinations.map((destination, index) => ({
    name: destination,
    match: [{ port: 3111, ...(index === destinations.length - 1 ? {} : { uri: { prefix: `/${destination}/` } }) }],
    route: [{ destination: { host: `${destination}.${namespace}.svc.cluster.local`, port: { number: 3100 } } }],
    timeout: '10s',
  }))
  return {
    namespace,
    name,
    address,
    service: service(
      name,
      { ports: [{ name: 'http-api', port: 3111, protocol: 'TCP', targetPort: 3111 }], externalIPs: [address] },
      { namespace, labels },
    ),
    virtualService: {
      ...virtualService(name, {}),
      metadata: { namespace, name },
      spec: { hosts: [`${name}.${namespace}.svc.cluster.local`], gateways: ['mesh'], http },
    },
  }
}

/**
 * A cluster with so many Services, a multiple of 50, as manifests in the order in which they can be created. In each namespace, 50
 * of them: 45 ordinary ones and five virtual hosts, each with its address, its claim and a VirtualService. A few hundred
 * ServiceEntries come with any number.
 */
export const populate = (services: number): Population => {
  const namespaces = Array.from(
    { length: services / perNamespace },
    (_, index) => `team-${String(index).padStart(4, '0')}`,
  )
  const taken = new Set<string>()
  const pairs: Pair[] = []
  const ordinary: Manifest[] = []
  for (const namespace of namespaces) {
    const names = Array.from({ length: perNamespace - pairsPerNamespace }, (_, index) => `backend-${index}`)
    for (const name of names) ordinary.push(ordinaryService(namespace, name))
    for (let index = 0; index < pairsPerNamespace; index++) {
      const destinations = names.slice(index * routes, (index + 1) * routes)
      pairs.push(makePair(namespace, `api-${index}`, destinations, taken))
    }
  }
  const entries = Array.from({ length: serviceEntries }, (_, index): Manifest => {
    // Most go by name alone; some list addresses, a few a range.
    const addresses =
      index % 100 === 0 ? [`10.${200 + index / 100}.0.0/16`] : index % 3 === 0 ? [`10.1.2.${index % 256}`] : []
    const entry = serviceEntry(`partner-${index}`, addresses)
    return { ...entry, metadata: { ...entry.metadata, namespace: namespaces[index % namespaces.length] ?? '' } }
  })
  return {
    pairs,
    manifests: [
      ...namespaces.map(meshNamespace),
      ...entries,
      ...ordinary,
      ...pairs.flatMap((pair) => [
        claim(pair.address, `${pair.namespace}/${pair.name}`),
        pair.service,
        pair.virtualService,
      ]),
    ],
  }
}
