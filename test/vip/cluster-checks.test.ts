import t from 'tap'
import { checkServiceCIDRs, clusterAdvice } from '../../src/vip/cluster-checks.ts'
import { brokenDown, forbidden, startFakeApiServer } from '../support/fake-api-server.ts'
import { serviceCIDR } from '../support/objects.ts'

const inTime = () => AbortSignal.timeout(10_000)

const pools = (...cidrs: string[]) => cidrs.map((cidr) => ({ cidr }))

const refusal = (code: number, message: string) => ({ status: code, body: { kind: 'Status', code, message } })

t.test('a pool may overlap no ServiceCIDR', async (t) => {
  const server = await startFakeApiServer(t)
  const overlapping: [pool: string, serviceCIDR: string, what: string][] = [
    ['10.97.0.0/16', '10.97.0.0/16', 'the same range'],
    ['10.97.8.0/24', '10.97.0.0/16', 'a part of it'],
    ['10.0.0.0/8', '10.97.0.0/16', 'more than it'],
    ['10.97.0.0/30', '10.97.0.0/16', 'its beginning'],
    ['10.97.255.252/30', '10.97.0.0/16', 'its end'],
    ['10.97.0.0/30', '10.97.0.0/32', 'one address at its own beginning'],
    ['10.97.0.0/30', '10.97.0.3/32', 'one address at its own end'],
    ['fd00:97::/112', 'fd00:97::/108', 'a part of it, in IPv6'],
    ['fd00::/16', 'FD00:0097:0::/108', 'more than it, in another spelling'],
  ]
  for (const [pool, cidr, what] of overlapping) {
    server.clear()
    server.put(serviceCIDR('kubernetes', '192.0.2.0/24', cidr))
    const checked = checkServiceCIDRs(server.client, pools('240.240.0.0/16', pool), inTime())
    await t.rejects(checked, { name: 'UsageError', message: `the pool ${pool} overlaps` }, what)
  }
  const apart: [pool: string, serviceCIDR: string, what: string][] = [
    ['10.96.0.0/16', '10.97.0.0/16', 'the one before it'],
    ['10.98.0.0/16', '10.97.0.0/16', 'the one behind it'],
    ['fd00:97::1:0/112', 'fd00:97::/112', 'the one behind it, in IPv6'],
    ['fd00:96:ffff:ffff:ffff:ffff:ffff:0/112', 'fd00:97::/112', 'the one before it, in IPv6'],
    ['0.97.0.0/16', '::61:0/112', 'the same number in the other family'],
    ['10.97.0.0/16', '10.97.0.0', 'no range at all'],
  ]
  for (const [pool, cidr, what] of apart) {
    server.clear()
    server.put(serviceCIDR('kubernetes', '192.0.2.0/24', cidr))
    t.strictSame(await checkServiceCIDRs(server.client, pools('240.240.0.0/16', pool), inTime()), [], what)
  }
})

t.test('which pool, which ServiceCIDR, why and what to write is one sentence', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(serviceCIDR('kubernetes', '10.97.0.0/16', 'fd00:97::/108'), serviceCIDR('more', '10.99.0.0/16'))
  await t.rejects(checkServiceCIDRs(server.client, pools('240.240.0.0/16', '10.99.7.0/24'), inTime()), {
    message:
      'the pool 10.99.7.0/24 overlaps the ServiceCIDR more (10.99.0.0/16), where Kubernetes itself hands out and repairs the ' +
      'addresses, so that one could have two owners: write `pools: [{ cidr: RANGE }]` in the file of --config, with a RANGE ' +
      'outside 10.97.0.0/16, fd00:97::/108, 10.99.0.0/16',
  })
})

t.test('ServiceCIDRs that cannot be read refuse nothing, and it says so', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(serviceCIDR('kubernetes', '10.97.0.0/16'))
  const check = (signal = inTime()) => checkServiceCIDRs(server.client, pools('10.97.8.0/24'), signal)
  const unchecked = (remedy: string) => `whether a pool overlaps a ServiceCIDR could not be checked: ${remedy}`
  server.intercept = () => forbidden
  t.match(await check(), [
    {
      level: 'warn',
      message: unchecked('let us list servicecidrs of networking.k8s.io (a ClusterRole), and start again'),
      err: { status: 403 },
    },
  ])
  const away = { level: 'warn', message: unchecked('start again when the API server answers') }
  server.intercept = () => brokenDown
  t.match(await check(), [{ ...away, err: { status: 500 } }])
  server.intercept = () => new Promise(() => {})
  t.match(await check(AbortSignal.timeout(50)), [{ ...away, err: { status: 0 } }], 'one that does not answer in time')
  server.intercept = () => ({ status: 200, body: { items: [{ spec: { cidrs: 'all' } }] } })
  t.match(await check(), [{ ...away, err: { name: 'MalformedObject' } }], 'one that answers something else')
})

/** A pool of which nothing is to be said. */
const plain = pools('10.9.0.0/24')

t.test('of a cluster on which all is well there is nothing to say, and it is only asked', async (t) => {
  const server = await startFakeApiServer(t)
  t.strictSame(await clusterAdvice(server.client, 'mesh', pools('10.9.0.0/24', '10.8.0.0/24'), inTime()), [])
  t.strictSame(server.log.sort(), ['GET /version', 'POST /api/v1/namespaces/mesh/services'])
  const [asked] = server.requests.filter(({ method }) => method === 'POST')
  t.equal(asked?.query.get('dryRun'), 'All')
  t.match(asked?.body, {
    metadata: { namespace: 'mesh', labels: { 'meshvip.dev/virtual-host': 'false' } },
    spec: { externalIPs: ['10.9.0.0'] },
  })
})

t.test('an API server that refuses external IPs is told from one that refuses something else', async (t) => {
  const server = await startFakeApiServer(t)
  const on =
    /^the admission plugin DenyServiceExternalIPs is on, .*: take it out of --enable-admission-plugins of kube-/
  const unknown = /^whether the admission plugin DenyServiceExternalIPs is on, .*, could not be checked: err says why /
  const cases: [what: string, status: number, message: string, advice: RegExp][] = [
    [
      'the plugin',
      403,
      'services "meshvip-external-ips" is forbidden: Use of external IPs is denied by admission control',
      on,
    ],
    [
      'RBAC',
      403,
      'services is forbidden: User "x" cannot create resource "services" in API group "" in the namespace "mesh"',
      /could not be checked: let us create services in the namespace mesh \(a Role; it is only ever a dry run\)$/,
    ],
    ['a quota', 403, 'services "meshvip-external-ips" is forbidden: exceeded quota: few', unknown],
    [
      "somebody's webhook that uses the plugin's words, with another status",
      400,
      'admission webhook "x" denied the request: Use of external IPs is denied by admission control',
      unknown,
    ],
    [
      'a webhook that is down, such as ours',
      500,
      'Internal error occurred: failed calling webhook "addresses.meshvip.dev": connection refused',
      unknown,
    ],
  ]
  for (const [what, status, message, expected] of cases) {
    server.intercept = ({ method }) => (method === 'POST' ? refusal(status, message) : undefined)
    const advice = await clusterAdvice(server.client, 'mesh', plain, inTime())
    t.match(advice, [{ level: 'warn', message: expected }], what)
    const isKnown = advice[0]?.err === undefined
    t.equal(isKnown, expected === on, `${what}: why it is not known, and only then`)
  }
})

t.test('a pool out of which istiod gives addresses, too, is spoken of calmly', async (t) => {
  const server = await startFakeApiServer(t)
  const cases: [pool: string, said: string | undefined][] = [
    ['240.240.0.0/16', 'the pool 240.240.0.0/16 overlaps 240.240.0.0/16, '],
    ['240.0.0.0/4', 'set PILOT_IP_AUTOALLOCATE_IPV4_PREFIX for istiod, or'],
    ['240.240.255.252/30', 'the pool 240.240.255.252/30 overlaps 240.240.0.0/16, '],
    ['240.241.0.0/16', undefined],
    ['240.239.0.0/16', undefined],
    ['2001:2::8:0/112', 'set PILOT_IP_AUTOALLOCATE_IPV6_PREFIX for istiod, or'],
    ['2001:2:1::/48', undefined],
  ]
  for (const [pool, said] of cases) {
    const advice = await clusterAdvice(server.client, 'mesh', pools('10.9.0.0/24', pool), inTime())
    t.match(advice, said === undefined ? [] : [{ level: 'info', message: said }], pool)
    t.equal(advice.length, said === undefined ? 0 : 1, `${pool}: once`)
  }
})

t.test('what becomes of externalIPs depends on the version of the API server', async (t) => {
  const server = await startFakeApiServer(t)
  const cases: [version: string, said: RegExp | undefined][] = [
    ['v1.33.0', undefined],
    ['v1.35.9-gke.1', undefined],
    ['v1.36.0', /^on Kubernetes v1\.36\.0 spec\.externalIPs is deprecated: .* from 1\.40 on /],
    ['v1.39.12-eks-1', /^on Kubernetes v1\.39\.12-eks-1 spec\.externalIPs is deprecated: /],
    [
      'v1.40.0',
      /^on Kubernetes v1\.40\.0 kube-proxy does nothing .* unless its feature gate AllowServiceExternalIPs is on/,
    ],
    ['v1.42.1', /unless its feature gate AllowServiceExternalIPs is on: .*, which there will be until 1\.43, /],
    ['v1.43.0', /^on Kubernetes v1\.43\.0 kube-proxy does nothing for spec\.externalIPs any more: /],
    ['v1.100.0', /any more: /],
    ['', undefined],
  ]
  for (const [version, said] of cases) {
    server.version = version
    const advice = await clusterAdvice(server.client, 'mesh', plain, inTime())
    t.match(advice, said === undefined ? [] : [{ level: 'warn', message: said }], version)
    t.equal(advice.length, said === undefined ? 0 : 1, `${version}: once`)
  }
  server.intercept = ({ path }) => (path === '/version' ? brokenDown : undefined)
  t.match(await clusterAdvice(server.client, 'mesh', plain, inTime()), [
    {
      level: 'warn',
      message: 'whether this version of Kubernetes supports spec.externalIPs could not be checked',
      err: { status: 500 },
    },
  ])
})
