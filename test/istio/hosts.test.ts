import fc from 'fast-check'
import t from 'tap'
import {
  intendedService,
  isClusterLocal,
  isIPAddress,
  isWildcard,
  matchesHost,
  parseServiceHost,
  resolveShortName,
  serviceHost,
} from '../../src/istio/hosts.ts'

const domain = 'cluster.local'
const orders = { namespace: 'shop', name: 'orders' }

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/)
const host = fc.oneof(
  fc.constantFrom('', '*', 'Orders', 'orders.', '*.shop', '10.0.0.1', '::1'),
  fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.')),
)

t.test('a Service is known by its fully qualified name', async (t) => {
  t.equal(serviceHost(orders, domain), 'orders.shop.svc.cluster.local')
  t.equal(serviceHost(orders, 'corp.example'), 'orders.shop.svc.corp.example')
})

t.test('only the fully qualified name of two labels names a Service', async (t) => {
  t.strictSame(parseServiceHost('orders.shop.svc.cluster.local', domain), orders)
  const others = [
    'orders',
    'orders.shop',
    'orders.shop.svc',
    'orders.shop.svc.cluster.local.',
    'orders.shop.svc.corp.example',
    'shop.svc.cluster.local',
    'a.orders.shop.svc.cluster.local',
    '.shop.svc.cluster.local',
    'orders..svc.cluster.local',
    '.svc.cluster.local',
    '',
  ]
  for (const host of others) t.equal(parseServiceHost(host, domain), undefined, host)
})

t.test('the host of a Service names that Service', async () => {
  fc.assert(
    fc.property(label, label, (namespace, name) => {
      const parsed = parseServiceHost(serviceHost({ namespace, name }, domain), domain)
      return parsed?.namespace === namespace && parsed.name === name
    }),
  )
})

t.test("what lies in the cluster's domain, whether a Service can have that name or not", async (t) => {
  const rows: [host: string, expected: boolean][] = [
    ['orders.shop.svc.cluster.local', true],
    ['a.b.c.svc.cluster.local', true],
    ['*.shop.svc.cluster.local', true],
    ['svc.cluster.local', false],
    ['orders.shop.svc.cluster.local.', false],
    ['orders.shop.pod.cluster.local', false],
    ['orders.shop', false],
    ['example.com', false],
  ]
  for (const [host, expected] of rows) t.equal(isClusterLocal(host, domain), expected, host)
})

t.test('a host without dot is expanded by its namespace, and no other', async (t) => {
  const rows: [story: string, host: string, expected: string][] = [
    ['a short name', 'orders', 'orders.shop.svc.cluster.local'],
    ['a short name in upper case keeps its case', 'Orders', 'Orders.shop.svc.cluster.local'],
    ['any dot makes a full name', 'orders.test', 'orders.test'],
    ['also the one at the end', 'orders.', 'orders.'],
    ['a full name', 'orders.test.svc.cluster.local', 'orders.test.svc.cluster.local'],
    ['everything', '*', '*'],
    ['a wildcard', '*.test', '*.test'],
    ['an IPv4 address', '10.0.0.1', '10.0.0.1'],
    ['an IPv6 address', '::1', '::1'],
    ['nothing', '', ''],
  ]
  for (const [story, host, expected] of rows) t.equal(resolveShortName(host, 'shop', domain), expected, story)
})

t.test('what was expanded once is not expanded again', async () => {
  fc.assert(
    fc.property(host, label, label, (host, namespace, other) => {
      const once = resolveShortName(host, namespace, domain)
      return resolveShortName(once, other, domain) === once
    }),
  )
})

t.test('a wildcard covers what ends as it does', async (t) => {
  const rows: [pattern: string, host: string, expected: boolean][] = [
    ['*.shop.svc.cluster.local', 'orders.shop.svc.cluster.local', true],
    ['*.svc.cluster.local', 'orders.shop.svc.cluster.local', true],
    ['*', 'example.com', true],
    ['*.example.com', '*.pay.example.com', true],
    ['*.example.com', '*.example.com', true],
    ['*.shop.svc.cluster.local', 'shop.svc.cluster.local', false],
    ['*.shop.svc.cluster.local', 'orders.workshop.svc.cluster.local', false],
    ['*.pay.example.com', '*.example.com', false],
    ['example.com', 'example.com', true],
    ['example.com', 'www.example.com', false],
    ['example.com', '*.com', false],
  ]
  for (const [pattern, host, expected] of rows) t.equal(matchesHost(pattern, host), expected, `${pattern} ${host}`)
})

t.test('a wildcard begins with an asterisk', async (t) => {
  t.equal(isWildcard('*'), true)
  t.equal(isWildcard('*.shop'), true)
  t.equal(isWildcard('orders.*'), false)
  t.equal(isWildcard(''), false)
})

t.test('addresses are told from names', async (t) => {
  for (const host of ['10.0.0.1', '240.240.255.254', '::1', 'fd00::7', '2001:db8::1'])
    t.equal(isIPAddress(host), true, host)
  for (const host of ['orders', '10.0.0', '10.0.0.1.2', '10.0.0.a', 'a10.0.0.1', ''])
    t.equal(isIPAddress(host), false, host)
})

t.test('the Service that a host seems to mean', async (t) => {
  const rows: [host: string, expected: typeof orders | undefined][] = [
    ['orders', orders],
    ['orders.shop', orders],
    ['orders.shop.svc', orders],
    ['orders.shop.svc.cluster.local', orders],
    ['orders.shop.svc.cluster.local.', orders],
    ['orders.shop.', orders],
    ['orders.', orders],
    ['Orders.SHOP.svc.Cluster.Local', orders],
    ['orders.test', { namespace: 'test', name: 'orders' }],
    ['orders.svc', undefined],
    ['orders.shop.svc.corp.example', undefined],
    ['api.pay.example.com', undefined],
    ['shop.svc.cluster.local', undefined],
    ['orders..', undefined],
    ['.shop', undefined],
    ['10.0.0.1', undefined],
    ['fd00::7', undefined],
    ['*', undefined],
    ['', undefined],
  ]
  for (const [host, expected] of rows) t.strictSame(intendedService(host, 'shop', domain), expected, host || '(empty)')
})

t.test("every spelling that Kubernetes' DNS answers is understood", async () => {
  const spelling = fc.constantFrom<(name: string, namespace: string) => string>(
    (name, namespace) => `${name}.${namespace}`,
    (name, namespace) => `${name}.${namespace}.svc`,
    (name, namespace) => `${name}.${namespace}.svc.${domain}`,
    (name, namespace) => `${name}.${namespace}.svc.${domain}.`,
    (name, namespace) => `${name}.${namespace}.svc.${domain}`.toUpperCase(),
  )
  // `x.svc` reads as a Service without namespace.
  const namespaces = label.filter((namespace) => namespace !== 'svc')
  fc.assert(
    fc.property(label, namespaces, spelling, (name, namespace, spell) => {
      const means = intendedService(spell(name, namespace), 'elsewhere', domain)
      return means?.name === name && means.namespace === namespace
    }),
  )
})
