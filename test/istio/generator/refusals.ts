/**
 * What Kubernetes' API server and istiod's webhook would refuse in a case, read off their own checks and independent of the
 * generator. Kubernetes 1.36 pkg/apis/core/validation/validation.go, ValidateService; Istio 1.31
 * pkg/config/validation/validation.go and virtualservice.go, and manifests/charts/base/files/crd-all.gen.yaml. Only what a case
 * can hold is judged: any other field counts as unknown.
 */
import { isIPAddress, isWildcard, matchesHost } from '../../../src/istio/hosts.ts'
import type { DestinationRuleSpec } from './destination-rules.ts'
import type { ServiceEntrySpec } from './service-entries.ts'
import type { ServiceSpec } from './services.ts'
import type { Manifest } from './universe.ts'
import type { Destination, Match, Route, VirtualServiceSpec } from './virtual-services.ts'

const highestPort = 65_535
const longestLabel = 63

/** Says what is wrong where a condition is not met. */
const unless = (isMet: boolean, problem: string): string[] => (isMet ? [] : [problem])

const isPort = (number: number | undefined): boolean =>
  number !== undefined && Number.isInteger(number) && number >= 1 && number <= highestPort
const isLabel = (text: string): boolean => text.length <= longestLabel && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text)
/** As Istio has it: in any case. */
const isHostLabel = (text: string): boolean => isLabel(text.toLowerCase())
const isUnique = (items: readonly unknown[]): boolean => new Set(items).size === items.length

/** A domain that may begin with a wildcard label and end with a dot; not `*` alone, which a sidecar's host may not be. */
const isDomain = (host: string): boolean => {
  const labels = host.replace(/\.$/, '').split('.')
  const [first = '', ...rest] = labels
  const isFirst = isHostLabel(first) || (first === '*' && rest.length > 0)
  return isFirst && rest.every(isHostLabel) && (rest.length === 0 || !/^\d+$/.test(labels.at(-1) ?? ''))
}

const unknownFields = (value: object, known: string): string[] => {
  const names = new Set(known.split(' '))
  return Object.entries(value).flatMap(([name, item]) =>
    unless(names.has(name) && item !== undefined, `unknown or undefined field ${name}`),
  )
}

const wrongExport = (exportTo: readonly string[] | undefined, namespace: string, mayBeNobody: boolean): string[] => {
  if (exportTo === undefined) return []
  const isScope = (scope: string) => scope === '.' || scope === '*' || (mayBeNobody && scope === '~') || isLabel(scope)
  return [
    ...unless(exportTo.every(isScope), `exportTo ${exportTo}`),
    ...unless(
      isUnique(exportTo.map((scope) => (scope === '.' ? namespace : scope))),
      `exportTo repeats in ${exportTo}`,
    ),
    ...unless(exportTo.length < 2 || !exportTo.some((scope) => '*~'.includes(scope)), `exportTo mixes ${exportTo}`),
  ]
}

const wrongService = (spec: ServiceSpec): string[] => {
  const { type, clusterIP, externalName, ports } = spec
  const isAlias = type === 'ExternalName'
  return [
    ...unknownFields(spec, 'type ports clusterIP externalName selector'),
    ...unless(type === 'ClusterIP' || isAlias, `type ${type}`),
    ...unless(isAlias === (clusterIP === undefined), `clusterIP ${clusterIP} of type ${type}`),
    ...unless(clusterIP === undefined || clusterIP === 'None' || isIPAddress(clusterIP), `clusterIP ${clusterIP}`),
    ...unless(!isAlias || isDomain(externalName ?? ''), `externalName ${externalName}`),
    ...unless(ports.length > 0, 'no ports'),
    ...unless(ports.length === 1 || ports.every(({ name }) => name !== undefined), 'a port of several without name'),
    ...unless(isUnique(ports.map(({ name }) => name)), 'two ports of one name'),
    ...unless(isUnique(ports.map(({ port, protocol = 'TCP' }) => `${port}/${protocol}`)), 'the same port twice'),
    ...ports.flatMap(({ name, port, protocol, appProtocol, ...rest }) => [
      ...unknownFields(rest, ''),
      ...unless(isPort(port), `port ${port}`),
      ...unless(name === undefined || isLabel(name), `port name ${name}`),
      ...unless(protocol === undefined || ['TCP', 'UDP', 'SCTP'].includes(protocol), `protocol ${protocol}`),
      ...unless(appProtocol === undefined || /^([a-z0-9.-]+\/)?[A-Za-z0-9]+$/.test(appProtocol), `${appProtocol}`),
    ]),
  ]
}

const entryProtocols = ['HTTP', 'HTTP2', 'GRPC', 'TCP', 'TLS', 'HTTPS', 'MONGO', 'REDIS', 'MYSQL', 'UDP']

const wrongServiceEntry = (spec: ServiceEntrySpec, namespace: string): string[] => {
  const { hosts, ports, resolution, endpoints = [], addresses = [] } = spec
  return [
    ...unknownFields(spec, 'hosts addresses ports location resolution endpoints exportTo'),
    ...unless(hosts.length === 1 && hosts.every(isDomain), `hosts ${hosts}`),
    ...unless(['DNS', 'STATIC', 'NONE'].includes(resolution), `resolution ${resolution}`),
    ...unless(resolution !== 'DNS' || !hosts.some(isWildcard) || endpoints.length > 0, 'a wildcard resolved by DNS'),
    ...unless(resolution !== 'NONE' || endpoints.length === 0, 'endpoints where nothing is resolved'),
    ...unless([...addresses, ...endpoints.map(({ address }) => address)].every(isIPAddress), 'an address'),
    ...unless(isUnique(ports.map(({ number }) => number)) && isUnique(ports.map(({ name }) => name)), 'ports repeat'),
    ...ports.flatMap(({ number, name, protocol }) =>
      unless(
        isPort(number) && isLabel(name) && entryProtocols.includes(protocol),
        `port ${number} ${name} ${protocol}`,
      ),
    ),
    ...wrongExport(spec.exportTo, namespace, true),
  ]
}

const wrongDestinationRule = (spec: DestinationRuleSpec, namespace: string): string[] => {
  const { host, subsets = [], workloadSelector, exportTo } = spec
  const isOwn = exportTo === undefined || exportTo.every((scope) => scope === '.' || scope === namespace)
  return [
    ...unknownFields(spec, 'host subsets workloadSelector exportTo'),
    ...unless(isDomain(host), `host ${host}`),
    ...unless(isUnique(subsets.map(({ name }) => name)) && subsets.every(({ name }) => isLabel(name)), 'subsets'),
    ...unless(workloadSelector === undefined || isOwn, 'a workloadSelector for other namespaces'),
    ...wrongExport(exportTo, namespace, false),
  ]
}

/** A Gateway's name, its namespace before it where it has one. Any name will do that is a domain. */
const isGateway = (gateway: string): boolean => {
  const parts = gateway.split('/')
  return parts.length === 2 ? parts.every(isLabel) : parts.length === 1 && isDomain(gateway) && !isWildcard(gateway)
}

const wrongDestination = ({ host, subset, port, ...rest }: Destination): string[] => [
  ...unknownFields(rest, ''),
  ...unless(isDomain(host), `destination ${host}`),
  ...unless(subset === undefined || isLabel(subset), `subset ${subset}`),
  ...unless(port === undefined || isPort(port.number), `destination port ${port?.number}`),
]

const conditionsOf = (match: Match): object[] => [
  ...[match.uri, match.method, match.scheme, match.authority].filter((condition) => condition !== undefined),
  ...[match.headers, match.withoutHeaders, match.queryParams].flatMap((conditions) => Object.values(conditions ?? {})),
]

const l4Fields = 'port gateways sourceLabels sourceNamespace'
const matchFields = {
  http: `${l4Fields} name uri ignoreUriCase method scheme authority headers withoutHeaders queryParams`,
  tcp: l4Fields,
  tls: `${l4Fields} sniHosts`,
}

const isRegex = (text: string): boolean => {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}

const wrongMatch = (match: Match, kind: keyof typeof matchFields, hosts: readonly string[]): string[] => [
  ...unknownFields(match, matchFields[kind]),
  ...unless(match.port === undefined || isPort(match.port), `match port ${match.port}`),
  ...unless((match.gateways ?? []).every(isGateway), `match gateways ${match.gateways}`),
  ...unless(match.sourceNamespace === undefined || isLabel(match.sourceNamespace), `from ${match.sourceNamespace}`),
  ...conditionsOf(match).flatMap((condition) => {
    const [[form = '', text] = [], ...others] = Object.entries(condition)
    const isText = ['exact', 'prefix', 'regex'].includes(form) && typeof text === 'string' && text !== ''
    return unless(isText && others.length === 0 && (form !== 'regex' || isRegex(text)), JSON.stringify(condition))
  }),
  ...(kind === 'tls' ? unless((match.sniHosts ?? []).length > 0, 'a tls match without sniHosts') : []),
  ...(match.sniHosts ?? []).flatMap((sni) =>
    unless(
      hosts.some((host) => matchesHost(host, sni)) && (isDomain(sni) || isIPAddress(sni)),
      `sniHosts ${sni} is not under ${hosts}`,
    ),
  ),
]

const routeFields =
  'name match route delegate redirect directResponse mirror mirrorPercentage mirrors timeout rewrite retries headers fault'

const wrongHttpRoute = (route: Route, isDelegate: boolean): string[] => {
  const given = (...fields: (keyof Route)[]) => fields.filter((field) => route[field] !== undefined)
  const does = given('route', 'redirect', 'directResponse', 'delegate')
  const isAnswer = route.redirect !== undefined || route.directResponse !== undefined
  const mirrors = [...(route.mirror ? [route.mirror] : []), ...(route.mirrors ?? []).map((one) => one.destination)]
  return [
    ...unknownFields(route, routeFields),
    ...unless(does.length === 1, `a route does ${does.join(' and ') || 'nothing'}`),
    ...unless(!isDelegate || route.delegate === undefined, 'a delegate delegates'),
    ...unless(!isAnswer || given('fault', 'rewrite').length === 0, 'an answer with fault or rewrite'),
    ...unless(given('mirror', 'mirrors').length < 2, 'mirror and mirrors'),
    ...mirrors.flatMap(wrongDestination),
  ]
}

const wrongRoute = (route: Route, kind: keyof typeof matchFields, { hosts = [] }: VirtualServiceSpec): string[] => {
  const { match = [], route: destinations = [] } = route
  const weight = destinations.reduce((sum, destination) => sum + (destination.weight ?? 0), 0)
  return [
    ...(kind === 'http' ? wrongHttpRoute(route, hosts.length === 0) : unknownFields(route, 'match route')),
    ...unless((kind === 'http' && route.route === undefined) || destinations.length > 0, 'a route without destination'),
    ...unless(kind !== 'tls' || match.length > 0, 'a tls route without match'),
    ...unless(destinations.length < 2 || weight > 0, 'weights of 0 in all'),
    ...unless(
      destinations.every((destination) => (destination.weight ?? 0) >= 0),
      'a weight below 0',
    ),
    ...destinations.flatMap(({ destination }) => wrongDestination(destination)),
    ...match.flatMap((one) => wrongMatch(one, kind, hosts)),
  ]
}

const overlap = (one: string, other: string): boolean => matchesHost(one, other) || matchesHost(other, one)

const wrongVirtualService = (spec: VirtualServiceSpec, namespace: string): string[] => {
  const { hosts = [], gateways = [], http = [], tcp = [], tls = [] } = spec
  return [
    ...unknownFields(spec, 'hosts gateways http tcp tls exportTo'),
    ...unless(hosts.length > 0 || gateways.length + tls.length + tcp.length === 0, 'a delegate with more than http'),
    ...unless(gateways.every(isGateway), `gateways ${gateways}`),
    ...hosts.flatMap((host) => unless(isDomain(host) || isIPAddress(host), `host ${host}`)),
    ...unless(
      hosts.every((host, index) => !hosts.slice(index + 1).some((other) => overlap(host, other))),
      `hosts overlap: ${hosts}`,
    ),
    ...unless(http.length + tcp.length + tls.length > 0, 'no routes'),
    ...http.flatMap((route) => wrongRoute(route, 'http', spec)),
    ...tcp.flatMap((route) => wrongRoute(route, 'tcp', spec)),
    ...tls.flatMap((route) => wrongRoute(route, 'tls', spec)),
    ...wrongExport(spec.exportTo, namespace, false),
  ]
}

const wrongSpec = ({ kind, metadata, spec }: Manifest): string[] => {
  const namespace = metadata.namespace ?? ''
  switch (kind) {
    case 'Namespace':
      return unless(spec === undefined, 'a spec')
    case 'Service':
      return wrongService(spec as ServiceSpec)
    case 'ServiceEntry':
      return wrongServiceEntry(spec as ServiceEntrySpec, namespace)
    case 'DestinationRule':
      return wrongDestinationRule(spec as DestinationRuleSpec, namespace)
    case 'VirtualService':
      return wrongVirtualService(spec as VirtualServiceSpec, namespace)
    default:
      return [`kind ${kind}`]
  }
}

const nameOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`

/** Why the objects could not be created one after the other; empty where they could. */
export const refusals = (objects: readonly Manifest[]): string[] => {
  const namespaces = objects.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name)
  const addresses = objects
    .map(({ spec }) => (spec as Partial<ServiceSpec> | undefined)?.clusterIP)
    .filter((address) => address !== undefined && address !== 'None')
  const names = objects.map(nameOf)
  return [
    ...unless(isUnique(names), `two objects of one name: ${names}`),
    ...unless(isUnique(addresses), `two Services of one clusterIP: ${addresses}`),
    ...objects.flatMap((object) => {
      const { namespace, name } = object.metadata
      const isPlaced = object.kind === 'Namespace' ? namespace === undefined : namespaces.includes(namespace ?? '')
      return [
        ...unless(isLabel(name), `name ${name}`),
        ...unless(isPlaced, `no namespace ${namespace}`),
        ...wrongSpec(object),
      ].map((problem) => `${nameOf(object)}: ${problem}`)
    }),
  ]
}
