import t from 'tap'
import { liveBackend, memoryBackend } from '../../src/admission/backend.ts'
import type { Report } from '../../src/kubernetes/event-recorder.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { Grievances } from '../../src/server/grievances.ts'
import type { Cluster } from '../../src/view/view.ts'
import type { Grievance } from '../../src/vip/janitor.ts'
import { ledger } from '../../src/vip/ledger.ts'
import { startFakeApiServer } from '../support/fake-api-server.ts'
import { claim, endpointSlice, meshNamespace, service, serviceEntry, storeOf } from '../support/objects.ts'

const address = '240.240.0.7'

/** The cluster is one of these objects, unless another is asked what they are. */
const set = (objects: object[], asked?: Cluster) => {
  const reports: Report[] = []
  const lines: [fields: object, message: string][] = []
  const store = storeOf(meshNamespace('shop'), ...objects)
  const grievances = new Grievances({
    cluster: asked ?? memoryBackend(store).cluster,
    policy: () => defaultPolicy,
    recorder: { record: (report) => reports.push(report) },
    logger: { warn: (fields, message) => lines.push([fields, message]) },
  })
  const look = () =>
    grievances.tell(
      ledger(store, defaultPolicy).filter(
        (one): one is Grievance => one.state === 'duplicate' || one.state === 'outside',
      ),
      AbortSignal.timeout(10_000),
    )
  return { store, reports, lines, look }
}

t.test('each of several who have one address is told of the others', async (t) => {
  const { reports, look } = set([
    service('orders', { externalIPs: [address] }),
    service('carts', { externalIPs: [address] }),
    serviceEntry('pay', [address]),
    claim(address, 'shop/orders'),
  ])
  await look()
  t.match(reports, [
    {
      regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'orders' },
      type: 'Warning',
      reason: 'AddressDuplicate',
      note: /^240\.240\.0\.7 is also that of Service shop\/carts, ServiceEntry shop\/pay: .* Take it out of spec\.externalIPs of one/,
    },
    { regarding: { name: 'carts' }, note: /is also that of Service shop\/orders, ServiceEntry shop\/pay: / },
  ])
})

t.test('a virtual host with an address of no pool is told so, and no other Service', async (t) => {
  const { reports, look } = set([
    service('orders', { externalIPs: ['203.0.113.7'] }),
    service('by-hand', { externalIPs: ['203.0.113.7'] }),
    endpointSlice('by-hand-1', 'by-hand'),
  ])
  await look()
  t.match(reports, [
    {
      regarding: { name: 'orders' },
      reason: 'AddressOutsidePools',
      note: /^203\.0\.113\.7 is in no pool \(240\.240\.0\.0\/16\): .* a free address of a pool is written in$/,
    },
  ])
  t.equal(reports.length, 1)
})

t.test('of many who have one address some are named, and the Event still says what to do', async (t) => {
  const names = Array.from({ length: 100 }, (_, index) => `${'s'.repeat(60)}${index}`)
  const { reports, look } = set(names.map((name) => service(name, { externalIPs: [address] })))
  await look()
  t.equal(reports.length, 100)
  for (const { note } of reports) {
    t.ok(note.length <= 1024, 'an Event has no room for more')
    t.match(
      note,
      /^240\.240\.0\.7 is also that of Service \S+, Service \S+, Service \S+ and 96 more: .* Take it out of /,
    )
  }
})

t.test('which of many Services are virtual hosts is asked at once', async (t) => {
  const server = await startFakeApiServer(t)
  const addresses = Array.from({ length: 50 }, (_, index) => `203.0.113.${index}`)
  server.put(meshNamespace('shop'))
  for (const [index, ip] of addresses.entries()) server.put(service(`s${index}`, { externalIPs: [ip] }))
  const { cluster } = liveBackend({ client: server.client, clusterDomain: 'cluster.local', onError: () => {} })
  const { reports, look } = set(
    addresses.map((ip, index) => service(`s${index}`, { externalIPs: [ip] })),
    cluster,
  )
  await look()
  t.equal(reports.length, 50)
  t.ok(server.log.length < 10, `${server.log.length} requests`)
})

t.test('the log tells what is new, and the Events all of it each time', async (t) => {
  const { store, reports, lines, look } = set([
    service('orders', { externalIPs: [address] }),
    service('carts', { externalIPs: [address] }),
  ])
  await look()
  await look()
  t.match(lines, [
    [{ service: 'shop/orders', address, reason: 'AddressDuplicate' }, /also that of Service shop\/carts/],
    [{ service: 'shop/carts' }, /also that of Service shop\/orders/],
  ])
  t.strictSame([lines.length, reports.length], [2, 4])
  store.delete('Service', { namespace: 'shop', name: 'carts' })
  await look()
  t.equal(reports.length, 4, 'nothing once it is mended')
})
