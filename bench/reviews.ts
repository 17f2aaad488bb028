import { type Backend, memoryBackend } from '../src/admission/backend.ts'
import { type KnownObject, parseObject } from '../src/api/kinds.ts'
import { formatName, type NamespacedName } from '../src/api/metadata.ts'
import { defaultPolicy } from '../src/rules/policy.ts'
import { candidateAddresses } from '../src/vip/pools.ts'
import { storeOf } from '../test/support/backends.ts'
import { requestFor, reviewOf, updateOf } from '../test/support/reviews.ts'
import { type Pair, type Population, populate } from './population.ts'

/** A review that is due, and what takes the cluster back to where it was before it. */
export type Due = { body: string; restore(): void }

/** A kind of review. Nothing that `prepare` and `restore` do is part of what is timed. */
export type Case = {
  name: string
  webhook: 'mutate' | 'validate'
  /** What every answer must have in it. */
  expected: string
  prepare(round: number): Promise<Due>
}

export type ClusterInMemory = {
  services: number
  backend: Backend
  cases: readonly Case[]
  wildcard: Case
  /** Throws where the cluster is not as it was at first. */
  assertUnchanged(): void
}

/**
 * As many virtual hosts, each in a namespace of its own, are updated in turn, spread over the whole cluster: the smallest has as many
 * namespaces. The sizes of the view are to be compared, and not how much of it fits into the caches of the processor.
 */
const touched = 10

const known = (manifest: object): KnownObject => {
  const object = parseObject(manifest)
  if (object === undefined) throw new Error(`no rule reads ${JSON.stringify(manifest)}`)
  return object
}

/** The fields of an object as managedFields lists them (structured-merge-diff, FieldsV1); items of lists are left out. */
const fieldsV1 = (value: unknown): object =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? {}
    : Object.fromEntries(Object.entries(value).map(([key, field]) => [`f:${key}`, fieldsV1(field)]))

/** With what the API server adds, so that a body is about as long as in a cluster. */
const stored = <T extends { apiVersion: string; metadata: object }>(manifest: T): T => ({
  ...manifest,
  metadata: {
    ...manifest.metadata,
    uid: '6c5f3c1e-8d0b-4c57-9d43-0a5c3a7e9b21',
    creationTimestamp: '2026-01-02T03:04:05Z',
    managedFields: [
      {
        manager: 'kubectl',
        operation: 'Apply',
        apiVersion: manifest.apiVersion,
        time: '2026-01-02T03:04:05Z',
        fieldsType: 'FieldsV1',
        fieldsV1: fieldsV1(manifest),
      },
    ],
  },
})

const withSpec = <T extends { spec: object }>(manifest: T, spec: object): T => ({
  ...manifest,
  spec: { ...manifest.spec, ...spec },
})

const claimFor = async (backend: Backend, service: NamespacedName): Promise<string> => {
  const options = { dryRun: false, signal: AbortSignal.timeout(1_000) }
  for (const address of candidateAddresses(defaultPolicy.pools, formatName(service))) {
    if (await backend.claims.claim(address, service, options)) return address
  }
  throw new Error('the pool is full')
}

/** What is created has a name that nothing had before: what came and went under one name leaves traces in a Map. */
const renamed = <T extends { metadata: object }>(manifest: T, name: string): T => ({
  ...manifest,
  metadata: { ...manifest.metadata, name },
})

const casesFor = (pairs: readonly Pair[], backend: Backend): Case[] => {
  const bodyOf = (request: object): string => JSON.stringify(reviewOf(request))
  const made =
    (prepare: (pair: Pair, name: string) => Promise<Due>): Case['prepare'] =>
    (round) =>
      prepare(pairs[round % pairs.length] as Pair, `new-${round}`)
  const changed = (requestOf: (pair: Pair) => { request: object; was?: object }): Case['prepare'] => {
    const all = pairs.map((pair): Due => {
      const { request, was } = requestOf(pair)
      const present = was === undefined ? undefined : known(was)
      return {
        body: bodyOf(request),
        restore: () => {
          if (present !== undefined) backend.admitted(present)
        },
      }
    })
    return async (round) => all[round % all.length] as Due
  }
  /** A virtual host that is there, and claimed, for as long as one review of its VirtualService takes. */
  const admitNew = async (pair: Pair, name: string): Promise<void> => {
    const service = { namespace: pair.namespace, name }
    const externalIPs = [await claimFor(backend, service)]
    backend.admitted(known(renamed(withSpec(pair.service, { externalIPs }), name)))
  }
  return [
    {
      name: 'mutate: a virtual host is created',
      webhook: 'mutate',
      expected: '"patchType":"JSONPatch"',
      prepare: made(async (pair, name) => ({
        body: bodyOf(requestFor(stored(renamed(withSpec(pair.service, { externalIPs: undefined }), name)))),
        restore: () => backend.deleted('Service', { namespace: pair.namespace, name }),
      })),
    },
    {
      name: 'mutate: a virtual host is updated',
      webhook: 'mutate',
      expected: '"allowed":true',
      prepare: changed((pair) => ({ request: updateOf(stored(pair.service), stored(withAnotherPort(pair))) })),
    },
    {
      name: 'validate: a virtual host is created',
      webhook: 'validate',
      expected: '"allowed":true',
      prepare: made(async (pair, name) => {
        const service = { namespace: pair.namespace, name }
        const externalIPs = [await claimFor(backend, service)]
        return {
          body: bodyOf(requestFor(stored(renamed(withSpec(pair.service, { externalIPs }), name)))),
          restore: () => backend.deleted('Service', service),
        }
      }),
    },
    {
      name: 'validate: a virtual host is updated',
      webhook: 'validate',
      expected: '"allowed":true',
      prepare: changed((pair) => ({
        request: updateOf(stored(pair.service), stored(withAnotherPort(pair))),
        was: pair.service,
      })),
    },
    {
      name: 'validate: a virtual host is refused',
      webhook: 'validate',
      expected: 'service-port-80',
      prepare: changed((pair) => ({
        request: updateOf(
          stored(pair.service),
          stored(withSpec(pair.service, { ports: [{ name: 'http', port: 80 }] })),
        ),
      })),
    },
    {
      name: 'validate: a VirtualService is created',
      webhook: 'validate',
      expected: '"allowed":true',
      prepare: made(async (pair, name) => {
        await admitNew(pair, name)
        const hosts = [`${name}.${pair.namespace}.svc.cluster.local`]
        return {
          body: bodyOf(requestFor(stored(renamed(withSpec(pair.virtualService, { hosts }), name)))),
          restore: () => {
            for (const kind of ['VirtualService', 'Service'] as const) {
              backend.deleted(kind, { namespace: pair.namespace, name })
            }
          },
        }
      }),
    },
    {
      name: 'validate: a VirtualService is updated',
      webhook: 'validate',
      expected: '"allowed":true',
      prepare: changed((pair) => ({
        request: updateOf(stored(pair.virtualService), stored(withoutFirstRoute(pair))),
        was: pair.virtualService,
      })),
    },
  ]
}

/** The one question that has no index: which Services a wildcard takes in. */
const wildcardCase = (pairs: readonly Pair[], backend: Backend): Case => ({
  name: 'validate: a VirtualService for *.NAMESPACE is created',
  webhook: 'validate',
  expected: '"allowed":true',
  prepare: async (round) => {
    const { namespace, virtualService } = pairs[round % pairs.length] as Pair
    const name = `wildcard-${round}`
    const hosts = [`*.${namespace}.svc.cluster.local`]
    return {
      body: JSON.stringify(reviewOf(requestFor(stored(renamed(withSpec(virtualService, { hosts }), name))))),
      restore: () => backend.deleted('VirtualService', { namespace, name }),
    }
  },
})

const withAnotherPort = ({ service }: Pair): Pair['service'] =>
  withSpec(service, { ports: [...service.spec.ports, { name: 'grpc-api', port: 3112, protocol: 'TCP' }] })

const withoutFirstRoute = ({ virtualService }: Pair): Pair['virtualService'] =>
  withSpec(virtualService, { http: virtualService.spec.http.slice(1) })

const evenly = ({ pairs }: Population): Pair[] =>
  pairs.filter((_, index) => index % Math.floor(pairs.length / touched) === 0).slice(0, touched)

/** A cluster in memory with so many Services in view, and the reviews to put to it. */
export const clusterInMemory = (services: number): ClusterInMemory => {
  const population = populate(services)
  const store = storeOf()
  for (const manifest of population.manifests) store.put(known(manifest))
  const memory = memoryBackend(store)
  // In a live cluster it is the watch that takes in what was admitted, and no part of its admission.
  const backend: Backend = { ...memory, admitted: () => {} }
  const pairs = evenly(population)
  return {
    services,
    backend,
    cases: casesFor(pairs, memory),
    wildcard: wildcardCase(pairs, memory),
    assertUnchanged: () => {
      for (const pair of pairs) {
        const isThere = store.service(pair)?.ports.length === 1 && store.claimsOf(pair).join() === pair.address
        const host = `${pair.name}.${pair.namespace}.svc.cluster.local`
        const routes = store.virtualServices(host).map((virtualService) => virtualService.routes.length)
        if (!isThere || routes.join() !== '8') throw new Error(`${host} is not as it was`)
      }
    },
  }
}
