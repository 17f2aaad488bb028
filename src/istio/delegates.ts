import { Fields } from '../api/fields.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import {
  canonicalJson,
  type Match,
  type Route,
  takesEveryRequest,
  type VirtualService,
} from '../api/virtual-service.ts'
import { isVisible } from './visibility.ts'

/** A route whose delegate istiod does not take, or only in part. */
export type Delegation = {
  /** The route of the root, `spec.http[0]`. */
  field: string
  delegate: NamespacedName
} & (
  | { kind: 'missing' | 'hidden' | 'hosts' }
  /** `routes` of the delegate are left out, since their matches contradict those of the root. */
  | { kind: 'conflict'; routes: readonly string[] }
)

type StringMatch = { exact?: string; prefix?: string; regex?: string } | undefined
type Conditions = {
  [key in 'uri' | 'scheme' | 'method' | 'authority']?: StringMatch
} & { [key in 'headers' | 'withoutHeaders' | 'queryParams']?: Record<string, StringMatch> } & {
  ignoreUriCase?: boolean
}

/** The CRD lets a text have one of the three only. Istio 1.31 pilot/pkg/model/virtualservice.go, stringMatchConflict. */
const contradictsText = (root: StringMatch, leaf: StringMatch): boolean => {
  if (root === undefined || leaf === undefined) return false
  if (root.exact) return leaf.exact !== root.exact
  if (root.prefix) {
    const text = leaf.prefix || leaf.exact
    if (text) return !text.startsWith(root.prefix)
  }
  return true
}

const contradictsMap = (root: Record<string, StringMatch> = {}, leaf: Record<string, StringMatch> = {}): boolean =>
  Object.entries(leaf).some(([key, text]) => Object.hasOwn(root, key) && contradictsText(root[key], text))

const parsed = new WeakMap<Match, Conditions>()

/** Read once a match: each of a root is put against each of its delegates'. */
const conditionsOf = (match: Match): Conditions => {
  const known = parsed.get(match) ?? (JSON.parse(match.conditions) as Conditions)
  parsed.set(match, known)
  return known
}

/** Istio 1.31 pilot/pkg/model/virtualservice.go, hasConflict. */
const contradicts = (root: Match, leaf: Match): boolean => {
  const [a, b] = [conditionsOf(root), conditionsOf(leaf)]
  return (
    (['uri', 'scheme', 'method', 'authority'] as const).some((key) => contradictsText(a[key], b[key])) ||
    (['headers', 'withoutHeaders', 'queryParams'] as const).some((key) => contradictsMap(a[key], b[key])) ||
    (a.ignoreUriCase ?? false) !== (b.ignoreUriCase ?? false) ||
    (root.port !== undefined && leaf.port !== undefined && root.port !== leaf.port) ||
    (root.sourceNamespace !== '' && leaf.sourceNamespace !== root.sourceNamespace) ||
    [...leaf.sourceLabels].some(([key, value]) => (root.sourceLabels.get(key) ?? value) !== value) ||
    (root.gateways.length > 0 && leaf.gateways.some((gateway) => !root.gateways.includes(gateway))) ||
    (root.gateways.length > 0 && root.gateways.length < leaf.gateways.length)
  )
}

const joined = (root: string, leaf: string): string => (root && leaf ? `${root}-${leaf}` : root || leaf)

const mergeConditions = (root: Match, leaf: Match): string => {
  const [a, b] = [conditionsOf(root), conditionsOf(leaf)]
  const maps = (['headers', 'withoutHeaders', 'queryParams'] as const).flatMap((key) =>
    a[key] === undefined && b[key] === undefined ? [] : [[key, { ...a[key], ...b[key] }]],
  )
  return canonicalJson({ ...a, ...b, ...Object.fromEntries(maps) })
}

const mergeMatch = (root: Match, leaf: Match): Match => {
  const conditions = mergeConditions(root, leaf)
  return {
    ...leaf,
    name: joined(root.name, leaf.name),
    port: leaf.port ?? root.port,
    gateways: leaf.gateways.length === 0 ? root.gateways : leaf.gateways,
    sourceNamespace: leaf.sourceNamespace || root.sourceNamespace,
    sourceLabels: new Map([...root.sourceLabels, ...leaf.sourceLabels]),
    conditions,
    isCatchAll: takesEveryRequest(new Fields(JSON.parse(conditions))),
  }
}

/**
 * The matches of a route and of its delegate's, which has some. Undefined where they contradict each other. Istio 1.31
 * pilot/pkg/model/virtualservice.go, mergeHTTPMatchRequests.
 */
const mergeMatches = (root: readonly Match[], leaf: readonly Match[]): readonly Match[] | undefined => {
  if (root.length === 0) return leaf
  const merged = leaf.map((one) =>
    root.filter((other) => !contradicts(other, one)).map((other) => mergeMatch(other, one)),
  )
  return merged.some((some) => some.length === 0) ? undefined : merged.flat()
}

/** How a field of a delegate is told as part of its root. */
export const fieldInRoot = (root: string, delegate: NamespacedName, field: string): string =>
  `${root}.delegate (${formatName(delegate)}: ${field})`

/** The field of a delegate that a field of its root tells; undefined where it tells none of that delegate. */
export const fieldInDelegate = (field: string, delegate: NamespacedName): string | undefined => {
  const [, within] = field.split(` (${formatName(delegate)}: `)
  return within?.replace(')', '')
}

/** A route of a delegate, as part of its root: its fields are told with the delegate's name. */
const mergeRoute = (root: Route, leaf: Route, delegate: NamespacedName): Route | undefined => {
  const within = (field: string) => fieldInRoot(root.field, delegate, field)
  const placed = <T extends { field: string }>(one: T): T => ({ ...one, field: within(one.field) })
  const matches = leaf.matches.length === 0 ? root.matches : mergeMatches(root.matches, leaf.matches)?.map(placed)
  if (matches === undefined) return undefined
  const mirrors = leaf.mirrors.length > 0 ? leaf.mirrors.map(placed) : root.mirrors
  return {
    ...leaf,
    field: within(leaf.field),
    name: joined(root.name, leaf.name),
    matches,
    destinations: leaf.destinations.map(placed),
    mirrors,
    answers: leaf.answers || root.answers,
  }
}

/** Short names stand in the namespace of the object in which they are written. */
const resolvedIn = (route: Route, resolve: (host: string) => string): Route => {
  const resolved = <T extends { host: string }>(one: T): T => ({ ...one, host: resolve(one.host) })
  return { ...route, destinations: route.destinations.map(resolved), mirrors: route.mirrors.map(resolved) }
}

/** How many pairs of matches, of a root and its delegates, are merged. */
const maxWork = 20_000

/**
 * The routes of a VirtualService with those of its delegates in place, merged as Istio merges them.
 * Istio 1.31 pilot/pkg/model/virtualservice_controller.go, mergeVirtualServices, and virtualservice.go, MergeHTTPRoutes.
 */
export const withDelegates = (
  root: VirtualService,
  find: (name: NamespacedName) => VirtualService | undefined,
  resolveIn: (namespace: string) => (host: string) => string,
): { routes: readonly Route[]; delegations: readonly Delegation[] } => {
  if (root.routes.every(({ delegate }) => delegate === undefined)) return { routes: root.routes, delegations: [] }
  const delegations: Delegation[] = []
  let work = 0
  const routes = root.routes.flatMap((route): readonly Route[] => {
    if (route.delegate === undefined) return [route]
    const delegate = { ...route.delegate, namespace: route.delegate.namespace || root.namespace }
    const common = { field: route.field, delegate }
    const leaf = find(delegate)
    const without = (kind: 'missing' | 'hidden' | 'hosts') => {
      delegations.push({ ...common, kind })
      return []
    }
    if (leaf === undefined) return without('missing')
    if (leaf.hosts.length > 0) return without('hosts')
    if (!isVisible(root.namespace, leaf)) return without('hidden')
    const leaves = leaf.routes.filter(({ protocol }) => protocol === 'http')
    work += leaves.reduce((sum, one) => sum + Math.max(one.matches.length, 1), 0) * Math.max(route.matches.length, 1)
    // Two small objects can ask for millions of routes. What nobody can mean is not looked at.
    if (work > maxWork) return []
    const merged = leaves.map((one) => mergeRoute(route, resolvedIn(one, resolveIn(delegate.namespace)), delegate))
    const lost = leaves.flatMap(({ field }, index) => (merged[index] === undefined ? [field] : []))
    if (lost.length > 0) delegations.push({ ...common, kind: 'conflict', routes: lost })
    return merged.filter((one) => one !== undefined)
  })
  return { routes, delegations }
}
