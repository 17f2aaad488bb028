import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { type AddressInfo, createConnection, createServer, Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { closeGracefully } from '../../src/server/graceful-close.ts'
import { greeting, standaloneGreeting } from '../../src/server/greeting.ts'
import { createHealthServer } from '../../src/server/health.ts'
import { createMetrics, observeAddresses } from '../../src/server/metrics.ts'
import { type ServeOptions, type Serving, serve } from '../../src/server/serve.ts'
import { brokenDown, forbidden, startFakeApiServer } from '../support/fake-api-server.ts'
import { postOverTls } from '../support/https.ts'
import { CapturedLog } from '../support/log.ts'
import { claim, meshNamespace, service, serviceCIDR } from '../support/objects.ts'
import { patchIn, requestFor, responseIn, reviewOf } from '../support/reviews.ts'

const anyPort = { host: '127.0.0.1', port: 0 }

const start = async (t: Test, options: Partial<ServeOptions>): Promise<Serving> => {
  const serving = await serve({ listen: anyPort, log: new CapturedLog(), ...options })
  t.teardown(() => serving.close())
  return serving
}

const review = (...request: Parameters<typeof requestFor>) => JSON.stringify(reviewOf(requestFor(...request)))

const writes = (address: string) => ({
  patchType: 'JSONPatch',
  operations: [{ op: 'add', path: '/spec/externalIPs', value: [address] }],
})

const caOf = ({ ca }: Serving): string => ca?.pem ?? ''

t.test('it answers over TLS, by a certificate that its own CA signed', async (t) => {
  const serving = await start(t, { standalone: true })
  t.match(serving.url, /^https:\/\/127\.0\.0\.1:\d+$/)
  t.equal(serving.metricsURL, undefined)
  const { status, body, names } = await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  t.equal(status, 200)
  t.strictSame(patchIn(responseIn(body)), writes('240.240.225.190'))
  t.equal(names, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  await t.rejects(
    postOverTls(`${serving.url}/mutate`, (await makeServingCertificate(['127.0.0.1'], new Date())).ca, ''),
    { message: /certificate/ },
    'another CA did not sign it',
  )
})

t.test('the CA is in a file for as long as it serves', async (t) => {
  const serving = await start(t, { standalone: true })
  const file = serving.ca?.file ?? ''
  t.equal(readFileSync(file, 'utf8'), serving.ca?.pem)
  await serving.close()
  t.equal(existsSync(file), false)
})

t.test('a stop answers as usual until it is forgotten, but is not ready any more', async (t) => {
  const serving = await start(t, { standalone: true, metricsListen: anyPort, drain: 500 })
  const ready = async () => (await fetch(`${serving.metricsURL}/readyz`)).status
  const agent = new Agent({ ca: caOf(serving), keepAlive: true })
  t.teardown(() => agent.destroy())
  const answer = async () => {
    const { status, headers } = await postOverTls(`${serving.url}/mutate`, agent, review(service('orders')))
    return [status, headers.connection]
  }
  t.strictSame([await ready(), await answer()], [200, [200, 'keep-alive']])
  const closed = serving.close()
  t.equal(await ready(), 503)
  t.strictSame(await answer(), [200, 'close'], 'and sends who asks to another connection')
  await closed
  await t.rejects(answer(), { code: 'ECONNREFUSED' })
})

t.test('a configuration that changes is in force without a restart', async (t) => {
  const folder = t.testdir({ 'meshvip.yaml': 'pools: [{ cidr: 10.9.0.0/24 }]' })
  const log = new CapturedLog()
  const serving = await start(t, { standalone: true, config: `${folder}/meshvip.yaml`, log })
  const address = async () => {
    const { body } = await postOverTls(
      `${serving.url}/mutate`,
      caOf(serving),
      review(service('orders'), { dryRun: true }),
    )
    return JSON.stringify(patchIn(responseIn(body)))
  }
  t.match(await address(), '10.9.0.')
  const told = async (message: string) => {
    while (!log.lines.some(({ msg }) => String(msg).startsWith(message))) await sleep(50)
  }
  writeFileSync(`${folder}/meshvip.yaml`, 'pools: []')
  await told('the configuration cannot be used')
  t.match(await address(), '10.9.0.', 'a wrong one changes nothing')
  writeFileSync(`${folder}/meshvip.yaml`, 'pools: [{ cidr: 10.8.0.0/24 }]')
  await told('the configuration was loaded anew')
  t.match(await address(), '10.8.0.')
})

t.test('closing twice is closing', async (t) => {
  const serving = await start(t, { standalone: true })
  await serving.close()
  await t.resolves(serving.close())
  await t.rejects(postOverTls(`${serving.url}/mutate`, caOf(serving), ''), { code: 'ECONNREFUSED' })
})

t.test('the certificate is for the host that it listens at, too', async (t) => {
  const named = await start(t, { standalone: true, listen: { host: 'localhost', port: 0 } })
  const { names } = await postOverTls(`${named.url}/validate`, caOf(named), '')
  t.equal(names, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  const other = await start(t, { standalone: true, listen: { host: '127.0.0.2', port: 0 } })
  const shown = await postOverTls(`${other.url}/validate`, caOf(other), '')
  t.match(shown.names, 'IP Address:127.0.0.2')
})

t.test('a certificate that it is given is the one that it shows', async (t) => {
  const { ca, cert, key } = await makeServingCertificate(['127.0.0.1'], new Date())
  const folder = t.testdir({ 'tls.crt': cert, 'tls.key': key })
  const serving = await start(t, { standalone: true, tls: { cert: `${folder}/tls.crt`, key: `${folder}/tls.key` } })
  t.equal(serving.ca, undefined)
  const { names } = await postOverTls(`${serving.url}/validate`, ca, '')
  t.equal(names, 'IP Address:127.0.0.1')
})

t.test('a folder of manifests is the cluster', async (t) => {
  const folder = t.testdir({
    'taken.yaml': [
      'apiVersion: v1',
      'kind: Service',
      'metadata: {namespace: shop, name: carts}',
      'spec: {externalIPs: [240.240.225.190]}',
    ].join('\n'),
  })
  const serving = await start(t, { standalone: folder })
  const { body } = await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  t.strictSame(patchIn(responseIn(body)), writes('240.240.225.183'))
})

t.test('a live cluster is the one of the kubeconfig', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(meshNamespace('shop'))
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const serving = await start(t, { kubeconfig: `${folder}/kubeconfig` })
  const { body } = await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  t.strictSame(patchIn(responseIn(body)), writes('240.240.225.190'))
  t.strictSame(server.claims, { '240.240.225.190': 'shop/orders' })
})

t.test('in a live cluster the claims that nobody needs are collected, and the log says so', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(claim('240.240.0.7', 'shop/gone'))
  server.showsLists = true
  let failures = 0
  server.intercept = ({ method }) => (method === 'DELETE' && failures++ === 0 ? brokenDown : undefined)
  const log = new CapturedLog()
  const collect = { interval: 1, grace: 0 }
  await start(t, { kubeconfig: t.testdir({ config: server.kubeconfig }).concat('/config'), log, collect })
  while (Object.keys(server.claims).length > 0) await sleep(1)
  const told = () => log.lines.filter(({ msg }) => /^a claim /.test(String(msg)))
  while (told().length < 2) await sleep(1)
  t.match(told(), [
    { level: 40, msg: 'a claim could not be looked after, and is so later' },
    { level: 30, address: '240.240.0.7', service: 'shop/gone', msg: 'a claim that nobody needs was deleted' },
  ])
})

t.test('what a live cluster is told of its addresses: claims, Events, metrics, and who looks after them', async (t) => {
  const server = await startFakeApiServer(t)
  const had = ['10.9.0.1', '10.9.0.2']
  server.put(meshNamespace('shop'), ...had.map((address, index) => service(`old-${index}`, { externalIPs: [address] })))
  server.put(service('again', { externalIPs: ['10.9.0.1'] }))
  server.showsLists = true
  const folder = t.testdir({ config: server.kubeconfig, 'meshvip.yaml': 'pools: [{ cidr: 10.9.0.0/30 }]' })
  const log = new CapturedLog()
  const serving = await serve({
    listen: anyPort,
    metricsListen: anyPort,
    kubeconfig: `${folder}/config`,
    config: `${folder}/meshvip.yaml`,
    collect: { interval: 1, grace: 0 },
    log,
  })
  while (Object.keys(server.claims).length < 2) await sleep(1)
  t.match(server.claims, { '10.9.0.1': /^shop\/(old-0|again)$/, '10.9.0.2': 'shop/old-1' }, 'adopted')
  for (const dryRun of [true, false]) {
    const { body } = await postOverTls(
      `${serving.url}/mutate`,
      caOf(serving),
      JSON.stringify(reviewOf(requestFor(service('late'), { dryRun }))),
    )
    t.match(body, /no address is free in 10\.9\.0\.0\/30/)
  }
  const events = () =>
    server.requests.flatMap(({ method, path, body }) =>
      method === 'POST' && path.endsWith('/events')
        ? [body as { reason: string; regarding: { name: string }; note: string }]
        : [],
    )
  while (events().length < 3) await sleep(1)
  t.strictSame(
    events()
      .map(({ reason, regarding }) => `${reason} ${regarding.name}`)
      .sort(),
    ['AddressDuplicate again', 'AddressDuplicate old-0', 'PoolExhausted late'],
    'a dry run leaves no Event',
  )
  const metrics = await (await fetch(`${serving.metricsURL}/metrics`)).text()
  for (const line of [
    'meshvip_pool_addresses{pool="10.9.0.0/30",state="used"} 2',
    'meshvip_pool_addresses{pool="10.9.0.0/30",state="free"} 0',
    'meshvip_duplicate_addresses 1',
    'meshvip_pool_exhausted_total{pool="10.9.0.0/30"} 2',
    'meshvip_claims_adopted_total 2',
    'meshvip_allocation_duration_seconds_count{outcome="exhausted"} 2',
  ])
    t.ok(metrics.includes(`\n${line}\n`), line)
  const lease = () => server.get('/apis/coordination.k8s.io/v1/namespaces/default/leases/meshvip')
  t.match(lease(), { spec: { holderIdentity: /._[0-9a-f]{8}$/ } })
  await serving.close()
  t.match(lease(), { spec: { holderIdentity: '' } }, 'the next replica need not wait')
})

t.test('the addresses are gone through once a scrape', async (t) => {
  const metrics = createMetrics()
  let looks = 0
  observeAddresses(
    metrics,
    () => defaultPolicy.pools,
    () => {
      looks++
      return []
    },
  )
  t.match(await metrics.registry.metrics(), /^meshvip_duplicate_addresses 0$/m)
  t.equal(looks, 1)
})

t.test('what keeps us from looking after addresses, and from telling of them, is in the log', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(meshNamespace('shop'), service('full', { externalIPs: ['10.9.0.1'] }), claim('10.9.0.2', 'shop/full'))
  const held = Promise.withResolvers<typeof forbidden>()
  server.intercept = ({ path }) =>
    path.endsWith('/events') ? held.promise : path.includes('/leases') ? forbidden : undefined
  const folder = t.testdir({ config: server.kubeconfig, 'meshvip.yaml': 'pools: [{ cidr: 10.9.0.0/30 }]' })
  const log = new CapturedLog()
  const serving = await start(t, { kubeconfig: `${folder}/config`, config: `${folder}/meshvip.yaml`, log })
  const told = async (message: string) => {
    while (!log.lines.some(({ msg }) => String(msg).startsWith(message))) await sleep(1)
  }
  await told('who leads cannot be settled, and is tried again')
  const agent = new Agent({ ca: serving.ca?.pem ?? '', keepAlive: true, maxSockets: 20 })
  t.teardown(() => agent.destroy())
  // Four are being written, and five hundred may wait.
  const late = Array.from({ length: 510 }, (_, index) => review(service(`late-${index}`)))
  await Promise.all(late.map((body) => postOverTls(`${serving.url}/mutate`, agent, body)))
  await told('Events are not recorded: too many wait')
  held.resolve(forbidden)
  await told('Events cannot be recorded')
})

t.test('metrics say nothing of addresses that are not in view', async (t) => {
  const metrics = createMetrics()
  observeAddresses(
    metrics,
    () => defaultPolicy.pools,
    () => undefined,
  )
  t.notMatch(await metrics.registry.metrics(), /^meshvip_(pool_addresses|duplicate_addresses)/m)
})

t.test(
  'a pool that Kubernetes gives addresses of is refused, at the start and when the configuration changes',
  async (t) => {
    const server = await startFakeApiServer(t)
    server.put(serviceCIDR('kubernetes', '10.9.0.0/16'), meshNamespace('shop'))
    const pool = (cidr: string) => `pools: [{ cidr: ${cidr} }]`
    const folder = t.testdir({ kubeconfig: server.kubeconfig, 'meshvip.yaml': pool('10.9.8.0/24') })
    const log = new CapturedLog()
    const options = { kubeconfig: `${folder}/kubeconfig`, config: `${folder}/meshvip.yaml`, log }
    const message = 'the pool 10.9.8.0/24 overlaps the ServiceCIDR kubernetes (10.9.0.0/16), '
    await t.rejects(serve({ listen: anyPort, ...options }), { name: 'UsageError', message })

    writeFileSync(options.config, pool('10.8.0.0/24'))
    const serving = await start(t, options)
    writeFileSync(options.config, pool('10.9.8.0/24'))
    const lines = () => log.lines.filter(({ msg }) => /^the configuration /.test(String(msg)))
    while (lines().length === 0) await sleep(50)
    t.match(lines(), [
      {
        level: 50,
        err: { type: 'UsageError', message },
        msg: 'the configuration cannot be used; the one in force stays',
      },
    ])
    const { body } = await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
    t.match(JSON.stringify(patchIn(responseIn(body))), '10.8.0.')
  },
)

t.test(
  'what cannot be checked, and what there is to say of the cluster, is in the log and stops nothing',
  async (t) => {
    const server = await startFakeApiServer(t)
    server.version = 'v1.36.3'
    server.intercept = ({ path }) => (path.endsWith('/servicecidrs') ? forbidden : undefined)
    const log = new CapturedLog()
    await start(t, { kubeconfig: t.testdir({ config: server.kubeconfig }).concat('/config'), log })
    // Who looks after the addresses is told at no certain time.
    const lines = () => log.lines.filter(({ msg }) => !String(msg).startsWith('the Lease '))
    while (lines().length < 3) await sleep(1)
    t.match(lines(), [
      { level: 40, msg: 'whether a pool overlaps a ServiceCIDR could not be checked: ', err: { type: 'ApiError' } },
      { level: 30, msg: 'the pool 240.240.0.0/16 overlaps 240.240.0.0/16, out of which istiod gives addresses' },
      { level: 40, msg: 'on Kubernetes v1.36.3 spec.externalIPs is deprecated: ' },
    ])
    t.strictSame(
      lines().map((line) => 'err' in line),
      [true, false, false],
    )
  },
)

t.test('a start waits some seconds for an API server that does not answer, and no longer', async (t) => {
  const server = await startFakeApiServer(t)
  server.intercept = () => new Promise(() => {})
  const log = new CapturedLog()
  const started = Date.now()
  const serving = await start(t, { kubeconfig: t.testdir({ config: server.kubeconfig }).concat('/config'), log })
  t.ok(Date.now() - started < 8_000)
  t.match(log.lines, [{ level: 40, msg: 'could not be checked: start again when the API server answers' }])
  while (server.requests.length < 3) await sleep(1)
  await serving.close()
  await sleep(50)
  t.equal(log.lines.length, 1, 'and what its end cuts short says nothing of the cluster')
})

t.test('the configuration is what it judges by', async (t) => {
  const folder = t.testdir({ 'meshvip.yaml': 'pools: [{cidr: 10.9.0.0/30}]\n' })
  const serving = await start(t, { standalone: true, config: `${folder}/meshvip.yaml` })
  const { body } = await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  t.strictSame(patchIn(responseIn(body)), writes('10.9.0.2'))
})

t.test('probes and metrics are served over HTTP where they are asked for', async (t) => {
  const serving = await start(t, { standalone: true, metricsListen: anyPort })
  await postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  const get = async (path: string) => {
    const response = await fetch(`${serving.metricsURL}${path}`)
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
  }
  t.match(await get('/livez'), { status: 200, text: /^ok$/ })
  t.match(await get('/readyz'), { status: 200, text: /^ok$/ })
  const metrics = await get('/metrics')
  t.equal(metrics.type, 'text/plain; version=0.0.4; charset=utf-8')
  t.match(
    metrics.text,
    '\nmeshvip_reviews_total{webhook="mutate",operation="CREATE",verdict="allowed",dry_run="false"} 1\n',
  )
  t.match(await get('/orders'), { status: 404 })
})

t.test('it is not ready before it can answer, and alive all the same', async (t) => {
  const health = createHealthServer({ metrics: createMetrics(), isReady: async () => false })
  t.teardown(() => health.close())
  const ready = await health.inject('/readyz')
  t.strictSame([ready.statusCode, ready.body], [503, 'not ready'])
  t.equal((await health.inject('/livez')).statusCode, 200)
})

t.test('what is under way when it is closed is still answered', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(meshNamespace('shop'))
  const seen = Promise.withResolvers<void>()
  const release = Promise.withResolvers<undefined>()
  server.intercept = ({ path }) => {
    if (!path.startsWith('/api/v1/namespaces/shop')) return undefined
    seen.resolve()
    return release.promise
  }
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const serving = await start(t, { kubeconfig: `${folder}/kubeconfig` })
  const answer = postOverTls(`${serving.url}/mutate`, caOf(serving), review(service('orders')))
  await seen.promise
  const closed = serving.close()
  release.resolve(undefined)
  t.strictSame(patchIn(responseIn((await answer).body)), writes('240.240.225.190'))
  await closed
})

t.test('closing does not wait for connections on which nothing is asked', async (t) => {
  const serving = await start(t, { standalone: true })
  const port = Number(new URL(serving.url).port)
  const spare = connect({ port, host: '127.0.0.1', ca: caOf(serving) })
  await once(spare, 'secureConnect')
  const cutOff = once(spare, 'close')
  await serving.close()
  await cutOff
})

t.test('where the CA cannot be written, it says so and does not stay', async (t) => {
  const { TMPDIR } = process.env
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  })
  process.env.TMPDIR = '/nowhere'
  await t.rejects(serve({ standalone: true, listen: anyPort, log: new CapturedLog() }), {
    name: 'UsageError',
    message: /^cannot write our CA to \/nowhere: ENOENT.*; set TMPDIR, or give --tls-cert and --tls-key$/,
  })
})

t.test('how it was started in a way that cannot work, it says in one sentence', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const taken = { host: '127.0.0.1', port: (busy.address() as AddressInfo).port }
  const ours = await makeServingCertificate(['localhost'], new Date())
  const other = await makeServingCertificate(['localhost'], new Date())
  const folder = t.testdir({
    'tls.crt': ours.cert,
    'other.key': other.key,
    'no.crt': 'no certificate',
    'bad.yaml': 'pools: []',
    'bad-manifests': { 'x.yaml': 'apiVersion: v1\nkind: Service\nspec: {ports: all}\n' },
  })
  const cases: [what: string, options: Partial<ServeOptions>, name: string, message: string | RegExp][] = [
    [
      'a taken port',
      { listen: taken },
      'UsageError',
      `cannot listen on 127.0.0.1:${taken.port}: the port is taken by another process: end that one, or choose another port with --listen HOST:PORT`,
    ],
    [
      'a taken port, on all addresses',
      { listen: { ...taken, host: '0.0.0.0' } },
      'UsageError',
      /^cannot listen on 0\.0\.0\.0:\d+: the port is taken/,
    ],
    [
      'a taken port, on all addresses of IPv6',
      { listen: { ...taken, host: '::' } },
      'UsageError',
      /^cannot listen on \[::\]:\d+: /,
    ],
    [
      'a taken port for metrics',
      { metricsListen: taken },
      'UsageError',
      `cannot listen on 127.0.0.1:${taken.port}: the port is taken by another process: end that one, or choose another port with --metrics-listen HOST:PORT`,
    ],
    [
      'an address of another machine',
      { listen: { host: '192.0.2.1', port: 0 } },
      'UsageError',
      /^cannot listen on 192\.0\.2\.1:0: .*EADDRNOTAVAIL/,
    ],
    [
      'no certificate',
      { tls: { cert: `${folder}/tls.crt.old`, key: `${folder}/other.key` } },
      'UsageError',
      /^cannot read --tls-cert \S+\/tls\.crt\.old: ENOENT/,
    ],
    [
      'no key',
      { tls: { cert: `${folder}/tls.crt`, key: `${folder}/tls.key` } },
      'UsageError',
      /^cannot read --tls-key \S+\/tls\.key: ENOENT/,
    ],
    [
      "another certificate's key",
      { tls: { cert: `${folder}/tls.crt`, key: `${folder}/other.key` } },
      'UsageError',
      /^the certificate and the key cannot be used: they do not belong together$/,
    ],
    [
      'a text for a certificate',
      { tls: { cert: `${folder}/no.crt`, key: `${folder}/other.key` } },
      'UsageError',
      /^the certificate and the key cannot be used: /,
    ],
    [
      'no configuration',
      { config: `${folder}/none.yaml` },
      'UsageError',
      /^cannot read --config \S+\/none\.yaml: ENOENT/,
    ],
    ['a bad configuration', { config: `${folder}/bad.yaml` }, 'ConfigurationError', /bad\.yaml:1:8: pools: /],
    ['no folder of manifests', { standalone: `${folder}/none` }, 'UsageError', /^cannot read \S+\/none: ENOENT/],
    [
      'bad manifests',
      { standalone: `${folder}/bad-manifests` },
      'ManifestError',
      /x\.yaml:\d+:\d+: spec\.ports must be a list$/,
    ],
  ]
  for (const [what, options, name, message] of cases) {
    await t.rejects(serve({ standalone: true, listen: anyPort, ...options }), { name, message }, what)
  }
})

t.test('a port below 1024 needs rights that we may not have', async (t) => {
  const refused = Object.assign(new Error('permission denied'), { code: 'EACCES' })
  t.intercept(Server.prototype, 'listen', {
    value(this: Server) {
      process.nextTick(() => this.emit('error', refused))
      return this
    },
  })
  await t.rejects(serve({ standalone: true, listen: { host: '127.0.0.1', port: 443 } }), {
    name: 'UsageError',
    message: 'cannot listen on 127.0.0.1:443: this port needs more rights than we have: choose one above 1023',
  })
})

t.test('when the second server cannot listen, the first one does not stay behind', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const taken = { host: '127.0.0.1', port: (busy.address() as AddressInfo).port }
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const listen = { host: '127.0.0.1', port: (free.address() as AddressInfo).port }
  await once(free.close(), 'close')
  await t.rejects(serve({ standalone: true, listen, metricsListen: taken }), { name: 'UsageError' })
  await start(t, { standalone: true, listen })
})

t.test('the greeting', async (t) => {
  /** The two commands, with the URL and the body that curl is given and the expression that shows the answer. */
  const commandsIn = (text: string) =>
    [...text.matchAll(/^ {2}curl -sS --cacert (\S+) (\S+) -d '([^']+)' \| node -pe '([^']+)'$/gm)].map(
      ([, ca = '', url = '', body = '', show = '']) => ({ ca, url, body, show }),
    )

  t.test('has commands that can be pasted, and that show a denial and an address', async (t) => {
    const serving = await start(t, { standalone: true })
    const text = standaloneGreeting(serving)
    t.ok(text.includes(`meshvip listens on ${serving.url}, with a cluster in memory. Ctrl-C ends it.\n`))
    t.ok(text.includes(`Its CA, new at each start: ${serving.ca?.file}\n`))
    const shown: string[] = []
    for (const { ca, url, body, show } of commandsIn(text)) {
      const answer = await postOverTls(url, readFileSync(ca, 'utf8'), body)
      shown.push(execFileSync(process.execPath, ['-pe', show], { input: answer.body, encoding: 'utf8' }))
    }
    const [denial, address, ...rest] = shown
    t.match(
      denial,
      /^Service shop\/bad is refused for 2 reasons:\n- spec\.ports\[0\]\.name: .*\n- spec\.ports\[0\]\.port: /,
    )
    t.strictSame(JSON.parse(address ?? ''), [{ op: 'add', path: '/spec/externalIPs', value: ['240.240.225.190'] }])
    t.strictSame(rest, [])
  })

  t.test('names the loopback address where it listens on all', async (t) => {
    for (const url of ['https://0.0.0.0:8443', 'https://[::]:8443']) {
      const text = standaloneGreeting({ url, metricsURL: undefined, ca: undefined, close: async () => {} })
      t.strictSame(
        commandsIn(text).map((command) => command.url),
        ['https://127.0.0.1:8443/validate', 'https://127.0.0.1:8443/mutate'],
      )
    }
  })

  t.test('of a live cluster says where it listens, and where its CA is if it made one', async (t) => {
    const serving = { url: 'https://127.0.0.1:8443', metricsURL: undefined, close: async () => {} }
    t.equal(greeting({ ...serving, ca: undefined }), 'meshvip listens on https://127.0.0.1:8443\n')
    t.equal(
      greeting({ ...serving, ca: { file: '/tmp/ca.crt', pem: '' } }),
      'meshvip listens on https://127.0.0.1:8443; its CA, new at each start, is /tmp/ca.crt\n',
    )
  })

  t.test('does not name a CA where the certificate was given', async (t) => {
    const text = standaloneGreeting({
      url: 'https://127.0.0.1:8443',
      metricsURL: undefined,
      ca: undefined,
      close: async () => {},
    })
    t.notMatch(text, 'Its CA')
    t.strictSame(
      commandsIn(text).map(({ ca }) => ca),
      ['CA.crt', 'CA.crt'],
    )
  })
})

t.test('a live cluster that is not in view and cannot be read is no place to send requests to', async (t) => {
  const server = await startFakeApiServer(t)
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const log = new CapturedLog()
  const serving = await start(t, { kubeconfig: `${folder}/kubeconfig`, metricsListen: anyPort, log })
  const get = async (path: string) => fetch(`${serving.metricsURL}${path}`)
  t.equal((await get('/readyz')).status, 200, 'it can be read')
  const metrics = await (await get('/metrics')).text()
  t.match(metrics, '\nmeshvip_view_current{kind="Service"} 0\n')
  t.match(metrics, '\nmeshvip_view_objects{kind="Service"} 0\n')
  server.intercept = () => brokenDown
  t.equal((await get('/readyz')).status, 503, 'it cannot')
  await server.close()
  t.teardown(() => server.listen())
  while (!log.lines.some(({ msg }) => msg === 'a watch failed, and is tried again')) await sleep(10)
  t.equal((await get('/livez')).status, 200)
})

t.test('who does not take the last answer is cut off', async (t) => {
  const serving = await start(t, { standalone: true })
  const bare = createConnection({ port: Number(new URL(serving.url).port), host: '127.0.0.1', allowHalfOpen: true })
  await once(bare, 'connect')
  const cutOff = once(bare, 'close').catch(() => 'reset')
  const started = Date.now()
  await serving.close()
  t.ok(Date.now() - started < 5_000)
  bare.destroy()
  await cutOff
})

t.test('who sent half a request holds up the end for a while, and no longer', async () => {
  const app = createHealthServer({ metrics: createMetrics(), isReady: async () => true })
  app.post('/body', async () => 'ok')
  const close = closeGracefully(app, 300)
  await app.listen(anyPort)
  const { port } = app.server.address() as AddressInfo
  const half = createConnection({ port, host: '127.0.0.1' })
  half.write('POST /body HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf')
  await once(app.server, 'request')
  const cutOff = once(half, 'close').catch(() => 'reset')
  await close()
  await cutOff
})
