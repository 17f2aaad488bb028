import fc from 'fast-check'
import t from 'tap'
import { parseEndpointSlice } from '../../src/api/endpoint-slice.ts'
import { parseEndpoints } from '../../src/api/endpoints.ts'
import { Fields } from '../../src/api/fields.ts'
import { ipFamilyLabel, managedBy, managedByLabel, parseIPAddress } from '../../src/api/ip-address.ts'
import { kinds, parseObject } from '../../src/api/kinds.ts'
import { formatName, isObjectName, readName, sameName } from '../../src/api/metadata.ts'
import { parseNamespace } from '../../src/api/namespace.ts'
import { parseServiceEntry } from '../../src/api/service-entry.ts'
import { thrown } from '../support/thrown.ts'

t.test('an object is known by kind and group, in any version of its group', async (t) => {
  const rows: [apiVersion: string, kind: string, known: boolean][] = [
    ['v1', 'Namespace', true],
    ['v1', 'Service', true],
    ['discovery.k8s.io/v1', 'EndpointSlice', true],
    ['networking.k8s.io/v1', 'IPAddress', true],
    ['networking.k8s.io/v1beta1', 'IPAddress', true],
    ['networking.istio.io/v1', 'VirtualService', true],
    ['networking.istio.io/v1beta1', 'VirtualService', true],
    ['networking.istio.io/v1alpha3', 'ServiceEntry', true],
    ['networking.istio.io/v1beta1', 'DestinationRule', true],
    ['serving.knative.dev/v1', 'Service', false],
    ['v1', 'VirtualService', false],
    ['networking.Istio.io/v1', 'VirtualService', false],
    ['v1', 'ConfigMap', false],
    ['v1', 'service', false],
    ['v1', 'toString', false],
    ['v1', '', false],
  ]
  for (const [apiVersion, kind, known] of rows) {
    t.equal(parseObject({ apiVersion, kind })?.kind, known ? kind : undefined, `${apiVersion} ${kind}`)
  }
})

t.test('an object without kind or apiVersion is not known', async (t) => {
  t.equal(parseObject({}), undefined)
  t.equal(parseObject({ kind: 'VirtualService' }), undefined)
})

t.test('a known object is projected', async (t) => {
  t.strictSame(parseObject({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }), {
    kind: 'Namespace',
    object: { namespace: '', name: 'shop', labels: new Map() },
  })
})

t.test('a malformed object is refused, known or not', async (t) => {
  t.match(
    thrown(() => parseObject('text')),
    /^MalformedObject: the object must be /,
  )
  t.match(
    thrown(() => parseObject({ kind: 5 })),
    /^MalformedObject: kind must be /,
  )
  t.match(
    thrown(() => parseObject({ kind: 'Service', apiVersion: 1 })),
    /^MalformedObject: apiVersion must be /,
  )
  t.match(
    thrown(() => parseObject({ kind: 'Service', apiVersion: 'v1', spec: 5 })),
    /^MalformedObject: spec must be /,
  )
})

t.test('each kind is where the API server has it', async (t) => {
  const paths = Object.entries(kinds).map(
    ([kind, { group, version, resource, namespaced }]) => `${kind} ${group}/${version}/${resource} ${namespaced}`,
  )
  t.strictSame(paths, [
    'Namespace /v1/namespaces false',
    'Service /v1/services true',
    'Endpoints /v1/endpoints true',
    'EndpointSlice discovery.k8s.io/v1/endpointslices true',
    'IPAddress networking.k8s.io/v1/ipaddresses false',
    'VirtualService networking.istio.io/v1/virtualservices true',
    'ServiceEntry networking.istio.io/v1/serviceentries true',
    'DestinationRule networking.istio.io/v1/destinationrules true',
  ])
})

t.test('a Namespace is its name and labels', async (t) => {
  const object = { metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } } }
  t.strictSame(parseNamespace(object), {
    namespace: '',
    name: 'shop',
    labels: new Map([['istio-injection', 'enabled']]),
  })
})

t.test('an EndpointSlice tells its Service and who made it', async (t) => {
  const slice = (labels: object) => parseEndpointSlice({ metadata: { namespace: 'shop', name: 'orders-abc', labels } })
  const name = { namespace: 'shop', name: 'orders-abc' }
  const rows: [story: string, labels: object, service: string, madeByHand: boolean][] = [
    ['no label at all', {}, '', true],
    ['a slice written by hand', { 'kubernetes.io/service-name': 'orders' }, 'orders', true],
    [
      'a slice that Kubernetes made from a selector',
      {
        'kubernetes.io/service-name': 'orders',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
      'orders',
      false,
    ],
    [
      'a slice mirrored from Endpoints written by hand',
      {
        'kubernetes.io/service-name': 'orders',
        'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
      },
      'orders',
      true,
    ],
  ]
  for (const [story, labels, service, madeByHand] of rows) {
    t.strictSame(slice(labels), { ...name, service, madeByHand, isReady: false }, story)
  }
})

t.test('an EndpointSlice is ready with one endpoint that is, or does not say', async (t) => {
  const isReady = (...endpoints: object[]) =>
    parseEndpointSlice({ metadata: { namespace: 'shop', name: 'orders-abc' }, endpoints }).isReady
  t.equal(isReady(), false)
  t.equal(isReady({ conditions: { ready: false } }), false)
  t.equal(isReady({ conditions: { ready: false } }, { conditions: { ready: true } }), true)
  t.equal(isReady({ conditions: {} }), true)
  t.equal(isReady({}), true)
})

t.test('an IPAddress tells what it is claimed for', async (t) => {
  const claim = (parentRef?: object) => parseIPAddress({ metadata: { name: '240.240.200.1' }, spec: { parentRef } })
  const rows: [story: string, parentRef: object | undefined, service: object | undefined, parent: string][] = [
    [
      'a Service',
      { group: '', resource: 'services', namespace: 'shop', name: 'orders' },
      { namespace: 'shop', name: 'orders' },
      'Service shop/orders',
    ],
    [
      'a Service without group, since the core group is empty',
      { resource: 'services', namespace: 'shop', name: 'orders' },
      { namespace: 'shop', name: 'orders' },
      'Service shop/orders',
    ],
    [
      'a Service of another group',
      { group: 'serving.knative.dev', resource: 'services', namespace: 'shop', name: 'orders' },
      undefined,
      'services shop/orders',
    ],
    [
      'something else',
      { group: 'gateway.networking.k8s.io', resource: 'gateways', namespace: 'shop', name: 'edge' },
      undefined,
      'gateways shop/edge',
    ],
    ['nothing', undefined, undefined, ' /'],
  ]
  const rest = { claimedAt: '', isReleased: false }
  for (const [story, parentRef, service, parent] of rows) {
    t.strictSame(claim(parentRef), { namespace: '', name: '240.240.200.1', service, parent, ...rest }, story)
  }
  const metadata = { creationTimestamp: '2026-01-02T03:04:05Z' }
  t.equal(parseIPAddress({ metadata }).claimedAt, '2026-01-02T03:04:05Z')
  const annotations = { 'meshvip.dev/claimed-at': '2026-02-03T04:05:06.789Z' }
  t.equal(parseIPAddress({ metadata: { ...metadata, annotations } }).claimedAt, '2026-02-03T04:05:06.789Z', 'again')
  t.strictSame(parseIPAddress({}).name, '')
})

t.test('the labels of our claims are those that Kubernetes reads', async (t) => {
  t.equal(managedByLabel, 'ipaddress.kubernetes.io/managed-by')
  t.equal(ipFamilyLabel, 'ipaddress.kubernetes.io/ip-family')
  t.equal(managedBy, 'meshvip.dev')
})

t.test('a ServiceEntry has the addresses that it was given and those that Istio assigned', async (t) => {
  const entry = parseServiceEntry({
    metadata: { namespace: 'shop', name: 'pay' },
    spec: {
      hosts: ['pay.example.com', '*.pay.example.com'],
      addresses: ['240.240.7.0/24', '192.0.2.7', 'no/range'],
      ports: [{ number: 443, protocol: 'TLS', name: 'tls' }, {}],
    },
    status: { addresses: [{ value: '240.240.0.1', host: 'pay.example.com' }, { host: 'x' }, { value: '' }] },
  })
  t.strictSame(entry, {
    namespace: 'shop',
    name: 'pay',
    created: '',
    hosts: ['pay.example.com', '*.pay.example.com'],
    resolution: 'NONE',
    exportTo: [],
    ports: [
      { number: 443, protocol: 'TLS' },
      { number: 0, protocol: '' },
    ],
    addresses: ['192.0.2.7', '240.240.0.1'],
    ranges: [{ family: 4, first: 0xf0f00700n, last: 0xf0f007ffn }],
  })
  t.strictSame(parseServiceEntry({}), {
    namespace: '',
    name: '',
    created: '',
    hosts: [],
    resolution: 'NONE',
    exportTo: [],
    ports: [],
    addresses: [],
    ranges: [],
  })
})

t.test('Endpoints tell who made them', async (t) => {
  const endpoints = (labels: object) => parseEndpoints({ metadata: { namespace: 'shop', name: 'db', labels } })
  t.strictSame(endpoints({}), { namespace: 'shop', name: 'db', madeByHand: true })
  t.equal(endpoints({ 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' }).madeByHand, false)
})

t.test('names', async (t) => {
  const orders = { namespace: 'shop', name: 'orders' }
  t.equal(formatName(orders), 'shop/orders')
  t.equal(sameName(orders, { ...orders }), true)
  t.equal(sameName(orders, { namespace: 'shop', name: 'pay' }), false)
  t.equal(sameName(orders, { namespace: 'test', name: 'orders' }), false)
  t.strictSame(readName(new Fields({ metadata: orders })), orders)
  t.strictSame(readName(new Fields({ metadata: { generateName: 'orders-' } })), { namespace: '', name: '' })
})

t.test('only an object name may become part of a path', async (t) => {
  for (const name of ['a', 'orders', 'orders-2', 'a.b', '240.240.0.1', 'x--y', '0'])
    t.equal(isObjectName(name), true, name)
  for (const name of [
    '',
    '.',
    '..',
    '-a',
    'a-',
    'a.',
    'Orders',
    'a/b',
    '../a',
    'a b',
    'a?b',
    'a%2fb',
    '*',
    'é',
    'a\n',
  ]) {
    t.equal(isObjectName(name), false, JSON.stringify(name))
  }
})

t.test('an object name stands in a URL as it is', async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', '0', '-', '.', '/', '?', '#', '%', 'Z', ' ', '\n') }),
      (name) => {
        if (!isObjectName(name)) return
        if (new URL(`https://api/services/${name}/x`).pathname !== `/services/${name}/x`) throw new Error(name)
      },
    ),
  )
})
