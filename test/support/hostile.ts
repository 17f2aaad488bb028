import { connect } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import type { PatchOperation } from '../../src/admission/review.ts'
import { canonicalAddress } from '../../src/api/address.ts'
import { isLabelName } from '../../src/api/metadata.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { candidateAddresses } from '../../src/vip/pools.ts'
import { claim, endpointSlice, meshNamespace, service, serviceEntry, virtualService } from './objects.ts'
import { patchIn, type ReviewResponse, reviewOf } from './reviews.ts'

const usualNames = ['orders', 'carts', 'read', 'web', 'new', 'gone', 'by-hand', 'constructor', 'a', 'b']

/** The address that a Service of this name is given where nobody else holds it. */
const firstCandidate = (name: string): string => String(candidateAddresses(defaultPolicy.pools, name).next().value)

/** What hostile reviews are about and around: a little of everything that the rules ask for. */
export const hostileCluster = [
  meshNamespace('shop'),
  meshNamespace('constructor'),
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'plain' } },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kube-system', labels: { 'istio-injection': 'enabled' } } },
  service('orders', { externalIPs: ['240.240.0.1'] }),
  service('carts', {
    ports: [
      { name: 'http', port: 3111 },
      { name: 'tcp-b', port: 9000 },
      { name: 'web', port: 7000, protocol: 'UDP' },
    ],
  }),
  service('read', { selector: { app: 'read' }, ports: [{ name: 'http', port: 3100 }] }),
  service('by-hand'),
  service('alias', { type: 'ExternalName', externalName: 'example.com' }),
  service('headless', { clusterIP: 'None' }),
  service('constructor', { externalIPs: ['240.240.0.2', '10.0.0.1'] }),
  service('balanced', { type: 'LoadBalancer' }, { labels: { 'meshvip.dev/virtual-host': 'true' } }),
  service('orders', {}, { namespace: 'constructor' }),
  service('web', {}, { namespace: 'plain' }),
  endpointSlice('by-hand-1', 'by-hand'),
  { apiVersion: 'v1', kind: 'Endpoints', metadata: { namespace: 'shop', name: 'by-hand' } },
  virtualService('orders', { hosts: ['orders'], gateways: ['mesh'] }),
  virtualService('wild', { hosts: ['*.shop.svc.cluster.local', 'toString'], gateways: ['ingress'] }),
  serviceEntry('pay', ['240.240.0.9', '240.240.1.0/24', '10.0.0.0/8']),
  serviceEntry('wild', [], '*.wild.example.com'),
  // Held by somebody else, so that each Service has to take the next.
  serviceEntry(
    'first',
    usualNames.map((name) => firstCandidate(`shop/${name}`)),
  ),
  claim('240.240.0.1', 'shop/orders'),
  claim('240.240.0.3', 'shop/gone'),
]

/** Names of Object's own members: where an object is taken for a map, these are found in it although nobody put them there. */
const members = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf']

const oddText = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '*',
    '.',
    '-',
    '\0',
    '\n',
    '\ud800',
    '\ufeff',
    '"\\',
    '%2e%2e',
    '../..',
    '\u001b[31m',
    'é',
    '💥',
  ),
  fc.constantFrom(...members),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('a'.repeat(64), 'a'.repeat(254), '\u0007'.repeat(5000), `${'a.'.repeat(2000)}a`),
)

/** Mostly one of these, now and then an odd text. */
const text = (...usual: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: oddText })

const name = text(...usualNames, 'Orders', 'a.b', ...members)
const namespace = text('shop', 'shop', 'shop', 'plain', 'kube-system', 'constructor', 'nowhere', 'default')
const host = text(
  'orders',
  'carts',
  'read',
  'ORDERS',
  'orders.shop',
  'read.shop.svc',
  'orders.shop.svc.cluster.local',
  'Carts.shop.svc.cluster.local.',
  'constructor.shop.svc.cluster.local',
  'orders.constructor.svc.cluster.local',
  'nowhere.shop.svc.cluster.local',
  'a.b.c.svc.cluster.local',
  '.svc.cluster.local',
  '*.shop.svc.cluster.local',
  '*',
  '*.example.com',
  'x.wild.example.com',
  'pay.example.com',
  'alias',
  'headless',
  'by-hand',
  '240.240.0.1',
  '::1',
)
const address = text(
  '240.240.0.1',
  '240.240.0.3',
  '240.240.0.7',
  '240.240.0.9',
  '240.240.1.7',
  '240.240.225.190',
  '240.240.0.0',
  '240.240.255.255',
  '240.240.000.007',
  '::ffff:240.240.0.7',
  '::FFFF:f0f0:7',
  '10.0.0.1',
  '256.1.1.1',
  '1.2.3',
  'fe80::1%eth0',
  '2001:db8::1',
)
const number = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(3111, 3100, 9000, 7000, 80, 443, 53, 15001, 15010, 15021, 0, 1, 65535) },
  { weight: 1, arbitrary: fc.oneof(fc.integer(), fc.double(), fc.constantFrom(-1, 65536, 1.5, 2 ** 53 + 2, 1e21, -0)) },
)
const labels = fc.dictionary(
  text('meshvip.dev/virtual-host', 'istio-injection', 'app', ...members),
  text('true', 'false', 'True', '1'),
  { maxKeys: 3 },
)

/** An object of these fields, each of which may be left out. */
const partial = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { requiredKeys: [] })

const few = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 })

/** A field that would end most reviews before a rule is asked, were it always there. */
const rarely = <T>(field: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 7, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: field })

const metadata = fc.record({
  name: fc.option(name, { freq: 9, nil: undefined }),
  namespace: fc.option(namespace, { freq: 9, nil: undefined }),
  generateName: fc.option(text('orders-', 'x', `${'a'.repeat(70)}-`), { nil: undefined }),
  labels: fc.option(labels, { nil: undefined }),
  annotations: rarely(labels),
  ownerReferences: rarely(few(partial({ controller: fc.boolean(), kind: name, name }))),
  deletionTimestamp: rarely(fc.constantFrom('2026-11-22T00:00:00Z', null)),
})

const servicePort = fc.record(
  {
    name: text('http', 'http-api', 'grpc', 'tcp', 'web', 'HTTP', 'https-x', 'http_proxy'),
    port: number,
    protocol: text('TCP', 'UDP', 'SCTP', 'tcp'),
    appProtocol: text('http', 'kubernetes.io/h2c', 'rubbish'),
  },
  { requiredKeys: ['port'] },
)

/** Services, nearly right. */
export const services = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Service'),
  metadata,
  spec: fc.oneof(
    fc.constant({ ports: [{ name: 'http', port: 3111 }] }),
    fc.record({ ports: fc.constant([{ name: 'http', port: 3111 }]), externalIPs: few(address) }),
    partial({
      type: text('ClusterIP', 'ClusterIP', 'LoadBalancer', 'ExternalName', 'NodePort'),
      clusterIP: text('None', '10.96.0.7', ''),
      selector: labels,
      ports: few(servicePort),
      externalIPs: few(address),
    }),
  ),
})

const destination = fc.record({ host, subset: text('v1'), port: partial({ number }) }, { requiredKeys: ['host'] })
const gateways = few(text('mesh', 'mesh', 'mesh', 'ingress', 'istio-system/mesh', 'Mesh'))
const uri = fc.oneof(
  fc.record({ prefix: text('/', '/a') }),
  fc.record({ regex: text('.*', '[') }),
  fc.record({ exact: text('/') }),
)
const httpRoute = partial({
  name: text('a'),
  match: few(partial({ port: number, gateways, uri, headers: labels, name: text('m') })),
  route: few(fc.record({ destination, weight: number }, { requiredKeys: ['destination'] })),
  mirror: destination,
  mirrors: few(fc.record({ destination })),
  mirrorPercentage: partial({ value: number }),
  mirrorPercent: number,
  redirect: fc.constant({}),
})

/** VirtualServices, nearly right. */
const virtualServices = fc.record({
  apiVersion: fc.constantFrom('networking.istio.io/v1', 'networking.istio.io/v1beta1', 'networking.istio.io/v1alpha3'),
  kind: fc.constant('VirtualService'),
  metadata,
  spec: partial({
    hosts: few(host),
    gateways,
    http: few(httpRoute),
    tcp: few(fc.constant({})),
    tls: few(fc.constant({})),
    exportTo: few(namespace),
  }),
})

const objects = fc.oneof(services, virtualServices)

/** What a request says beside its object. */
const circumstances = fc.record({
  uid: text('705ab4f5-6393-11e8-b7cc-42010a800002', '1', '---'),
  operation: fc.constantFrom('CREATE', 'CREATE', 'CREATE', 'UPDATE', 'UPDATE', 'UPDATE', 'DELETE', 'CONNECT'),
  subResource: rarely(text('', 'status', 'scale')),
  dryRun: fc.option(fc.boolean(), { nil: undefined }),
  options: rarely(
    fc.option(partial({ fieldManager: text('kubectl', 'helm-controller'), dryRun: fc.constant(['All']) })),
  ),
  userInfo: rarely(partial({ username: text('jane'), groups: few(name) })),
})

/** Reviews as an API server could send them, or nearly so. */
export const plausibleReviews = fc
  .record({
    object: objects,
    oldObject: fc.option(objects, { nil: undefined }),
    about: circumstances,
    named: fc.oneof(fc.constant(undefined), partial({ name, namespace })),
  })
  .map(({ object, oldObject, about, named }) => {
    const [version = '', group = ''] = object.apiVersion.split('/').reverse()
    const resource = object.kind === 'Service' ? 'services' : 'virtualservices'
    const { metadata } = object
    return reviewOf({
      ...about,
      kind: { group, version, kind: object.kind },
      resource: { group, version, resource },
      ...(named ?? { name: metadata.name, namespace: metadata.namespace }),
      object,
      oldObject,
    })
  })

/** Numbers that JSON can write and JavaScript cannot keep, and words that are no JSON: they stand in the text as they are. */
const rawTokens = ['1e999', '-1e999', '1E-400', '-0', '9'.repeat(400), 'NaN', 'Infinity', 'undefined', '']
const rawMark = 'raw token '

const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1e308, '', [], {}, [null], [[]], { a: null }),
  number,
  oddText,
  fc.jsonValue({ maxDepth: 2 }),
  objects,
  fc.constantFrom(...rawTokens).map((token) => `${rawMark}${token}`),
)

type Path = readonly (string | number)[]

/** The paths of all nodes below a value, its own first. */
const pathsIn = (value: unknown, path: Path = []): Path[] => [
  path,
  ...(Array.isArray(value) ? value.map((item, index) => [index, item] as const) : entriesOf(value)).flatMap(
    ([key, item]) => pathsIn(item, [...path, key]),
  ),
]

const entriesOf = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null ? Object.entries(value) : []

/** The value with another node at a path. `__proto__` is a key like any other. */
const changedAt = (value: unknown, [key, ...rest]: Path, change: (node: unknown) => unknown): unknown => {
  if (key === undefined) return change(value)
  if (Array.isArray(value)) return value.map((item, index) => (index === key ? changedAt(item, rest, change) : item))
  return Object.fromEntries(
    entriesOf(value).map(([name, item]) => [name, name === key ? changedAt(item, rest, change) : item]),
  )
}

/** What happens to a node: another value, one more key or item, none any more. */
const wound: fc.Arbitrary<(node: unknown) => unknown> = fc.oneof(
  { weight: 4, arbitrary: junk.map((value) => () => value) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.oneof(fc.constantFrom(...members), name), fc.oneof(junk, fc.constantFrom(...members))).map(
      ([key, value]) =>
        (node: unknown) =>
          Array.isArray(node) ? [value, ...node] : Object.fromEntries([...entriesOf(node), [key, value]]),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant((node: unknown) => (Array.isArray(node) ? [...node, ...node, ...node] : undefined)),
  },
)

/** A review as the text of a body. */
export const bodyOf = (review: unknown): string =>
  (JSON.stringify(review) ?? '').replace(new RegExp(`"${rawMark}([^"]*)"`, 'g'), '$1')

/** Reviews of which some nodes, at any depth, the envelope's included, are not what they should be; as text. */
export const misshapenReviews = fc
  .tuple(plausibleReviews, fc.array(fc.tuple(fc.nat(), wound), { minLength: 1, maxLength: 4 }))
  .map(([review, wounds]) =>
    wounds.reduce<unknown>((value, [at, inflict]) => {
      const paths = pathsIn(value)
      return changedAt(value, paths[at % paths.length] ?? [], inflict)
    }, review),
  )
  .map(bodyOf)

const isPrintable = (line: unknown): boolean => typeof line === 'string' && /^[ -~]+$/.test(line)

/** What is wrong with the warnings of an answer. */
const wrongWarnings = (warnings: readonly unknown[]): string[] => [
  ...warnings.filter((warning) => !isPrintable(warning)).map((warning) => `no line: ${JSON.stringify(warning)}`),
  ...(warnings.join('').length > 4096 ? [`warnings of ${warnings.join('').length} characters`] : []),
]

/** The object without the two fields that mutation may add to. */
const beyondPatch = (object: unknown): string => {
  const { metadata, spec, ...rest } = object as { metadata?: object; spec?: object }
  const { name: _, ...otherMetadata } = (metadata ?? {}) as { name?: unknown }
  const { externalIPs: __, ...otherSpec } = (spec ?? {}) as { externalIPs?: unknown }
  return JSON.stringify({ rest, otherMetadata, otherSpec })
}

/** The object of a request as a patch leaves it. */
export const addTo = (object: unknown, operations: readonly PatchOperation[]): unknown =>
  jsonPatch.applyPatch(structuredClone(object), operations, true).newDocument

/** What is wrong with a patch: it may only add an address, and the name that the API server would give. */
const wrongPatch = (object: unknown, response: ReviewResponse): string[] => {
  const { operations, patchType } = patchIn(response) as { operations: PatchOperation[]; patchType: unknown }
  type Patched = { metadata?: { name?: string | null }; spec?: { externalIPs?: string[] | null } }
  const before = object as Patched
  const after = addTo(object, operations) as Patched
  const kept = (before.spec?.externalIPs ?? []).map(canonicalAddress)
  const addresses = (after.spec?.externalIPs ?? []).map(canonicalAddress)
  const added = addresses.slice(kept.length)
  const renamed = after.metadata?.name !== before.metadata?.name
  return [
    ...(patchType === 'JSONPatch' ? [] : [`patchType ${patchType}`]),
    ...(operations.every(({ op }) => op === 'add') ? [] : [`it does more than add: ${JSON.stringify(operations)}`]),
    ...(beyondPatch(after) === beyondPatch(before) ? [] : ['it changes what is none of its business']),
    ...(isDeepStrictEqual(addresses.slice(0, kept.length), kept) ? [] : [`it takes away of ${kept}: ${addresses}`]),
    ...(added.length <= 1 && added.every((one) => one.startsWith('240.240.')) ? [] : [`it adds ${added}`]),
    ...(renamed && (before.metadata?.name || !isLabelName(after.metadata?.name ?? ''))
      ? [`it names ${before.metadata?.name} ${after.metadata?.name}`]
      : []),
  ]
}

const parsed = (body: string): { request?: { uid?: unknown; object?: unknown } } | null | undefined => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

export type Answered = { status: number; body: string }

/** Lines that a terminal may print. */
const isShown = (text: string): boolean => /^[\n -~]*$/.test(text)

/** What is wrong with an answer to a body. */
export const wrongIn = (path: string, sent: string, { status, body }: Answered): string[] => {
  if (status !== 200) return [`HTTP ${status}: ${body}`]
  const { apiVersion, kind, response } = JSON.parse(body) as Record<string, unknown> & { response: ReviewResponse }
  const { uid, allowed, status: refusal, warnings = [], patch } = response
  const review = parsed(sent)
  const asked = review?.request?.uid
  const expected = typeof asked === 'string' ? asked : ''
  return [
    ...(apiVersion === 'admission.k8s.io/v1' && kind === 'AdmissionReview' ? [] : [`this is a ${apiVersion} ${kind}`]),
    // Out of what is no JSON a uid is read as far as one is seen.
    ...(uid === expected || (review === undefined && typeof uid === 'string') ? [] : [`uid ${uid}`]),
    ...(typeof allowed === 'boolean' ? [] : [`allowed: ${allowed}`]),
    ...(allowed === (refusal === undefined) ? [] : ['a status where it is allowed, or none where it is not']),
    ...(allowed || (refusal?.code === 403 && refusal.message !== '') ? [] : [`refused by ${JSON.stringify(refusal)}`]),
    ...(refusal === undefined || (isShown(refusal.message) && refusal.message.length < 32_768)
      ? []
      : [`no message to show: ${JSON.stringify(refusal.message).slice(0, 300)}`]),
    ...(refusal?.details.causes ?? [])
      .filter(({ field, message }) => !isPrintable(field) || !isPrintable(message))
      .map((cause) => `no line: ${JSON.stringify(cause)}`),
    ...wrongWarnings(warnings),
    ...(patch === undefined || (path === '/mutate' && allowed) ? [] : ['a patch where there may be none']),
    ...(patch === undefined ? [] : wrongPatch(review?.request?.object, response)),
  ]
}

/** A POST over HTTP/1.1, byte by byte as it is given. */
export const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}): Buffer => {
  const framing = {
    host: 'localhost',
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }
  const lines = Object.entries(framing).map(([key, value]) => `${key}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), Buffer.from(body)])
}

/** The statuses and bodies of all answers in what a server wrote. */
const answersIn = (written: string): Answered[] => {
  const answers: Answered[] = []
  for (let rest = written; rest !== ''; ) {
    const [head = '', ...others] = rest.split('\r\n\r\n')
    const after = others.join('\r\n\r\n')
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    answers.push({
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]),
      body: Buffer.from(after).subarray(0, length).toString(),
    })
    rest = Buffer.from(after).subarray(length).toString()
    // An answer without a length is one of Node's own, and the last.
    if (length === 0 && !rest.startsWith('HTTP/')) rest = ''
  }
  return answers
}

/**
 * Writes bytes to a TLS server, and reads until it closes. `hangUp` ends our side once all is written; without it, whoever is
 * silent for `patience` milliseconds is left.
 */
export const exchange = async (
  { url, ca }: { url: string; ca: string },
  bytes: Buffer | AsyncIterable<Buffer>,
  { patience = 5_000, hangUp = false } = {},
): Promise<Answered[]> => {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), ca })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // Who has heard enough may close before it has read all: what it answered counts.
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.setTimeout(patience, () => socket.destroy())
  if (Buffer.isBuffer(bytes)) socket.write(bytes)
  else for await (const part of bytes) socket.write(part)
  if (hangUp) socket.end()
  await closed
  return answersIn(Buffer.concat(chunks).toString())
}
