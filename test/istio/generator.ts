/**
 * Clusters with virtual hosts and their VirtualServices, right and nearly right: what the emission table and the rules say of one is
 * held against what Istio's own generator makes of it. Every object is one that the API server and istiod's validation accept.
 *
 * A construct is added as an entry of a table: a way to name a port's protocol or a destination (generator/services.ts), a
 * ServiceEntry, a form of a DestinationRule's host, a condition, an answer, an extra of a route (generator/virtual-services.ts), a
 * mistake (generator/mutations.ts).
 */
import fc from 'fast-check'
import { stringify } from 'yaml'
import { meshNamespace } from '../support/objects.ts'
import { destinationRuleDraws, toDestinationRule } from './generator/destination-rules.ts'
import { type Cluster, type MutationName, mutationNames, mutations } from './generator/mutations.ts'
import { regular } from './generator/regular.ts'
import { serviceEntryDraws, toServiceEntry } from './generator/service-entries.ts'
import { destinationDraws, toDestination, toVirtualHost, virtualHostDraws } from './generator/services.ts'
import {
  anyIndex,
  at,
  type Client,
  clientLabels,
  defaultDomain,
  type Manifest,
  mostly,
  namespaces,
  nonEmpty,
  otherDomain,
  rarely,
} from './generator/universe.ts'
import { targetsIn, toVirtualServices, virtualServiceDraw } from './generator/virtual-services.ts'

export { type MutationName, mutationNames } from './generator/mutations.ts'
export type { Client, Manifest } from './generator/universe.ts'

export type Case = {
  /** Namespaces first; the later an object stands, the younger it is. */
  objects: Manifest[]
  clients: Client[]
  mesh?: { clusterDomain: string }
  /** What was made wrong or odd, in this order. */
  mutations: MutationName[]
}

const mostVirtualHosts = 3
const mostMutations = 3
/** Of cases that are left as they are to those that have any number of mutations, none included. */
const untouchedWeight = 2
const mutatedWeight = 3
/** Of regular cases to those in which everything may be odd. */
const regularWeight = 3
/** As many as the greediest mutation makes. */
const choicesOfMutation = 4

const clientDraw: fc.Arbitrary<Client> = fc
  .record({ namespace: fc.constantFrom(...namespaces), isLabelled: mostly(fc.constant(false), fc.constant(true)) })
  .map(({ namespace, isLabelled }) => ({ namespace, ...(isLabelled ? { labels: { ...clientLabels } } : {}) }))

const clientDraws = nonEmpty(
  fc.uniqueArray(clientDraw, {
    selector: ({ namespace, labels }) => `${namespace} ${labels !== undefined}`,
    maxLength: 3,
  }),
)

type MutationDraw = { name: MutationName; choices: number[] }

const mutationDraw: fc.Arbitrary<MutationDraw> = fc.record({
  name: fc.constantFrom(...mutationNames),
  choices: fc.array(anyIndex, { minLength: choicesOfMutation, maxLength: choicesOfMutation }),
})

const mutationDraws = fc.oneof(
  { withCrossShrink: true },
  { weight: untouchedWeight, arbitrary: fc.constant<MutationDraw[]>([]) },
  { weight: mutatedWeight, arbitrary: fc.array(mutationDraw, { maxLength: mostMutations, size: 'max' }) },
)

const draws = fc.record({
  clients: clientDraws,
  /** Whether all is as it should be but for the mutations. */
  isRegular: fc.oneof(
    { weight: regularWeight, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  domain: mostly(fc.constant(defaultDomain), fc.constant(otherDomain)),
  /** The namespace that Istio injects nothing into. */
  plain: rarely(fc.constantFrom(...namespaces)),
  virtualHosts: virtualHostDraws,
  destinations: destinationDraws,
  entries: serviceEntryDraws,
  rules: destinationRuleDraws,
  virtualServices: fc.array(virtualServiceDraw, { minLength: mostVirtualHosts, maxLength: mostVirtualHosts }),
  mutations: mutationDraws,
})
type Draws = typeof draws extends fc.Arbitrary<infer T> ? T : never

const toCluster = (drawn: Draws): Cluster => {
  const { clients, domain } = drawn
  const virtualHosts = drawn.virtualHosts.map(toVirtualHost)
  const destinations = drawn.destinations.map((draw, index) => toDestination(draw, virtualHosts.length + index))
  const entries = drawn.entries.map(toServiceEntry)
  const names = destinations.map(({ metadata }) => metadata)
  const rules = drawn.rules.flatMap((draw, index) => toDestinationRule(draw, index, names, domain))
  const targets = targetsIn(destinations, entries, rules, domain)
  const virtualServices = virtualHosts.flatMap((service, index) => {
    const draw = drawn.virtualServices[index]
    return draw === undefined ? [] : toVirtualServices(draw, service, targets, domain)
  })
  return { domain, clients, virtualHosts, destinations, entries, rules, virtualServices }
}

/** Applies what finds something to change, and names it. */
const mutate = (cluster: Cluster, drawn: readonly MutationDraw[]): MutationName[] =>
  drawn.flatMap(({ name, choices }) => {
    let next = 0
    const choose = <T>(list: readonly T[]): T | undefined => at(list, choices[next++ % choices.length] ?? 0)
    return mutations[name](cluster, choose) ? [name] : []
  })

const secondOf = (index: number): string =>
  new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString().replace('.000', '')

/** The objects in the order of their age, and the namespaces that they and the clients are in. */
const objectsOf = (cluster: Cluster, plain: string | undefined): Manifest[] => {
  const { virtualHosts, destinations, entries, rules, virtualServices } = cluster
  const objects: Manifest[] = [...virtualHosts, ...destinations, ...entries, ...rules, ...virtualServices]
  const used = new Set(
    [...cluster.clients, ...objects.map(({ metadata }) => metadata)].map(({ namespace }) => namespace),
  )
  const isMesh = (name: string) => name !== plain && (namespaces as readonly string[]).includes(name)
  const namespaceObjects = [...used]
    .filter((name) => name !== undefined)
    .map(
      (name): Manifest =>
        isMesh(name) ? meshNamespace(name) : { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    )
  return [...namespaceObjects, ...objects].map((object, index) =>
    structuredClone({ ...object, metadata: { ...object.metadata, creationTimestamp: secondOf(index) } }),
  )
}

/** Cases, at least two of five of them without any mutation. They shrink to a virtual host, a destination and a catch-all route. */
export const cases: fc.Arbitrary<Case> = draws.map((raw) => {
  const drawn = raw.isRegular ? regular(raw) : raw
  const cluster = toCluster(drawn)
  const applied = mutate(cluster, drawn.mutations)
  return {
    objects: objectsOf(cluster, drawn.plain),
    clients: drawn.clients,
    ...(drawn.domain === defaultDomain ? {} : { mesh: { clusterDomain: drawn.domain } }),
    mutations: applied,
  }
})

/** A case for the report of a disagreement: its circumstances as comments, its objects as one YAML stream. */
export const caseToYaml = ({ objects, clients, mesh, mutations }: Case): string => {
  const circumstances = [
    `mutations: ${mutations.join('; ') || 'none'}`,
    ...clients.map(
      ({ namespace, labels }) => `client in ${namespace}${labels === undefined ? '' : ` ${JSON.stringify(labels)}`}`,
    ),
    ...(mesh === undefined ? [] : [`cluster domain ${mesh.clusterDomain}`]),
  ]
  const documents = objects.map((object) => stringify(object, { aliasDuplicateObjects: false, version: '1.1' }))
  return [...circumstances.map((line) => `# ${line}\n`), documents.join('---\n')].join('')
}
