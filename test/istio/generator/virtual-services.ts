import fc from 'fast-check'
import type { NamespacedName } from '../../../src/api/metadata.ts'
import { resolveShortName, serviceHost } from '../../../src/istio/hosts.ts'
import type { DestinationRule } from './destination-rules.ts'
import type { ServiceEntry } from './service-entries.ts'
import { classOfPort, type Service } from './services.ts'
import { anyIndex, at, type Draft, istioDraft, mostly, namespaces, nonEmpty, rarely } from './universe.ts'

export type Destination = { host: string; subset?: string; port?: { number: number } }
export type Weighted = { destination: Destination; weight?: number }
type Text = { exact: string } | { prefix: string } | { regex: string }

/** A match of an http route; tcp and tls routes know port, gateways, sourceLabels and sourceNamespace of it. */
export type Match = {
  name?: string
  port?: number
  gateways?: string[]
  sourceLabels?: Record<string, string>
  sourceNamespace?: string
  sniHosts?: string[]
  uri?: Text
  ignoreUriCase?: boolean
  method?: Text
  scheme?: Text
  authority?: Text
  headers?: Record<string, Text>
  withoutHeaders?: Record<string, Text>
  queryParams?: Record<string, Text>
}

/** An http route; tcp and tls routes have match and route alone. */
export type Route = {
  name?: string
  match?: Match[]
  route?: Weighted[]
  delegate?: NamespacedName
  redirect?: object
  directResponse?: object
  mirror?: Destination
  mirrorPercentage?: { value: number }
  mirrors?: { destination: Destination; percentage?: { value: number } }[]
  timeout?: string
  rewrite?: object
  retries?: object
  headers?: object
  fault?: object
}

export type VirtualServiceSpec = {
  /** None in a delegate. */
  hosts?: string[]
  gateways?: string[]
  http?: Route[]
  tcp?: Route[]
  tls?: Route[]
  exportTo?: string[]
}
export type VirtualService = Draft<VirtualServiceSpec>

/** Conditions on a request, none of which takes all: one entry a construct. */
const conditions: readonly Match[] = [
  { uri: { prefix: '/read' } },
  { uri: { exact: '/health' } },
  { uri: { regex: '/v[0-9]+/.*' } },
  { uri: { prefix: '/Read' }, ignoreUriCase: true },
  { name: 'named', uri: { prefix: '/named' } },
  { headers: { 'x-user': { exact: 'jane' } } },
  { uri: { prefix: '/' }, headers: { 'x-user': { prefix: 'j' } } },
  { withoutHeaders: { 'x-user': { exact: 'jane' } } },
  { method: { exact: 'GET' } },
  { queryParams: { page: { exact: '1' } } },
  { authority: { prefix: 'orders' } },
  { scheme: { exact: 'http' } },
]

/** What answers a request without any destination. */
const answers: readonly Partial<Route>[] = [{ redirect: { uri: '/moved' } }, { directResponse: { status: 404 } }]

/** What a route to destinations can have beside them. */
const extras: readonly Partial<Route>[] = [
  { name: 'named' },
  { timeout: '5s' },
  { rewrite: { uri: '/' } },
  { retries: { attempts: 2 } },
  { headers: { request: { set: { 'x-route': 'a' } } } },
  { fault: { abort: { httpStatus: 503, percentage: { value: 10 } } } },
]

/** How a route can copy its traffic. */
const mirrorings: readonly ((destination: Destination) => Partial<Route>)[] = [
  (mirror) => ({ mirror }),
  (mirror) => ({ mirror, mirrorPercentage: { value: 50 } }),
  (destination) => ({ mirrors: [{ destination, percentage: { value: 50 } }] }),
]

/** The weights of one, two and three destinations. */
const weights: readonly (readonly number[])[] = [[], [80, 20], [50, 30, 20]]

type DestinationDraw = { target: number; port: number; hasSubset: boolean }
type ActionDraw = {
  destinations: readonly DestinationDraw[]
  answer: Partial<Route> | undefined
  extra: Partial<Route> | undefined
  mirror: { destination: DestinationDraw; as: (typeof mirrorings)[number] } | undefined
}

export type VirtualServiceDraw = {
  /** Undefined for that of the virtual host. */
  namespace: string | undefined
  hasShortHost: boolean
  /** Routes for some requests, each for one port. */
  conditioned: readonly { port: number; conditions: readonly Match[]; action: ActionDraw }[]
  /** The route for the rest: one a port, one for all of them, or none. */
  rest: 'each' | 'all' | 'none'
  action: ActionDraw
  /** The namespace of the delegate to which the last route goes. */
  delegate: string | undefined
}

const destinationDraw: fc.Arbitrary<DestinationDraw> = fc.record({
  target: anyIndex,
  port: anyIndex,
  hasSubset: fc.boolean(),
})

const actionDraw: fc.Arbitrary<ActionDraw> = fc.record({
  destinations: nonEmpty(fc.array(destinationDraw, { maxLength: weights.length, size: 'small' })),
  answer: rarely(fc.constantFrom(...answers)),
  extra: rarely(fc.constantFrom(...extras)),
  mirror: rarely(fc.record({ destination: destinationDraw, as: fc.constantFrom(...mirrorings) })),
})

export const virtualServiceDraw: fc.Arbitrary<VirtualServiceDraw> = fc.record({
  namespace: rarely(fc.constantFrom(...namespaces)),
  hasShortHost: mostly(fc.constant(false), fc.constant(true)),
  conditioned: fc.array(
    fc.record({
      port: anyIndex,
      conditions: nonEmpty(fc.array(fc.constantFrom(...conditions), { maxLength: 2, size: 'small' })),
      action: actionDraw,
    }),
    { maxLength: 2, size: 'small' },
  ),
  rest: mostly<VirtualServiceDraw['rest']>(fc.constant('each'), fc.constantFrom('all', 'none')),
  action: actionDraw,
  delegate: rarely(fc.constantFrom(...namespaces)),
})

/** What a route can go to. */
export type Target = { host: string; ports: readonly number[]; subsets: readonly string[] }

/** The hosts of Services and ServiceEntries with the subsets that a rule in the Service's own namespace gives them. */
export const targetsIn = (
  services: readonly Service[],
  entries: readonly ServiceEntry[],
  rules: readonly DestinationRule[],
  domain: string,
): readonly Target[] => [
  ...services.flatMap(({ metadata, spec }) => {
    const host = serviceHost(metadata, domain)
    const ports = spec.ports.filter((port) => classOfPort(port) !== 'UDP').map(({ port }) => port)
    const own = rules.find(
      (rule) =>
        rule.metadata.namespace === metadata.namespace &&
        resolveShortName(rule.spec.host, metadata.namespace, domain) === host,
    )
    return [{ host, ports, subsets: own?.spec.subsets?.map(({ name }) => name) ?? [] }]
  }),
  ...entries
    .filter(({ spec }) => !spec.hosts.some((host) => host.startsWith('*')))
    .flatMap(({ spec }) =>
      spec.hosts.map((host) => ({ host, ports: spec.ports.map(({ number }) => number), subsets: [] })),
    ),
]

const toTarget = (draw: DestinationDraw, targets: readonly Target[]): Destination => {
  const target = at(targets, draw.target)
  if (target === undefined) throw new Error('a case has at least one destination')
  const port = at(target.ports, draw.port)
  const [subset] = target.subsets
  return {
    host: target.host,
    ...(draw.hasSubset && subset !== undefined ? { subset } : {}),
    ...(port === undefined ? {} : { port: { number: port } }),
  }
}

const toWeighted = (draws: readonly DestinationDraw[], targets: readonly Target[]): Weighted[] =>
  draws.map((draw, index) => {
    const weight = weights[draws.length - 1]?.[index]
    return { destination: toTarget(draw, targets), ...(weight === undefined ? {} : { weight }) }
  })

const toAction = (draw: ActionDraw, targets: readonly Target[]): Route =>
  draw.answer !== undefined
    ? structuredClone(draw.answer)
    : {
        ...structuredClone(draw.extra),
        route: toWeighted(draw.destinations, targets),
        ...draw.mirror?.as(toTarget(draw.mirror.destination, targets)),
      }

const httpRoutes = (draw: VirtualServiceDraw, ports: readonly number[], targets: readonly Target[]): Route[] => {
  const conditioned = draw.conditioned.map(({ port, conditions, action }) => {
    const listener = at(ports, port)
    const match = conditions.map((condition) => ({
      ...(listener === undefined ? {} : { port: listener }),
      ...structuredClone(condition),
    }))
    return { match, ...toAction(action, targets) }
  })
  if (draw.rest === 'none' && conditioned.length > 0) return conditioned
  const rest = draw.rest === 'all' ? [{}] : ports.map((port) => ({ match: [{ port }] }))
  return [...conditioned, ...rest.map((route) => ({ ...route, ...toAction(draw.action, targets) }))]
}

/** The correct VirtualService of a virtual host, and the delegate that it may have. */
export const toVirtualServices = (
  draw: VirtualServiceDraw,
  { metadata, spec }: Service,
  targets: readonly Target[],
  domain: string,
): VirtualService[] => {
  const namespace = draw.namespace ?? metadata.namespace
  const isAtHome = namespace === metadata.namespace
  const host = draw.hasShortHost && isAtHome ? metadata.name : serviceHost(metadata, domain)
  const portsOf = (...classes: string[]) =>
    spec.ports.filter((port) => classes.includes(classOfPort(port))).map(({ port }) => port)
  const plain = () => toWeighted(draw.action.destinations, targets)
  const http = portsOf('HTTP', 'undetermined')
  const tcp = portsOf('TCP').map((port) => ({ match: [{ port }], route: plain() }))
  const tls = portsOf('TLS').map((port) => ({ match: [{ port, sniHosts: [host] }], route: plain() }))
  const virtualService = istioDraft<VirtualServiceSpec>(
    'VirtualService',
    { namespace, name: isAtHome ? metadata.name : `${metadata.name}-of-${metadata.namespace}` },
    {
      hosts: [host],
      gateways: ['mesh'],
      ...(http.length === 0 ? {} : { http: httpRoutes(draw, http, targets) }),
      ...(tcp.length === 0 ? {} : { tcp }),
      ...(tls.length === 0 ? {} : { tls }),
    },
  )
  const delegate = draw.delegate === undefined ? undefined : delegated(virtualService, draw.delegate)
  return delegate === undefined ? [virtualService] : [virtualService, delegate]
}

/** Moves what the last http route does into a delegate, which it returns; undefined where there is no such route. */
export const delegated = ({ metadata, spec }: VirtualService, namespace: string): VirtualService | undefined => {
  const last = spec.http?.at(-1)
  if (spec.http === undefined || last === undefined || last.delegate !== undefined) return undefined
  const { match, ...action } = last
  const delegate = { namespace, name: `${metadata.name}-${metadata.namespace}-delegate` }
  spec.http = [...spec.http.slice(0, -1), { ...(match === undefined ? {} : { match }), delegate }]
  return istioDraft<VirtualServiceSpec>('VirtualService', delegate, {
    http: [{ match: [{ headers: { 'x-delegated': { exact: 'true' } } }], ...structuredClone(action) }, action],
  })
}
