/** What somebody can send who may create objects at all, and what must not cost everybody else their admissions. */
import t from 'tap'
import { memoryBackend } from '../../src/admission/backend.ts'
import { mutate } from '../../src/admission/mutate.ts'
import { memory, storeOf, under } from '../support/backends.ts'
import { startFakeApiServer } from '../support/fake-api-server.ts'
import { endpointSlice, meshNamespace, service, serviceEntry, virtualService } from '../support/objects.ts'
import { requestFor, responseIn, updateOf } from '../support/reviews.ts'
import { liveBackendOf, startWebhookServer } from '../support/webhook-server.ts'

const many = <T>(count: number, item: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => item(i))
/** Seconds of processor time: other work on the machine does not count. */
const seconds = async (ask: () => Promise<unknown>): Promise<number> => {
  const before = process.cpuUsage()
  await ask()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}
const ports = (count: number) => many(count, (i) => ({ name: `http-${i}`, port: 2000 + i }))
const onMesh = (hosts: string[], ...http: object[]) =>
  requestFor(virtualService('v', { hosts, gateways: ['mesh'], http }))

t.test('a route of 150,000 matches is judged', async (t) => {
  const webhook = await startWebhookServer(t, { backend: memory(service('orders')) })
  const match = many(150_000, () => ({ port: 3111 }))
  t.equal(
    (await webhook.review('/validate', onMesh(['orders'], { match, route: [{ destination: { host: 'orders' } }] })))
      .statusCode,
    200,
  )
})

t.test('hosts that are many ordinary Services without selector are judged on a live cluster', async (t) => {
  const api = await startFakeApiServer(t)
  api.put(
    meshNamespace('shop'),
    ...many(12, (i) => service(`s${i}`)),
    ...many(12, (i) => endpointSlice(`e${i}`, `s${i}`)),
  )
  const webhook = await startWebhookServer(t, { backend: liveBackendOf(api) })
  const route = { route: [{ destination: { host: 's0' } }] }
  t.equal(
    (
      await webhook.review(
        '/validate',
        onMesh(
          many(12, (i) => `s${i}`),
          route,
        ),
      )
    ).statusCode,
    200,
    'by name',
  )
  t.equal(
    (await webhook.review('/validate', onMesh(['*.shop.svc.cluster.local'], route))).statusCode,
    200,
    'by wildcard',
  )
  const ofIngress = requestFor(
    virtualService('v', { hosts: many(12, (i) => `s${i}`), gateways: ['ingress'], http: [route] }),
  )
  t.equal((await webhook.review('/validate', ofIngress)).statusCode, 200, 'for a gateway')
})

t.test('an odd timeout in milliseconds is a timeout', async (t) => {
  const webhook = await startWebhookServer(t)
  for (const timeout of ['1ms', '301ms', '499ms']) {
    t.equal(
      (await webhook.review(`/mutate?timeout=${timeout}`, requestFor(service('orders')))).statusCode,
      200,
      timeout,
    )
  }
})

t.test('a long number in an address is no work', async (t) => {
  const webhook = await startWebhookServer(t)
  const long = requestFor(service('p', { externalIPs: many(2, () => `1.2.3.${'9'.repeat(1_500_000)}`) }))
  for (const path of ['/mutate', '/validate']) t.ok((await seconds(() => webhook.review(path, long))) < 2, path)
})

t.test('destinations without port on a Service of many ports', async (t) => {
  const webhook = await startWebhookServer(t, { backend: memory(service('wide', { ports: ports(2000) })) })
  const route = many(1500, () => ({ destination: { host: 'wide' }, weight: 1 }))
  t.ok((await seconds(() => webhook.review('/validate', onMesh(['wide'], { route })))) < 2)
})

t.test('matches on a Service of many ports', async (t) => {
  const webhook = await startWebhookServer(t, { backend: memory(service('wide', { ports: ports(2000) })) })
  const match = many(10_000, (i) => ({ headers: { a: { exact: `${i}` } } }))
  t.ok((await seconds(() => webhook.review('/validate', onMesh(['wide'], { match, route: [] })))) < 2)
})

t.test('one wildcard in many spellings over many Services', async (t) => {
  const webhook = await startWebhookServer(t, {
    backend: memory(...many(1000, (i) => service(`s${i}`, { selector: { a: 'b' } }))),
  })
  const spelt = (i: number) =>
    [...'shop.svc.cluster.local'].map((c, bit) => ((i >> bit) & 1 ? c.toUpperCase() : c)).join('')
  t.ok((await seconds(() => webhook.review('/validate', onMesh(many(3000, (i) => `*.${spelt(i)}`))))) < 2)
})

t.test('a ServiceEntry of many ranges that leave little of the pool', async (t) => {
  const most = [
    '240.240.128.0/17',
    '240.240.0.0/18',
    '240.240.64.0/19',
    '240.240.96.0/20',
    '240.240.112.0/21',
    '240.240.120.0/22',
  ]
  const ranges = many(10_000, (i) => `10.${(i >> 14) & 255}.${(i >> 6) & 255}.${(i & 63) * 4}/31`)
  const backend = memoryBackend(storeOf(serviceEntry('e', [...most, ...ranges])))
  t.ok((await seconds(() => mutate(requestFor(service('x')), backend, under()))) < 2)
})

t.test('a denial is printable and bounded, whatever the names', async (t) => {
  const webhook = await startWebhookServer(t)
  const message = async (request: Parameters<typeof webhook.review>[1]) =>
    responseIn((await webhook.review('/validate', request)).body).status?.message ?? ''
  const odd = 'o\u001b[31m\u0000\u202e'
  t.match(await message(requestFor(service(odd, { ports: 'none' }))), /^[\n -~]+$/, 'a name')
  t.match(await message(requestFor(service('p', {}, { labels: { [odd]: 1 } }))), /^[\n -~]+$/, 'a label')
  t.ok((await message(requestFor(service('p'.repeat(1e6), { ports: 'none' })))).length < 30_000, 'a long name')
  t.ok((await message(requestFor(service('p'.repeat(1e6), { ports: [{ port: 80 }] })))).length < 30_000, 'a long name')
  t.ok(
    (await message(requestFor(service('p', {}, { labels: { ['l'.repeat(1e6)]: 1 } })))).length < 30_000,
    'a long label',
  )
})

t.test('a log line is bounded', async (t) => {
  const webhook = await startWebhookServer(t)
  const long = 'x'.repeat(1e6)
  await webhook.review('/validate', requestFor(service(long)))
  await webhook.review('/validate', requestFor(service('p'), { uid: long }))
  await webhook.review('/validate', requestFor(service('p'), { userInfo: { username: long } }))
  await webhook.review('/validate', requestFor({ ...service('p'), kind: long }))
  t.ok(webhook.log.text.length < 100_000, `${webhook.log.text.length} characters`)
})

t.test('hundreds of thousands of findings are answered in time', async (t) => {
  const webhook = await startWebhookServer(t)
  const much = requestFor(service('p', { ports: many(200_000, () => ({ port: 80 })) }))
  for (const path of ['/mutate', '/validate']) t.ok((await seconds(() => webhook.review(path, much))) < 6, path)
})

t.test('an update of a Service with many addresses from before makes no request for each', async (t) => {
  const api = await startFakeApiServer(t)
  const externalIPs = many(500, (i) => `240.240.${(i >> 8) + 1}.${i & 255}`)
  const old = service('p', { externalIPs })
  api.put(meshNamespace('shop'), old)
  const webhook = await startWebhookServer(t, { backend: liveBackendOf(api) })
  await webhook.review('/mutate', updateOf(old, service('p', { externalIPs, ports: [{ name: 'http', port: 1 }] })))
  t.ok(api.requests.length < 50, `${api.requests.length} requests`)
})

t.test('routes that two small objects multiply are judged in time', async (t) => {
  const leaf = virtualService('d', {
    http: many(1_000, (i) => ({ match: [{ uri: { exact: `/${i}` } }], route: [{ destination: { host: 'orders' } }] })),
  })
  const webhook = await startWebhookServer(t, { backend: memory(service('orders'), leaf) })
  const root = onMesh(
    ['orders'],
    ...many(1_000, () => ({ match: [{ port: 3111 }], delegate: { namespace: 'shop', name: 'd' } })),
  )
  t.ok((await seconds(() => webhook.review('/validate', root))) < 6)
})

t.test('tls matches on many ports are judged in time', async (t) => {
  const tls = many(2_000, (i) => ({
    match: [{ sniHosts: [`h${i}.example.com`] }],
    route: [{ destination: { host: 'orders', port: { number: 2000 } } }],
  }))
  const orders = service('orders', { ports: many(1_000, (i) => ({ name: `tls-${i}`, port: 2000 + i })) })
  const webhook = await startWebhookServer(t, { backend: memory(orders) })
  const review = requestFor(virtualService('v', { hosts: ['orders'], gateways: ['mesh'], tls }))
  t.ok((await seconds(() => webhook.review('/validate', review))) < 8)
})

t.test('many findings for the clients of several namespaces are put together in time', async (t) => {
  const rival = virtualService('rival', { hosts: ['orders'], exportTo: ['carts'], http: [{}] })
  const webhook = await startWebhookServer(t, { backend: memory(service('orders'), rival) })
  const routes = many(20_000, (i) => ({ match: [{ port: 3111 }], route: [{ destination: { host: `h${i}` } }] }))
  t.ok((await seconds(() => webhook.review('/validate', onMesh(['orders'], ...routes)))) < 8)
})
