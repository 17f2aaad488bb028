import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { loadKubeConfig } from '../../src/kubernetes/config.ts'
import { openApi } from '../e2e/api.ts'
import { type Cluster, makeNamespace, testOnCluster } from '../e2e/cluster.ts'
import { type Instance, startInstances, startReplica } from '../e2e/instances.ts'
import { type Breach, History } from './history.ts'
import { auditedClaims, formatReport, putBetweenMarkers } from './report.ts'
import { collect, isInPool, livesOf, namespaceNames, pool, Writers } from './workload.ts'

const services = 2_000
const writers = 50
const replicas = 3

/** Milliseconds for all that the writers do, and for the claims that nobody needs to be collected after that. */
const limits = { writing: 480_000, collecting: 90_000 }

const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))

/** What is done to instances, how many milliseconds after what was done before; a frozen one answers nothing for so long. */
const interferences = fc.sample(
  fc.record({
    after: fc.integer({ min: 1_000, max: 4_000 }),
    victim: fc.nat(replicas - 1),
    what: fc.constantFrom('kill', 'kill', 'kill', 'kill', 'kill', 'freeze'),
    lasting: fc.integer({ min: 500, max: 12_000 }),
  }),
  { seed, numRuns: 1_000 },
)

/** Kills or freezes one instance after the other, until it is aborted; resolves to how often it did either. */
const interfere = async (instances: readonly Instance[], signal: AbortSignal) => {
  const counts = { kill: 0, freeze: 0 }
  for (const { after, victim, what, lasting } of interferences) {
    await sleep(after, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    const instance = instances[victim] as Instance
    counts[what as keyof typeof counts]++
    if (what === 'kill') {
      instance.running.kill('SIGKILL')
      await instance.running.ended()
      await instance.start()
    } else {
      instance.running.kill('SIGSTOP')
      await sleep(lasting, undefined, { signal }).catch(() => {})
      instance.running.kill('SIGCONT')
    }
  }
  return counts
}

/** Resolves to the seconds until every claim is that of a Service that lists its address; what is left over is for the caller to see. */
const untilCollected = async (history: History): Promise<number> => {
  const started = performance.now()
  while (history.orphaned().length > 0 && performance.now() - started < limits.collecting) await sleep(200)
  return (performance.now() - started) / 1000
}

type Item = {
  metadata: { namespace: string; name: string }
  spec: { externalIPs?: string[]; parentRef?: { namespace: string; name: string } }
}

await testOnCluster('an address is never given twice, whatever is killed', async (t, cluster: Cluster) => {
  t.comment(`CHAOS_SEED=${seed}`)
  const config = join(cluster.dir, 'config.yaml')
  await writeFile(config, `pools: [{ cidr: ${pool} }]\n`)
  const { instances } = await startInstances(
    t,
    cluster,
    replicas,
    (own) => startReplica(t, { ...own, kubeconfig: cluster.kubeconfig, config, collect }),
    { period: 250, timeout: 1_000, propagation: 250 },
  )
  for (const name of namespaceNames) await makeNamespace(cluster, name)
  const api = openApi(cluster)
  t.teardown(() => api.close())

  const shared: Breach[] = []
  const stop = new AbortController()
  const history = new History(new KubernetesClient(loadKubeConfig(cluster.kubeconfig)), {
    isInPool,
    onShared: (breach) => {
      shared.push(breach)
      stop.abort(new Error(breach.problem))
    },
  })
  const ended = new AbortController()
  const following = history.run(ended.signal)
  t.teardown(async () => {
    ended.abort()
    await following
  })

  const late = setTimeout(() => stop.abort(new Error('the writers take too long')), limits.writing)
  const work = new Writers(api, stop)
  const calm = new AbortController()
  const interfering = interfere(instances, calm.signal)
  const started = performance.now()
  let restarted: Promise<number> | undefined
  const restart = async () => {
    const killed = performance.now()
    await cluster.restartApiServer()
    return (performance.now() - killed) / 1000
  }
  const failure = await work
    .run(livesOf(services, seed), writers, (lived) => {
      if (lived % 100 === 0) t.comment(`${lived} after ${Math.round((performance.now() - started) / 1000)} s`)
      if (lived >= services / 2) restarted ??= restart()
    })
    .then(
      () => undefined,
      (error: Error) => error,
    )
  const writing = (performance.now() - started) / 1000
  clearTimeout(late)
  calm.abort()
  const interferences = await interfering
  const outage = await restarted
  t.equal(failure, undefined, 'every request is answered on its merits')
  t.strictSame(shared, [], 'no address is had by two Services at any moment')
  t.strictSame(work.wrong, [], 'every Service has one address of the pool, and keeps it when it is replaced')
  const collecting = failure === undefined ? await untilCollected(history) : 0

  const list = async (path: string) => {
    const { text } = await api.send('GET', path)
    return (JSON.parse(text) as { items: Item[] }).items
  }
  const claimed = new Map(
    (
      await list('/apis/networking.k8s.io/v1/ipaddresses?labelSelector=ipaddress.kubernetes.io/managed-by=meshvip.dev')
    ).map(({ metadata, spec }) => [metadata.name, `${spec.parentRef?.namespace}/${spec.parentRef?.name}`]),
  )
  const hosts = (await list('/api/v1/services'))
    .filter(({ metadata }) => namespaceNames.includes(metadata.namespace))
    .map(({ metadata, spec }) => ({
      name: `${metadata.namespace}/${metadata.name}`,
      addresses: spec.externalIPs ?? [],
    }))
  const names = new Set(hosts.map(({ name }) => name))

  t.strictSame(
    [...work.live].filter((name) => !names.has(name)),
    [],
    'every Service that was created is there',
  )
  t.strictSame(
    [...work.gone].filter((name) => names.has(name)),
    [],
    'and none that was deleted',
  )
  t.strictSame(
    hosts.filter(({ addresses }) => addresses.length !== 1 || !addresses.every(isInPool)),
    [],
    `each of ${hosts.length} has one address of the pool`,
  )
  t.equal(new Set(hosts.flatMap(({ addresses }) => addresses)).size, hosts.length, 'which no other has')
  t.strictSame(
    hosts.filter(({ name, addresses }) => claimed.get(String(addresses)) !== name),
    [],
    'and which is claimed for it',
  )
  t.strictSame(
    [...claimed].filter(
      ([address, name]) => !hosts.some((host) => host.name === name && host.addresses.includes(address)),
    ),
    [],
    `${collecting.toFixed(1)} s after the last write no claim is left that nobody needs`,
  )
  t.strictSame(
    history.breaches(),
    [],
    `nor was there, in ${history.length} changes, one at which a Service had an address that was not claimed for it`,
  )
  const processes = instances.flatMap((instance) => instance.processes)
  t.strictSame(
    processes.flatMap(({ stderr }) => (stderr === '' ? [] : [stderr])),
    [],
    'no instance ended by itself',
  )
  t.strictSame(
    processes.flatMap(({ log }) => log.filter(({ verdict }) => verdict === 'failed')),
    [],
    'nor met with a defect of its own',
  )

  const claims = auditedClaims(await cluster.auditLog())
  t.ok(interferences.kill > 5 && outage !== undefined, 'it was under fire')
  t.ok(claims.conflicts > 0 && claims.collected > 0, 'addresses were contended for, and collected')
  const report = formatReport({
    seed,
    services,
    writers,
    replicas,
    writing,
    collecting,
    interferences,
    outage,
    claims,
    figures: work.figures,
    grace: collect.grace / 1000,
  })
  for (const line of report.split('\n')) t.comment(line)
  if (t.passing()) await putBetweenMarkers('docs/uniqueness.md', report)
})
