import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { loadKubeConfig } from '../../src/kubernetes/config.ts'
import { EventRecorder, type Regarding, type Report } from '../../src/kubernetes/event-recorder.ts'
import { LeaderElection } from '../../src/kubernetes/leader-election.ts'
import { startTcpProxy, type TcpProxy } from '../testbed/tcp-proxy.ts'
import {
  admits,
  type Cluster,
  getObject,
  goodPorts,
  makeNamespace,
  serviceManifest,
  testOnCluster,
  until,
} from './cluster.ts'

const namespace = 'shop'

/** Shorter than usual, and long enough that a busy machine is no outage. */
const times = { leaseDuration: 8_000, renewDeadline: 6_000, retryPeriod: 500 }

/** A client whose connections lead through a proxy of its own. */
const throughProxy = async (t: Test, cluster: Cluster, name: string) => {
  const proxy = await startTcpProxy(Number(new URL(cluster.server).port))
  t.teardown(() => proxy.close())
  const config = JSON.parse(await readFile(cluster.kubeconfig, 'utf8'))
  config.clusters[0].cluster.server = `https://127.0.0.1:${proxy.port}`
  const file = join(cluster.dir, `kubeconfig-${name}`)
  await writeFile(file, JSON.stringify(config))
  return { proxy, client: new KubernetesClient(loadKubeConfig(file)) }
}

await testOnCluster('leader election', async (t, cluster) => {
  const direct = new KubernetesClient(loadKubeConfig(cluster.kubeconfig))
  await makeNamespace(cluster, namespace)
  const lease = { namespace, name: 'janitor' }

  /** Who leads; each begins by seeing that nobody else does. */
  const leading = new Set<string>()
  const breaches: string[] = []
  /** Candidates that run, by name. */
  const candidates = new Map<string, { proxy: TcpProxy; election: LeaderElection; stop(): Promise<void> }>()

  const start = async (identity: string) => {
    const { proxy, client } = await throughProxy(t, cluster, identity)
    const stopping = new AbortController()
    const election = new LeaderElection({
      client,
      lease,
      identity,
      times,
      onError: (error) => t.comment(`${identity}: ${error}`),
    })
    const running = election.run(async (signal) => {
      if (leading.size > 0) breaches.push(`${identity} begins while ${[...leading]} leads`)
      const others = [...candidates].filter(([name, other]) => name !== identity && other.election.isLeader)
      for (const [other] of others) breaches.push(`${identity} begins while ${other} says that it leads`)
      leading.add(identity)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      leading.delete(identity)
    }, stopping.signal)
    const stop = () => {
      stopping.abort()
      return running
    }
    candidates.set(identity, { proxy, election, stop })
  }
  const untilOneLeads = async (t: Test, not?: string) => {
    t.ok(await until(async () => leading.size === 1 && !leading.has(not ?? '')), 'one leads')
    const [leader = ''] = leading
    t.not(leader, not)
    return leader
  }
  const leaseSpec = async () => (await getObject(cluster, ['lease', '-n', namespace, lease.name]))?.spec as object
  const transitions = async () => ((await leaseSpec()) as { leaseTransitions: number }).leaseTransitions

  t.teardown(() => Promise.all([...candidates.values()].map(({ stop }) => stop())))
  await Promise.all(['a', 'b', 'c'].map(start))

  await t.test('one of three leads, and the Lease says who', async (t) => {
    const leader = await untilOneLeads(t)
    t.match(await leaseSpec(), {
      holderIdentity: new RegExp(`^${leader}_[0-9a-f]{8}$`),
      leaseDurationSeconds: 8,
      leaseTransitions: 0,
      acquireTime: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
    })
    const renewTime = async () => ((await leaseSpec()) as { renewTime: string }).renewTime
    const before = await renewTime()
    t.ok(await until(async () => (await renewTime()) > before), 'it is renewed')
    t.match(await leaseSpec(), { leaseTransitions: 0 })
  })

  const cuts: [how: string, cut: (proxy: TcpProxy) => void][] = [
    ['is not answered any more', (proxy) => proxy.stall()],
    [
      'is cut off',
      (proxy) => {
        proxy.refuse()
        proxy.cut('reset')
      },
    ],
  ]
  for (const [how, cut] of cuts) {
    await t.test(`a leader that ${how} stops before another begins`, async (t) => {
      const leader = await untilOneLeads(t)
      const { proxy, election } = candidates.get(leader) as { proxy: TcpProxy; election: LeaderElection }
      const before = await transitions()
      const started = performance.now()
      cut(proxy)
      t.ok(await until(async () => leading.size === 0 || !leading.has(leader)), 'it stops')
      t.comment(`it stopped after ${Math.round(performance.now() - started)} ms`)
      const next = await untilOneLeads(t, leader)
      t.comment(`${next} leads after ${Math.round(performance.now() - started)} ms`)
      t.notOk(election.isLeader)
      t.equal(await transitions(), before + 1)
      proxy.forward()
      proxy.cut('reset')
    })
  }

  await t.test('a Lease that is deleted is made anew', async (t) => {
    const leader = await untilOneLeads(t)
    const gone = await cluster.kubectl(['delete', 'lease', '-n', namespace, lease.name])
    t.equal(gone.code, 0, gone.stderr)
    t.ok(await until(async () => (await getObject(cluster, ['lease', '-n', namespace, lease.name])) !== undefined))
    t.comment(`${leader} led, ${await untilOneLeads(t)} leads`)
  })

  await t.test('a leader that ends hands over at once', async (t) => {
    const before = await untilOneLeads(t)
    const started = performance.now()
    await candidates.get(before)?.stop()
    await untilOneLeads(t, before)
    const taken = performance.now() - started
    t.ok(taken < times.leaseDuration - times.retryPeriod, `in ${Math.round(taken)} ms`)
  })

  await t.test('when all end nobody holds the Lease', async (t) => {
    for (const { stop } of candidates.values()) await stop()
    t.match(await leaseSpec(), { holderIdentity: '', leaseDurationSeconds: 1 })
    t.equal(leading.size, 0)
  })

  t.strictSame(breaches, [], 'at no time did two lead')

  await t.test('Events', async (t) => {
    await admits(t, cluster, serviceManifest(namespace, 'orders', { ports: goodPorts }), 'a Service')
    const service = (await getObject(cluster, ['service', '-n', namespace, 'orders'])) as { metadata: { uid: string } }
    const { uid } = service.metadata
    const orders: Regarding = { apiVersion: 'v1', kind: 'Service', namespace, name: 'orders', uid }
    const note = '240.240.0.7 is the address of Service shop/carts, too'
    const report: Report = { regarding: orders, type: 'Warning', reason: 'AddressTaken', action: 'Reporting', note }
    const errors: string[] = []
    const recorder = new EventRecorder({
      client: direct,
      identity: 'meshvip-0',
      onDropped: ({ note }) => errors.push(`dropped: ${note}`),
      onError: (error) => errors.push(String(error)),
      limits: { silence: 0 },
    })
    const record = async (...reports: Report[]) => {
      for (const one of reports) {
        recorder.record(one)
        await recorder.flush()
      }
    }

    await t.test('show with kubectl, and count', async (t) => {
      await record(report)
      const events = () => cluster.kubectl(['get', 'events', '-n', namespace, '-o', 'wide', '--no-headers'])
      t.match(
        (await events()).stdout,
        /^\S+ +Warning +AddressTaken +service\/orders .* 240\.240\.0\.7 is .* 1 +orders\.\S+\n$/,
      )
      await record(report, report)
      t.match((await events()).stdout, /^\S+ +Warning +AddressTaken +service\/orders .* 3 +orders\.\S+\n$/)
      const { stdout } = await cluster.kubectl(['describe', 'service', '-n', namespace, 'orders'])
      t.match(stdout, /Warning +AddressTaken .* meshvip\.dev\/meshvip +240\.240\.0\.7 is/)
    })

    await t.test('may be of anything that has a name', async (t) => {
      const names = ['x', `${'a'.repeat(235)}-.b`, 'a'.repeat(253), '2001:db8::1', 'system:node', 'UPPER_case']
      for (const name of names) await record({ ...report, regarding: { ...orders, name } })
      const claim = { apiVersion: 'networking.k8s.io/v1', kind: 'IPAddress', namespace: '', name: '240.240.0.7' }
      await record({ ...report, regarding: claim }, { ...report, regarding: claim, note: 'é'.repeat(3_000) })
      const count = async (...args: string[]) =>
        ((await getObject(cluster, ['events', ...args])) as { items: object[] }).items.length
      t.equal(await count('-n', namespace), 1 + names.length)
      t.equal(await count('-n', 'default', '--field-selector=reason=AddressTaken'), 2)
    })

    await t.test('of a namespace that is gone are no error', async (t) => {
      await makeNamespace(cluster, 'going')
      const deleted = await cluster.kubectl(['delete', 'namespace', 'going', '--wait=false'])
      t.equal(deleted.code, 0, deleted.stderr)
      for (const name of ['going', 'gone']) await record({ ...report, regarding: { ...orders, namespace: name } })
    })

    t.strictSame(errors, [])
  })
})
