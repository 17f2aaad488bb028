import t from 'tap'
import { isHeadless, parseService, virtualHostLabel } from '../../src/api/service.ts'
import { thrown } from '../support/thrown.ts'

t.test('a Service without any field has the defaults of Kubernetes', async (t) => {
  t.strictSame(parseService({}), {
    namespace: '',
    name: '',
    virtualHostLabel: undefined,
    hasNetworkLabel: false,
    hasController: false,
    type: 'ClusterIP',
    clusterIP: undefined,
    hasSelector: false,
    ports: [],
    externalName: '',
    exportTo: [],
    ipFamilies: [],
    isDualStack: false,
    externalIPs: [],
    loadBalancerIPs: [],
  })
})

t.test('a Service is read whole', async (t) => {
  const service = parseService({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: 'shop',
      name: 'orders',
      labels: { app: 'orders', 'meshvip.dev/virtual-host': 'true', 'topology.istio.io/network': 'north' },
      ownerReferences: [
        { kind: 'Route', name: 'a' },
        { kind: 'Route', name: 'b', controller: true },
      ],
    },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.0.0.7',
      selector: { app: 'orders' },
      ports: [
        { name: 'http', port: 8080, protocol: 'TCP', appProtocol: 'kubernetes.io/h2c' },
        { port: 53, protocol: 'UDP' },
        { port: 9090 },
      ],
      ipFamilies: ['IPv6', 'IPv4'],
      ipFamilyPolicy: 'PreferDualStack',
      externalIPs: ['240.240.200.1', '192.0.2.1'],
    },
    status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }, { hostname: 'lb.example.com' }, { ip: '' }] } },
  })
  t.strictSame(service, {
    namespace: 'shop',
    name: 'orders',
    virtualHostLabel: 'true',
    hasNetworkLabel: true,
    hasController: true,
    type: 'LoadBalancer',
    clusterIP: '10.0.0.7',
    hasSelector: true,
    ports: [
      { name: 'http', port: 8080, protocol: 'TCP', appProtocol: 'kubernetes.io/h2c' },
      { name: '', port: 53, protocol: 'UDP', appProtocol: undefined },
      { name: '', port: 9090, protocol: 'TCP', appProtocol: undefined },
    ],
    externalName: '',
    exportTo: [],
    ipFamilies: [6, 4],
    isDualStack: true,
    externalIPs: ['240.240.200.1', '192.0.2.1'],
    loadBalancerIPs: ['198.51.100.1'],
  })
})

t.test('the label that says virtual host or not keeps its name', async (t) => {
  t.equal(virtualHostLabel, 'meshvip.dev/virtual-host')
})

t.test('single fields', async (t) => {
  const rows: [story: string, object: object, expected: object][] = [
    [
      'an owner that is no controller counts as none',
      { metadata: { ownerReferences: [{ controller: false }, {}] } },
      { hasController: false },
    ],
    [
      'what an ExternalName Service stands for',
      { spec: { type: 'ExternalName', externalName: 'pay.example.com' } },
      { type: 'ExternalName', externalName: 'pay.example.com' },
    ],
    ['another type stands for itself', { spec: { externalName: 'pay.example.com' } }, { externalName: '' }],
    [
      'the namespaces that see it',
      { metadata: { annotations: { 'networking.istio.io/exportTo': '., pay' } } },
      { exportTo: ['.', 'pay'] },
    ],
    ['an empty selector selects nothing', { spec: { selector: {} } }, { hasSelector: false }],
    ['an empty clusterIP is none yet', { spec: { clusterIP: '' } }, { clusterIP: undefined }],
    ['a headless Service keeps its None', { spec: { clusterIP: 'None' } }, { clusterIP: 'None' }],
    [
      'the label may say no',
      { metadata: { labels: { 'meshvip.dev/virtual-host': 'false' } } },
      { virtualHostLabel: 'false' },
    ],
    ['a network without name is none', { metadata: { labels: { 'topology.istio.io/network': '' } } }, {}],
    [
      'a port without number is 0, which no port is',
      { spec: { ports: [{ name: 'http' }] } },
      { ports: [{ name: 'http', port: 0, protocol: 'TCP', appProtocol: undefined }] },
    ],
    [
      'an empty appProtocol is not an absent one',
      { spec: { ports: [{ port: 1, appProtocol: '' }] } },
      { ports: [{ name: '', port: 1, protocol: 'TCP', appProtocol: '' }] },
    ],
  ]
  for (const [story, object, expected] of rows) {
    t.strictSame(parseService(object), { ...parseService({}), ...expected }, story)
  }
})

t.test('only a clusterIP of None is headless', async (t) => {
  t.equal(isHeadless(parseService({ spec: { clusterIP: 'None' } })), true)
  t.equal(isHeadless(parseService({ spec: { clusterIP: '10.0.0.7' } })), false)
  t.equal(isHeadless(parseService({})), false)
})

t.test('a malformed Service is refused by the field', async (t) => {
  t.match(
    thrown(() => parseService({ spec: { ports: [{ port: 'http' }] } })),
    /^MalformedObject: spec\.ports\[0\]\.port must be /,
  )
  t.match(
    thrown(() => parseService({ metadata: { labels: { app: 1 } } })),
    /^MalformedObject: metadata\.labels\[app\] must be /,
  )
  t.match(
    thrown(() => parseService({ spec: { externalIPs: '240.240.0.1' } })),
    /^MalformedObject: spec\.externalIPs must be /,
  )
})
