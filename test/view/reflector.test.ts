import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Kind } from '../../src/api/kinds.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import { Reflector, type ReflectorTimes } from '../../src/view/reflector.ts'
import { advanceMonotonicClock } from '../support/clock.ts'
import { startScriptedServer } from '../support/scripted-server.ts'

const metadata = (name: string, resourceVersion: string) => ({ namespace: 'shop', name, resourceVersion })

const event = (type: string, name: string, resourceVersion: string, port = 80) => ({
  type,
  object: { metadata: metadata(name, resourceVersion), spec: { ports: [{ port }] } },
})

const bookmark = (resourceVersion: string, annotations = {}) => ({
  type: 'BOOKMARK',
  object: { metadata: { resourceVersion, annotations } },
})

const endOfList = (resourceVersion: string) => bookmark(resourceVersion, { 'k8s.io/initial-events-end': 'true' })

const failure = (code: number) => ({ type: 'ERROR', object: { kind: 'Status', code, message: 'it failed' } })

const start = async (t: Test, times: Partial<ReflectorTimes> = {}, labels?: string, kind: Kind = 'Service') => {
  const server = await startScriptedServer(t)
  const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: false })
  const errors: string[] = []
  const reflector = new Reflector({
    client: server.client,
    kind,
    store,
    onError: (kind, error) => errors.push(`${kind} ${(error as Error).message}`),
    times: { firstBackoff: 1, lastBackoff: 4, absent: 5, shortest: 0, ...times },
    ...(labels === undefined ? {} : { labels }),
  })
  const stop = new AbortController()
  const running = reflector.run(stop.signal)
  t.teardown(async () => {
    stop.abort()
    await running
  })
  /** Waits until the store says so. */
  const until = async (condition: () => boolean) => {
    while (!condition()) await sleep(1)
  }
  const ports = (name: string) => store.service({ namespace: 'shop', name })?.ports.map(({ port }) => port)
  const names = () => store.servicesUnder('*').map(({ name }) => name)
  return { server, store, reflector, errors, until, ports, names }
}

t.test('the list and what comes after it are one stream', async (t) => {
  const { server, reflector, until, ports, names } = await start(t)
  const watch = await server.next()
  t.equal(watch.path, '/api/v1/services')
  const { timeoutSeconds, ...query } = watch.query
  t.strictSame(query, {
    watch: 'true',
    allowWatchBookmarks: 'true',
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
  })
  t.ok(Number(timeoutSeconds) >= 300 && Number(timeoutSeconds) <= 600, 'it ends at no time in common')
  watch.events(event('ADDED', 'orders', '5'), event('ADDED', 'carts', '3'))
  await sleep(20)
  t.equal(reflector.isCurrent, false, 'half a list is none')
  watch.events(endOfList('9'))
  await until(() => reflector.isCurrent)
  t.strictSame(names().sort(), ['carts', 'orders'])
  watch.events(event('MODIFIED', 'orders', '10', 81), event('DELETED', 'carts', '11'), event('ADDED', 'new', '12'))
  await until(() => ports('new') !== undefined)
  t.strictSame([ports('orders'), names().sort()], [[81], ['new', 'orders']])
  t.equal(reflector.size, 2)
  t.equal(reflector.relists, 1)
  t.ok(reflector.age < 10)
})

t.test('a selection is of the API server', async (t) => {
  const { server } = await start(t, {}, 'a=b')
  const watch = await server.next()
  t.equal(watch.query.labelSelector, 'a=b')
  watch.answer(422)
  const list = await server.next()
  t.equal(list.query.labelSelector, 'a=b')
})

t.test('a watch that ends goes on where it was, by its last bookmark', async (t) => {
  const { server, reflector, until, ports } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'), bookmark('20'))
  first.end()
  const second = await server.next()
  t.equal(second.query.resourceVersion, '20')
  t.equal(second.query.sendInitialEvents, undefined)
  second.events(event('MODIFIED', 'orders', '21', 81))
  await until(() => ports('orders')?.[0] === 81)
  t.equal(reflector.relists, 1)
  t.equal(reflector.isCurrent, true)
})

t.test('a watch that is cut is taken up again, and meanwhile the view is not current', async (t) => {
  const { server, reflector, errors, until, names } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'))
  await until(() => reflector.isCurrent)
  first.cut()
  const second = await server.next()
  t.equal(reflector.isCurrent, false)
  t.strictSame(names(), ['orders'], 'what was known is not forgotten')
  t.equal(second.query.resourceVersion, '9')
  for (const status of [500, 401, 403, 429]) {
    ;(status === 500 ? second : await server.next()).answer(status, 'no')
  }
  const last = await server.next()
  t.equal(reflector.isCurrent, false)
  last.events()
  await until(() => reflector.isCurrent)
  t.match(errors, [/breaks off$/, /: 500 no$/, /: 401 no$/, /: 403 no$/, /: 429 no$/])
})

t.test('what is too old to go on from begins anew, and what is gone meanwhile is gone', async (t) => {
  for (const gone of ['as an event', 'as an answer']) {
    const { server, reflector, errors, until, names } = await start(t)
    const first = await server.next()
    first.events(event('ADDED', 'orders', '5'), event('ADDED', 'carts', '6'), endOfList('9'))
    await until(() => reflector.isCurrent)
    if (gone === 'as an event') {
      first.events(failure(410))
    } else {
      first.end()
      ;(await server.next()).answer(410)
    }
    const anew = await server.next()
    t.equal(anew.query.sendInitialEvents, 'true', gone)
    anew.events(event('ADDED', 'carts', '30'), endOfList('31'))
    await until(() => reflector.relists === 2 && reflector.isCurrent)
    t.strictSame(names(), ['carts'])
    t.strictSame(errors, [], 'it is no error')
  }
})

t.test('an error in a watch is told, and the watch goes on', async (t) => {
  const { server, errors } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'), failure(500))
  t.equal((await server.next()).query.resourceVersion, '9')
  t.strictSame(errors, ['Service Service: it failed'])
})

t.test('an API server that does not stream lists is asked for pages', async (t) => {
  const { server, reflector, errors, until, names } = await start(t)
  ;(await server.next()).answer(422, 'sendInitialEvents is forbidden')
  const page = await server.next()
  t.strictSame(page.query, { limit: '500' })
  page.answer(200, { metadata: { continue: 'more' }, items: [{ metadata: metadata('orders', '5') }] })
  const rest = await server.next()
  t.equal(rest.query.continue, 'more')
  rest.answer(200, { metadata: { resourceVersion: '9' }, items: [{ metadata: metadata('carts', '6') }] })
  const watch = await server.next()
  t.equal(watch.query.resourceVersion, '9')
  watch.events()
  await until(() => reflector.isCurrent)
  t.strictSame([names().sort(), errors], [['carts', 'orders'], []])
})

t.test('an event that is none is an error, and the watch is taken up again', async (t) => {
  const { server, errors } = await start(t)
  ;(await server.next()).events([])
  t.equal((await server.next()).query.sendInitialEvents, 'true')
  t.strictSame(errors, ['Service the object must be an object'])
})

t.test('a list that breaks off is none', async (t) => {
  const { server, reflector, errors } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'))
  first.end()
  const second = await server.next()
  t.equal(second.query.sendInitialEvents, 'true')
  t.equal(reflector.isCurrent, false)
  t.strictSame(errors, ['Service Service: the watch ended before its list'])
})

t.test('what is gone when a list is made anew goes with its end, and what stays is never missing', async (t) => {
  const { server, reflector, until, names, ports } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), event('ADDED', 'carts', '6'), endOfList('9'))
  await until(() => reflector.isCurrent)
  first.events(failure(410))
  const second = await server.next()
  second.events(event('ADDED', 'orders', '10', 81))
  await until(() => ports('orders')?.[0] === 81)
  t.strictSame([names().sort(), reflector.isCurrent], [['carts', 'orders'], false])
  second.events(endOfList('11'))
  await until(() => reflector.isCurrent)
  t.strictSame(names(), ['orders'])
})

t.test('a watch that held for long is taken up at once, whatever failed before it', async (t) => {
  const { server, reflector, until } = await start(t, { firstBackoff: 5, lastBackoff: 60_000 })
  for (let failed = 0; failed < 9; failed++) (await server.next()).answer(500)
  const held = await server.next()
  held.events(endOfList('9'))
  await until(() => reflector.isCurrent)
  advanceMonotonicClock(t, 61_000)
  held.cut()
  const cut = process.hrtime.bigint()
  await server.next()
  t.ok(process.hrtime.bigint() - cut < 1_250_000_000n, 'without the wait of a tenth failure')
})

t.test('a list in pages that breaks off is made anew', async (t) => {
  const { server } = await start(t)
  ;(await server.next()).answer(422)
  const page = await server.next()
  page.answer(200, {
    metadata: { resourceVersion: '9', continue: 'more' },
    items: [{ metadata: metadata('orders', '5') }],
  })
  ;(await server.next()).cut()
  t.strictSame((await server.next()).query, { limit: '500' })
})

t.test('a streamed list that breaks off after a change is made anew', async (t) => {
  const { server, until, ports } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), event('MODIFIED', 'orders', '10', 81))
  await until(() => ports('orders')?.[0] === 81)
  first.cut()
  t.equal((await server.next()).query.sendInitialEvents, 'true')
})

t.test('a watch that is silent is dead', async (t) => {
  const { server, reflector, until } = await start(t, { silence: 60 })
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'))
  await until(() => reflector.isCurrent)
  await first.closed
  const second = await server.next()
  t.equal(second.query.resourceVersion, '9')
})

t.test('a kind of Istio that is not installed has no objects, until it is', async (t) => {
  const { server, reflector, errors, until } = await start(t, {}, undefined, 'VirtualService')
  ;(await server.next()).answer(404)
  await until(() => reflector.isCurrent)
  t.strictSame([reflector.size, errors], [0, []])
  const again = await server.next()
  again.events(event('ADDED', 'orders', '5'))
  await until(() => reflector.size === 1)
  t.equal(reflector.isCurrent, false, 'half of its list is none')
  again.events(endOfList('9'))
  await until(() => reflector.isCurrent)
})

t.test('a kind that is taken away takes its objects along, and is begun anew when it comes back', async (t) => {
  const { server, reflector, until } = await start(t, {}, undefined, 'VirtualService')
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'))
  await until(() => reflector.isCurrent)
  first.end()
  ;(await server.next()).answer(404)
  await until(() => reflector.size === 0)
  t.equal(reflector.isCurrent, true)
  t.equal((await server.next()).query.sendInitialEvents, 'true')
})

t.test('a kind that every cluster has is not believed to be absent', async (t) => {
  const { server, reflector, errors, names, until } = await start(t)
  const first = await server.next()
  first.events(event('ADDED', 'orders', '5'), endOfList('9'))
  await until(() => reflector.isCurrent)
  first.end()
  ;(await server.next()).answer(404, 'default backend - 404')
  await server.next()
  t.strictSame([names(), reflector.isCurrent], [['orders'], false])
  t.match(errors, [/404 default backend/])
})

t.test('a watch that ends at once is waited for, and is a failure', async (t) => {
  const { server, reflector, errors, until } = await start(t, { shortest: 10_000, firstBackoff: 100, lastBackoff: 100 })
  const first = await server.next()
  first.events(endOfList('9'))
  await until(() => reflector.isCurrent)
  first.end()
  await until(() => !reflector.isCurrent)
  t.strictSame(errors, ['Service Service: the watch ended at once'])
  t.equal((await server.next()).query.resourceVersion, '9')
})

t.test('a watch that is not opened again soon leaves the view without it', async (t) => {
  const { server, reflector, until } = await start(t, { opening: 30 })
  const first = await server.next()
  first.events(endOfList('9'))
  await until(() => reflector.isCurrent)
  first.end()
  const second = await server.next()
  t.equal(reflector.isCurrent, true, 'at first it is thought to come')
  await until(() => !reflector.isCurrent)
  second.events()
  await until(() => reflector.isCurrent)
})

t.test('a defect is none of the objects, and is told', async (t) => {
  const { server, errors, store, until } = await start(t)
  store.put = () => {
    throw new Error('a defect')
  }
  ;(await server.next()).events(event('ADDED', 'orders', '5'))
  await until(() => errors.length > 0)
  t.strictSame(errors, ['Service a defect'])
})

t.test('an object that is not as its API defines it is left out', async (t) => {
  const { server, reflector, until, names } = await start(t)
  const watch = await server.next()
  const odd = { type: 'MODIFIED', object: { metadata: metadata('orders', '10'), spec: { ports: 'all' } } }
  watch.events(event('ADDED', 'orders', '5'), endOfList('9'))
  await until(() => reflector.isCurrent)
  watch.events(odd, event('ADDED', 'carts', '11'))
  await until(() => names().includes('carts'))
  t.strictSame(names(), ['carts'])
})

t.test('what we wrote ourselves is known before its event', async (t) => {
  const { reflector, names } = await start(t)
  reflector.learn({ metadata: metadata('orders', '5') })
  t.strictSame(names(), ['orders'])
})

t.test('what we wrote and is gone again by the time that we hear of it stays gone', async (t) => {
  const { server, reflector, until, names } = await start(t)
  const watch = await server.next()
  watch.events(endOfList('8'))
  await until(() => reflector.isCurrent)
  watch.events(event('ADDED', 'orders', '9'), event('DELETED', 'orders', '10'), event('ADDED', 'carts', '11'))
  await until(() => names().includes('carts'))
  reflector.learn({ metadata: metadata('orders', '9') })
  t.strictSame(names(), ['carts'])
  reflector.learn({ metadata: metadata('orders', '12') })
  t.strictSame(names().sort(), ['carts', 'orders'], 'and what is newer is taken in')
  reflector.learn({ metadata: metadata('odd', 'x') })
  t.strictSame(names().sort(), ['carts', 'odd', 'orders'])
})
