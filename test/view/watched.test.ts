import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ClusterView } from '../../src/view/view.ts'
import { WatchedCluster } from '../../src/view/watched.ts'
import { type Asked, startScriptedServer } from '../support/scripted-server.ts'

const orders = { namespace: 'shop', name: 'orders' }

const objects: Record<string, object> = {
  namespaces: { metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } } },
  services: { metadata: orders, spec: { externalIPs: ['240.240.0.7'], ports: [{ port: 3111 }] } },
  virtualservices: {
    metadata: orders,
    spec: {
      hosts: ['orders'],
      http: [{ route: [{ destination: { host: 'carts' } }] }, { delegate: { name: 'routes' } }],
    },
  },
  destinationrules: { metadata: orders, spec: { host: 'orders' } },
  serviceentries: { metadata: { namespace: 'shop', name: 'pay' }, spec: { hosts: ['pay.example.com'] } },
  ipaddresses: {
    metadata: { name: '240.240.0.7' },
    spec: { parentRef: { resource: 'services', ...orders } },
  },
}

const endOfList = {
  type: 'BOOKMARK',
  object: { metadata: { resourceVersion: '9', annotations: { 'k8s.io/initial-events-end': 'true' } } },
}

const resourceOf = ({ path }: Asked): string => path.split('/').at(-1) ?? ''

const start = async (t: Test) => {
  const server = await startScriptedServer(t)
  const reads: string[] = []
  const cluster = new WatchedCluster({
    client: server.client,
    clusterDomain: 'cluster.local',
    onError: () => {},
    onRead: (kind, reason) => reads.push(`${reason} ${kind}`),
  })
  const stop = new AbortController()
  const running = cluster.run(stop.signal)
  t.teardown(async () => {
    stop.abort()
    await running
  })
  const watches = new Map<string, Asked>()
  for (let n = 0; n < 6; n++) {
    const asked = await server.next()
    watches.set(resourceOf(asked), asked)
  }
  const showAll = async () => {
    for (const [resource, watch] of watches) watch.events({ type: 'ADDED', object: objects[resource] }, endOfList)
    while (!cluster.isCurrent) await sleep(1)
  }
  const ask = <T>(question: (view: ClusterView) => T) => cluster.ask(question, AbortSignal.timeout(5_000))
  return { server, cluster, reads, watches, showAll, ask }
}

t.test('what is in view is answered without a read', async (t) => {
  const { cluster, watches, showAll, ask } = await start(t)
  t.equal(watches.get('ipaddresses')?.query.labelSelector, 'ipaddress.kubernetes.io/managed-by=meshvip.dev')
  await showAll()
  const answers = await ask((view) => [
    view.unlistedNamespacesSelected,
    view.namespace('shop')?.labels.size,
    view.service(orders)?.ports[0]?.port,
    view.servicesUnder('*.shop.svc.cluster.local').length,
    view.serviceEntries('pay.example.com').length,
    view.virtualServices('orders.shop.svc.cluster.local').length,
    view.virtualService(orders)?.hosts.length,
    view.virtualServicesWithDelegate({ namespace: 'shop', name: 'routes' }).length,
    view.virtualServicesTo('carts.shop.svc.cluster.local').length,
    view.destinationRules('orders.shop.svc.cluster.local').length,
    [...view.virtualHostCandidates('shop', 3111)].length,
    view.holders('240.240.0.7').map(({ kind }) => kind),
    view.claimsOf(orders),
  ])
  t.strictSame(answers, [false, 1, 3111, 1, 1, 1, 1, 1, 1, 1, 1, ['IPAddress', 'Service'], ['240.240.0.7']])
  cluster.learn('IPAddress', {
    metadata: { name: '240.240.0.8' },
    spec: { parentRef: { resource: 'services', ...orders } },
  })
  t.strictSame(await ask((view) => view.claimsOf(orders)), ['240.240.0.7', '240.240.0.8'])
})

t.test('who has which addresses is told of a whole view only', async (t) => {
  const { cluster, showAll } = await start(t)
  t.equal(cluster.addresses, undefined)
  await showAll()
  cluster.learn('IPAddress', {
    metadata: { name: '240.240.0.8' },
    spec: { parentRef: { resource: 'services', ...orders } },
  })
  t.ok([...(cluster.addresses?.heldAddresses() ?? [])].some(([address]) => address === '240.240.0.8'))
})

t.test('endpoints are read when they are asked for', async (t) => {
  const { server, reads, showAll, ask } = await start(t)
  await showAll()
  const answer = ask((view) => [view.endpoints(orders)?.madeByHand, view.endpointSlices(orders).length])
  const [one, other] = [await server.next(), await server.next()]
  for (const asked of [one, other]) {
    if (resourceOf(asked) === 'orders') asked.answer(200, { metadata: orders })
    else asked.answer(200, { items: [] })
  }
  t.strictSame(await answer, [true, 0])
  t.strictSame(reads, ['unwatched Endpoints', 'unwatched EndpointSlice'])
})

t.test('what is not in view is looked for, since its event may be on its way', async (t) => {
  const { server, cluster, reads, showAll } = await start(t)
  await showAll()
  const answer = cluster.ask(
    (view) => [
      view.namespace('new')?.name,
      view.service({ namespace: 'shop', name: 'new' })?.name,
      view.virtualService({ namespace: 'shop', name: 'new' })?.name,
    ],
    AbortSignal.timeout(5_000),
  )
  for (let n = 0; n < 3; n++) {
    const asked = await server.next()
    asked.answer(200, { metadata: { name: 'new', ...(asked.path.includes('/shop/') ? { namespace: 'shop' } : {}) } })
  }
  t.strictSame(await answer, ['new', 'new', 'new'])
  t.strictSame(reads, ['miss Namespace', 'miss Service', 'miss VirtualService'])
})

t.test('the claim on an address is always read, since all rests on it', async (t) => {
  const { server, showAll, ask } = await start(t)
  await showAll()
  const answer = ask((view) => view.claim('240.240.0.7')?.text)
  ;(await server.next()).answer(200, {
    metadata: { name: '240.240.0.7' },
    spec: { parentRef: { resource: 'services', namespace: 'shop', name: 'carts' } },
  })
  t.equal(await answer, 'Service shop/carts')
})

t.test('a kind of which the watch is down is read, and the others are not', async (t) => {
  const { server, cluster, reads, watches, showAll, ask } = await start(t)
  const first = ask((view) => view.service(orders)?.name)
  ;(await server.next()).answer(200, { metadata: orders })
  t.equal(await first, 'orders', 'before the first list')

  await showAll()
  watches.get('services')?.cut()
  const again = await server.next()
  t.equal(cluster.isCurrent, false)
  const second = ask((view) => [
    view.service(orders)?.name,
    view.virtualServices('orders.shop.svc.cluster.local').length,
  ])
  ;(await server.next()).answer(404)
  t.strictSame(await second, [undefined, 1], 'while a watch is down')
  t.strictSame(reads, ['out-of-view Service', 'out-of-view Service'])
  again.events()
  while (!cluster.isCurrent) await sleep(1)
  t.equal(await ask((view) => view.service(orders)?.name), 'orders', 'and not any more once it is up')
})

t.test('a watch that goes down while something is read is not believed for what comes after', async (t) => {
  const { server, cluster, watches, showAll, ask } = await start(t)
  await showAll()
  const answer = ask((view) => [view.endpoints(orders)?.name, view.service(orders)?.name])
  const endpoints = await server.next()
  watches.get('services')?.cut()
  await server.next()
  t.equal(cluster.isCurrent, false)
  endpoints.answer(200, { metadata: orders })
  ;(await server.next()).answer(404)
  t.strictSame(await answer, ['orders', undefined])
})

t.test('a denial is confirmed by reading all where it is not known who holds an address', async (t) => {
  const { server, cluster, watches, showAll } = await start(t)
  await showAll()
  watches.get('services')?.cut()
  await server.next()
  const decided = cluster.decide(
    (view) => view.holders('240.240.0.7').length,
    () => true,
    AbortSignal.timeout(5_000),
  )
  for (let n = 0; n < 6; n++) {
    const asked = await server.next()
    if (asked.path.includes('ipaddresses')) asked.answer(404)
    else asked.answer(200, { items: [] })
  }
  t.equal(await decided, 0)
})

t.test('a grave answer is confirmed by what the cluster says now, any other is taken as it is', async (t) => {
  const { server, cluster, reads, showAll } = await start(t)
  await showAll()
  const decide = (isGrave: boolean) =>
    cluster.decide(
      (view) => view.service(orders)?.ports[0]?.port,
      () => isGrave,
      AbortSignal.timeout(5_000),
    )
  t.equal(await decide(false), 3111)
  const confirmed = decide(true)
  ;(await server.next()).answer(200, { metadata: orders, spec: { ports: [{ port: 3222 }] } })
  t.equal(await confirmed, 3222)
  t.strictSame(reads, ['confirmation Service'])
})

t.test('to confirm who has a port, those that are known to have it are read, and not the namespace', async (t) => {
  const { server, reads, cluster, showAll } = await start(t)
  await showAll()
  const confirmed = cluster.decide(
    (view) => [...view.virtualHostCandidates('shop', 3111)].map(({ name }) => name),
    () => true,
    AbortSignal.timeout(5_000),
  )
  const asked = await server.next()
  t.equal(asked.path, '/api/v1/namespaces/shop/services/orders')
  asked.answer(200, { metadata: orders, spec: { ports: [{ port: 3222 }] } })
  t.strictSame(await confirmed, [], 'it has it no more')
  t.strictSame(reads, ['confirmation Service'])
})

t.test('to confirm who holds an address, those that are known to hold it are read, and nobody else', async (t) => {
  const { server, cluster, showAll } = await start(t)
  await showAll()
  const confirmed = cluster.decide(
    (view) => view.holders('240.240.0.7').map(({ text }) => text),
    () => true,
    AbortSignal.timeout(5_000),
  )
  const asked = [await server.next(), await server.next()]
  t.strictSame(asked.map(({ path }) => path).sort(), [
    '/api/v1/namespaces/shop/services/orders',
    '/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7',
  ])
  for (const one of asked) {
    if (resourceOf(one) === 'orders') one.answer(200, { metadata: orders, spec: { externalIPs: [] } })
    else one.answer(200, objects.ipaddresses)
  }
  t.strictSame(await confirmed, ['Service shop/orders'], 'by its claim alone')
})
