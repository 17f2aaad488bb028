import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import t, { type Test } from 'tap'
import { ApiError, KubernetesClient } from '../../src/kubernetes/client.ts'
import { forbidden, startFakeApiServer } from '../support/fake-api-server.ts'
import { kubeConfigOf } from '../support/kubeconfig.ts'
import { claim, endpointSlice, meshNamespace, service } from '../support/objects.ts'

const inTime = () => AbortSignal.timeout(10_000)

const start = async (t: Test) => {
  const server = await startFakeApiServer(t)
  return { server, client: server.client }
}

const names = (objects: unknown[]) => objects.map((object) => (object as { metadata: { name: string } }).metadata.name)

t.test('gets an object by kind and name', async (t) => {
  const { server, client } = await start(t)
  server.put(meshNamespace('shop'), service('orders'), claim('240.240.0.7', 'shop/orders'))
  t.match(await client.get('Service', { namespace: 'shop', name: 'orders' }, inTime()), service('orders'))
  t.match(await client.get('Namespace', { namespace: '', name: 'shop' }, inTime()), meshNamespace('shop'))
  t.match(await client.get('IPAddress', { namespace: '', name: '240.240.0.7' }, inTime()), { kind: 'IPAddress' })
  t.strictSame(server.log, [
    'GET /api/v1/namespaces/shop/services/orders',
    'GET /api/v1/namespaces/shop',
    'GET /apis/networking.k8s.io/v1/ipaddresses/240.240.0.7',
  ])
  t.match(server.requests[0]?.headers, { accept: 'application/json', authorization: 'Bearer a-token' })
})

t.test('the version of the API server', async (t) => {
  const { server, client } = await start(t)
  server.version = 'v1.36.3'
  t.equal(await client.version(inTime()), 'v1.36.3')
  server.intercept = () => ({ status: 200, body: {} })
  t.equal(await client.version(inTime()), '', 'one that does not say')
})

t.test('an object that is not there, or whose kind is not installed, is undefined', async (t) => {
  const { server, client } = await start(t)
  server.uninstalled.add('virtualservices')
  t.equal(await client.get('Service', { namespace: 'shop', name: 'orders' }, inTime()), undefined)
  t.equal(await client.get('VirtualService', { namespace: 'shop', name: 'orders' }, inTime()), undefined)
})

t.test('what cannot be a name is not asked for', async (t) => {
  const { server, client } = await start(t)
  for (const text of ['', '..', '../secrets/x', 'a?b', 'a%2fb', 'A', '-a', 'a-', 'é', 'a/b', 'a\n']) {
    t.equal(await client.get('Service', { namespace: 'shop', name: text }, inTime()), undefined, text)
    t.equal(await client.get('Service', { namespace: text, name: 'orders' }, inTime()), undefined, text)
    t.equal(await client.get('IPAddress', { namespace: '', name: text }, inTime()), undefined, text)
    if (text !== '') t.strictSame(await client.list('EndpointSlice', { namespace: text }, inTime()), [], text)
  }
  t.strictSame(server.requests, [])
})

t.test('lists all pages of a kind, of all namespaces or of one', async (t) => {
  const { server, client } = await start(t)
  const many = Array.from({ length: 1100 }, (_, index) => service(`s${index}`))
  server.put(...many, service('s', {}, { namespace: 'other' }))
  t.strictSame(names(await client.list('Service', {}, inTime())), [...names(many), 's'])
  t.strictSame(
    server.requests.map(({ path, query }) => `${path}?${query}`),
    [
      '/api/v1/services?limit=500',
      '/api/v1/services?limit=500&continue=500',
      '/api/v1/services?limit=500&continue=1000',
    ],
  )
  t.strictSame(names(await client.list('Service', { namespace: 'other' }, inTime())), ['s'])
  t.equal(server.log.at(-1), 'GET /api/v1/namespaces/other/services')
})

t.test('objects come page by page, and none is asked for before it is needed', async (t) => {
  const { server, client } = await start(t)
  server.put(...Array.from({ length: 501 }, (_, index) => service(`s${index}`)))
  let seen = 0
  for await (const _ of client.objects('Service', {}, inTime())) {
    seen++
    t.equal(server.requests.length, seen <= 500 ? 1 : 2)
  }
  t.equal(seen, 501)
})

t.test('lists by labels', async (t) => {
  const { server, client } = await start(t)
  server.put(endpointSlice('a', 'orders'), endpointSlice('b', 'carts'))
  const labels = 'kubernetes.io/service-name=orders'
  t.strictSame(names(await client.list('EndpointSlice', { namespace: 'shop', labels }, inTime())), ['a'])
  t.equal(server.requests[0]?.query.get('labelSelector'), labels)
})

t.test('a list of nothing is empty', async (t) => {
  const { server, client } = await start(t)
  t.strictSame(await client.list('Service', {}, inTime()), [])
  server.uninstalled.add('serviceentries')
  t.strictSame(await client.list('ServiceEntry', {}, inTime()), [], 'its kind is not installed')
  server.intercept = () => ({ status: 200, body: { items: null } })
  t.strictSame(await client.list('Service', {}, inTime()), [], 'as Go writes an empty list')
})

t.test('creates, and fails with the status where it cannot', async (t) => {
  const { server, client } = await start(t)
  const object = claim('240.240.0.7', 'shop/orders')
  t.match(await client.create('IPAddress', object, { dryRun: true }, inTime()), object)
  t.strictSame(server.claims, {})
  t.match(await client.create('IPAddress', object, { dryRun: false }, inTime()), object)
  t.strictSame(server.claims, { '240.240.0.7': 'shop/orders' })
  t.strictSame(
    server.requests.map(({ method, path, query, headers }) => [method, path, `${query}`, headers['content-type']]),
    [
      ['POST', '/apis/networking.k8s.io/v1/ipaddresses', 'dryRun=All', 'application/json'],
      ['POST', '/apis/networking.k8s.io/v1/ipaddresses', '', 'application/json'],
    ],
  )
  for (const dryRun of [true, false]) {
    await t.rejects(client.create('IPAddress', object, { dryRun }, inTime()), { name: 'ApiError', status: 409 })
  }
})

t.test('merges a patch into an object', async (t) => {
  const { server, client } = await start(t)
  server.put(claim('240.240.0.7', 'shop/orders'))
  await client.mergePatch(
    'IPAddress',
    { namespace: '', name: '240.240.0.7' },
    { metadata: { annotations: { a: 'b' } } },
    inTime(),
  )
  t.match(server.get('/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7'), {
    metadata: {
      name: '240.240.0.7',
      annotations: { a: 'b' },
      labels: { 'ipaddress.kubernetes.io/managed-by': 'meshvip.dev' },
    },
  })
  await t.rejects(client.mergePatch('IPAddress', { namespace: '', name: '240.240.0.8' }, {}, inTime()), {
    name: 'ApiError',
    status: 404,
  })
})

t.test('deletes what is still as it was', async (t) => {
  const { server, client } = await start(t)
  server.put(claim('240.240.0.7', 'shop/orders'))
  const path = '/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7'
  const metadata = server.get(path)?.metadata
  const [uid, resourceVersion] = [String(metadata?.uid), String(metadata?.resourceVersion)]
  const remove = (was: { uid: string; resourceVersion: string }) =>
    client.delete('IPAddress', { namespace: '', name: '240.240.0.7' }, was, inTime())
  await t.rejects(remove({ uid: 'another', resourceVersion }), { name: 'ApiError', status: 409 })
  await t.rejects(remove({ uid, resourceVersion: 'another' }), { name: 'ApiError', status: 409 })
  await remove({ uid, resourceVersion })
  t.strictSame(server.claims, {})
  await t.rejects(remove({ uid, resourceVersion }), { name: 'ApiError', status: 404 })
})

t.test('what the API server refuses is an error with its status, and a part of its text', async (t) => {
  const { server, client } = await start(t)
  server.intercept = () => ({ status: 403, body: `may not${'!'.repeat(1000)}` })
  const path = 'GET /api/v1/namespaces/shop/services/orders'
  await t.rejects(client.get('Service', { namespace: 'shop', name: 'orders' }, inTime()), {
    name: 'ApiError',
    status: 403,
    message: `${path}: 403 may not${'!'.repeat(493)}`,
  })
  server.intercept = () => forbidden
  await t.rejects(client.list('Service', {}, inTime()), { name: 'ApiError', status: 403 })
  const message = 'services is forbidden: User "dev" cannot list resource "services"'
  server.intercept = () => ({ status: 403, body: { ...(forbidden.body as object), message } })
  await t.rejects(
    client.list('Service', {}, inTime()),
    { message: `GET /api/v1/services?limit=500: 403 ${message}` },
    'of a Status it is the message',
  )
})

t.test('an API server that cannot be reached, in time or at all, is an error without status', async (t) => {
  const { server, client } = await start(t)
  const unreachable = (message: string) => ({ name: 'ApiError', status: 0, message })
  server.intercept = () => new Promise(() => {})
  const given = new AbortController()
  const list = client.list('Service', {}, given.signal)
  given.abort()
  await t.rejects(list, unreachable('GET /api/v1/services?limit=500: the API server cannot be reached'))

  await server.close()
  t.teardown(() => server.listen())
  const error = await client.get('Namespace', { namespace: '', name: 'shop' }, inTime()).catch((e: unknown) => e)
  t.match(error, unreachable('GET /api/v1/namespaces/shop: the API server cannot be reached'))
  t.match(error, { cause: { cause: { code: 'ECONNREFUSED' } } })
})

t.test('credentials that cannot be had are an API server that cannot be reached', async (t) => {
  const config = kubeConfigOf({ server: 'https://127.0.0.1:1' })
  config.users = [{ name: 'test', certFile: `${t.testdirName}/none.crt`, keyFile: `${t.testdirName}/none.key` }]
  await t.rejects(new KubernetesClient(config).list('Service', {}, inTime()), { name: 'ApiError', status: 0 })
})

t.test('a cluster that asks for no credentials is given none', async (t) => {
  const { server } = await start(t)
  const config = kubeConfigOf({ server: server.url })
  config.users = []
  await new KubernetesClient(config).list('Service', {}, inTime())
  t.equal(server.requests[0]?.headers.authorization, undefined)
})

t.test('a configuration without a cluster reaches none', async (t) => {
  await t.rejects(new KubernetesClient(new KubeConfig()).list('Service', {}, inTime()), { name: 'ApiError', status: 0 })
})

t.test('a slash at the end of the server is none', async (t) => {
  const { server } = await start(t)
  const client = new KubernetesClient(kubeConfigOf({ server: `${server.url}/` }))
  await client.list('Service', {}, inTime())
  t.strictSame(server.log, ['GET /api/v1/services'])
})

t.test('an ApiError is an Error', async (t) => {
  const cause = new Error('a cause')
  t.match(new ApiError(409, 'taken', { cause }), { name: 'ApiError', status: 409, message: 'taken', cause })
})

t.test('an answer that is no JSON is none of an API server', async (t) => {
  const { server, client } = await start(t)
  server.intercept = () => ({ status: 200, body: '<html>' })
  await t.rejects(client.get('Service', { namespace: 'shop', name: 'orders' }, inTime()), {
    name: 'ApiError',
    status: 0,
    message: 'GET /api/v1/namespaces/shop/services/orders: the answer is no JSON',
  })
})

t.test('which failures pass', async (t) => {
  for (const status of [0, 401, 429, 500, 503]) t.equal(new ApiError(status, '').isTransient, true, String(status))
  for (const status of [400, 403, 404, 409, 422]) t.equal(new ApiError(status, '').isTransient, false, String(status))
})

t.test('an answer that breaks off is none, be it good or bad', async (t) => {
  for (const status of [200, 500]) {
    const server = createServer((_request, response) => {
      response.writeHead(status, { 'content-length': '1000' }).write('{')
      setImmediate(() => response.destroy())
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => server.close())
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = new KubernetesClient(kubeConfigOf({ server: address }))
    await t.rejects(client.get('Service', { namespace: 'shop', name: 'orders' }, inTime()), {
      name: 'ApiError',
      status: status === 200 ? 0 : 500,
    })
  }
})

t.test('an event that comes in pieces is one event', async (t) => {
  const server = createServer((_request, response) => {
    response.write('{"type":"ADD')
    setTimeout(() => response.end('ED"}\n\n{"type":"DELETED"}\n'), 20)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const client = new KubernetesClient(
    kubeConfigOf({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
  )
  const events = await Array.fromAsync(await client.watch('Service', {}, inTime()))
  t.strictSame(events, [{ type: 'ADDED' }, { type: 'DELETED' }])
})
